/** What a run has done beside its phase: deploys begun and undone, checks passed, approvals, databases made and dropped. */
import type { Client } from 'pg';
import type { Decision } from '../contract';
import { all } from '../postgres/connect';
import { noteEvent } from './claim';
import type { MarkedRole } from './marker';

/** A deploy as the ledger has it: begun before its command starts, so that its way back is known. */
export interface DeployRow {
  name: string;
  /** Where its command ran. */
  host: string;
  /** The process that leads its group; null before it was started. */
  process: DeployProcess | null;
  ended: boolean;
  failed: boolean;
  undone: boolean;
}

/** A process of a host: its id, and when it started, since a process id is used again. */
export interface DeployProcess {
  pid: number;
  started: string;
}

/** The deploys that began, in the order in which they began. */
export async function readDeploys(client: Client): Promise<DeployRow[]> {
  return all<DeployRow>(
    client,
    `select name, host, case when pid is not null then json_build_object('pid', pid, 'started', pid_started) end as process, ended_at is not null as ended, failed_at is not null as failed, undone_at is not null as undone
     from kirikae.deploy order by begun_at, position`,
  );
}

/** Notes that a deploy's command is about to start; one that began before begins again. */
export async function beginDeploy(
  client: Client,
  { name, position, host }: { name: string; position: number; host: string },
): Promise<void> {
  await client.query(
    `insert into kirikae.deploy (name, position, host) values ($1, $2, $3)
     on conflict (name) do update set host = excluded.host, pid = null, pid_started = null, ended_at = null, failed_at = null, undone_at = null`,
    [name, position, host],
  );
}

/** Notes the process of a deploy's command, as soon as it has started. */
export async function noteDeployProcess(
  client: Client,
  name: string,
  { pid, started }: DeployProcess,
): Promise<void> {
  await client.query('update kirikae.deploy set pid = $2, pid_started = $3 where name = $1', [
    name,
    pid,
    started,
  ]);
}

/** Notes how a deploy's command ended, or that its previous version is back. */
export async function endDeploy(
  client: Client,
  name: string,
  how: 'ended' | 'failed' | 'undone',
): Promise<void> {
  await client.query(`update kirikae.deploy set ${how}_at = now() where name = $1`, [name]);
}

/** Notes that a check passed. */
export async function notePassed(client: Client, name: string, who: string): Promise<void> {
  await client.query(
    'insert into kirikae.passed (name, who) values ($1, $2) on conflict (name) do update set at = now(), who = excluded.who',
    [name, who],
  );
}

/** The checks that have passed. */
export async function readPassed(client: Client): Promise<Set<string>> {
  return new Set(
    (await all<{ name: string }>(client, 'select name from kirikae.passed')).map(({ name }) => name),
  );
}

/** Writes approvals down, each once. In the caller's transaction. */
export async function noteApprovals(
  client: Client,
  approvals: readonly Pick<Decision, 'by' | 'at'>[],
  fingerprint: string,
): Promise<void> {
  const before = await approvers(client, fingerprint);
  for (const { by, at } of approvals)
    if (!before.has(by))
      await noteEvent(client, { kind: 'approval', who: by, text: `${fingerprint} at ${at}` });
}

/** Who has approved what carries this fingerprint. */
export async function approvers(client: Client, fingerprint: string): Promise<Set<string>> {
  const rows = await all<{ who: string }>(
    client,
    `select who from kirikae.event where kind = 'approval' and starts_with(text, $1 || ' ')`,
    [fingerprint],
  );
  return new Set(rows.map(({ who }) => who));
}

/** What a run is about to do with a database: noted before, so that a database without marker is explained. */
export interface Intent {
  kind: 'creating' | 'dropping';
  role: MarkedRole;
}

/** Notes an intent, in place of an earlier one for the same database. */
export async function intend(client: Client, database: string, { kind, role }: Intent): Promise<void> {
  await client.query(
    `insert into kirikae.intent (database, kind, role) values ($1, $2, $3)
     on conflict (database) do update set kind = excluded.kind, role = excluded.role, noted_at = now()`,
    [database, kind, role],
  );
}

/** What is intended with a database; null when nothing is. */
export async function readIntent(client: Client, database: string): Promise<Intent | null> {
  const [row] = await all<Intent>(client, 'select kind, role from kirikae.intent where database = $1', [
    database,
  ]);
  return row ?? null;
}
