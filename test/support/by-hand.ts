/** Going back by hand: a terminated run, the blocks of docs/if-it-stops.md run with bash, and production as it is then. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { definitionOf } from '../../lab/database-state';
import { query, tumikiFolder, withDatabase } from '../../lab/stage';
import type { Phase } from '../../src/contract';
import { readClaim, type Claim } from '../../src/ledger/claim';
import { HeldRun } from '../../src/ledger/held-run';
import { readMirror } from '../../src/ledger/mirror';
import { withClient } from '../../src/postgres/connect';
import { readSettings } from '../../src/settings/read';
import { beginAside, sealAside } from '../../src/way-back/aside';
import { empty, holdOwnBackup } from '../../src/way-back/restore';
import { turnBack } from '../../src/way-back/turn';
import { packageRoot } from '../../tools/provide';
import { openNamespace, type TestNamespace } from './namespace';
import { testPostgres, type TestDatabase } from './environment';
import {
  approve,
  layOutMigration,
  startRun,
  untilStatus,
  withWorker,
  type Migration,
  type PlanChange,
} from './migration';
import { makeTumikiTemplate } from './tumiki-template';

/** What stands for the present test. */
export const scene = {} as { server: TestNamespace; migration: Migration };
const laidOut: Migration[] = [];
let template: TestDatabase;

/** To be called once at the top of a test file. */
export function byHandForEach(): void {
  beforeAll(async () => {
    template = await makeTumikiTemplate(20);
    await withDatabase(template.url, (client) => client.query(moreObjects));
    scene.server = await openNamespace('by-hand');
  });
  afterAll(async () => {
    await scene.server.close();
    await template.drop();
  });
  afterEach(() => laidOut.pop()?.drop());
}

// What Tumiki's tables lack: identity, a generated column, sequences, views, a function, a trigger, grants, comments.
const moreObjects = `
  create table "Counter" (id bigint generated always as identity primary key, label text not null,
    loud text generated always as (upper(label)) stored);
  insert into "Counter" (label) select 'label ' || n from generate_series(1, 30) n;
  create sequence tickets start 100 increment 5;
  select nextval('tickets'), nextval('tickets');
  create view labels as select label from "Counter";
  create materialized view loud_labels as select loud from "Counter";
  create domain short as text check (length(value) < 50);
  create function shout() returns trigger language plpgsql as 'begin new.label := new.label || ''!''; return new; end';
  create trigger shouting before insert on "Counter" for each row execute function shout();
  create statistics of_labels on id, label from "Counter";
  grant select on "Counter" to public;
  comment on table "Counter" is 'counts';`;

/** Lays a plan out; once in each test. */
export async function layOut(change: PlanChange = () => undefined): Promise<void> {
  scene.migration = await layOutMigration(template.name, (plan) => {
    plan.mapping = './mapping.yaml';
    plan.monitor = { for: '1h', every: '1h' };
    change(plan);
  });
  laidOut.push(scene.migration);
  const mapping = readFileSync(path.join(tumikiFolder, 'mapping.yaml'), 'utf8');
  const withDrop = mapping.replace('drop:\n  tables:\n', '$&    Counter: Only there for the test.\n');
  writeFileSync(path.join(scene.migration.folder, 'mapping.yaml'), withDrop);
}

export interface PageEntry {
  phases: string[];
  /** Empty where it doesn't matter. */
  from: string[];
  /** Titles of blocks, in order; more than one where people choose. */
  ways: string[][];
}

export function entriesOnPage(): PageEntry[] {
  const list = page().split('<!-- The list below')[1]?.split('<!-- The end of the list')[0] ?? '';
  const names = (text = '') => [...text.matchAll(/`(\w+)`/g)].map(([, name = '']) => name);
  return list
    .split('\n- Phase ')
    .slice(1)
    .map((text) => {
      const [head = '', ...ways] = text.split(/:\n {2}(?:- )?|\n {2}- /);
      const [phases, from] = head.split('going back from');
      return {
        phases: names(phases),
        from: names(from),
        ways: ways.map((way) =>
          [...way.matchAll(/\[([^\]]+)\]/g)].map(([, link = '']) => link.toLowerCase()),
        ),
      };
    });
}

export function fits(entry: PageEntry, phase: Phase, from: Phase | null): boolean {
  return entry.phases.includes(phase) && (entry.from.length === 0 || entry.from.includes(from ?? ''));
}

export interface Follow {
  from?: Phase;
  /** Ends before this heading. */
  until?: string;
  /** The block instead of "restore". */
  restore?: string;
  /** Which of those that people choose from. */
  way?: number;
}

/** Becomes the holder and follows the page's entry for where the ledger stands. @returns the deploys that it names */
export async function followPage(
  phase: Phase,
  { from, until, restore = 'restore', way = 0 }: Follow = {},
): Promise<string[]> {
  runByHand('become the holder');
  expect(await withClient(scene.migration.urls.production, 'test', readClaim)).toMatchObject({
    phase,
    from: from ?? null,
    holder: 'by hand',
  });
  const [entry] = entriesOnPage().filter((item) => fits(item, phase, from ?? null));
  const titles = entry?.ways[way] ?? [];
  const deploys: string[] = [];
  const blocks: string[] = [];
  for (const title of until ? titles.slice(0, titles.indexOf(until)) : titles) {
    if (title === 'look at the old version') continue;
    if (title === 'undo the deploys') {
      runByHand(...blocks.splice(0));
      deploys.push(...runByHand('deploys').trim().split('\n').filter(Boolean));
      blocks.push('deploys undone');
    } else blocks.push(title === 'restore' ? restore : title);
  }
  const shown = runByHand(...blocks);
  // Nothing differs, not even in the definition.
  expect(shown.replace(/^-rw-------.*_abandoned_.*\n/m, '')).toBe('');
  return deploys;
}

export async function goLive(): Promise<void> {
  await terminateWhen(async (handle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'monitor');
  });
}

/** The run's own pieces, as its holder, where a terminated workflow can't be stopped in time. */
export async function asTheRun(work: (run: HeldRun) => Promise<void>): Promise<void> {
  const plan = readSettings(scene.migration.settingsFile).plans.tumiki;
  const claim = await withClient(scene.migration.urls.production, 'test', readClaim);
  if (!plan || !claim) throw new Error('There is no plan, or no claim.');
  const { namespace, workflowId, firstRunId, holder } = claim;
  const identity = { namespace, workflowId, firstRunId, runId: holder, plan: claim.plan };
  const ending = new AbortController();
  await work(new HeldRun(plan, { identity, key: 'test', attempt: 1, signal: ending.signal })).finally(() =>
    ending.abort(),
  );
}

export async function setAside(run: HeldRun): Promise<void> {
  await turnBack(run, { intent: 'goBack', by: [] });
  await beginAside(run);
  await sealAside(run);
}

/** Emptied, with the old definition and none of the rows. */
export async function restoreBegun(): Promise<void> {
  await asTheRun(async (run) => {
    await setAside(run);
    const held = new AbortController();
    const holding = new HeldRun(run.plan, {
      identity: run.identity,
      key: 'hold',
      attempt: 1,
      signal: held.signal,
    });
    const hold = holdOwnBackup(holding);
    await empty(run);
    held.abort();
    await hold;
  });
}

export async function mirrorAndClaim(): Promise<(Claim | null)[]> {
  const found = [
    await withClient(scene.migration.urls.backup, 'test', readMirror),
    await withClient(scene.migration.urls.production, 'test', readClaim),
  ];
  expect(found[0]).toEqual(found[1]);
  return found;
}

/** Files of databases that were set aside. */
export function asideFiles(): string[] {
  return readdirSync(scene.migration.folder).filter((name) => name.includes('_abandoned_'));
}

export function backupName(): string {
  return `${scene.migration.production.name}_backup`;
}

/** Databases beside production, schemas in it, and the flag. */
export async function leftBehind(): Promise<string[]> {
  const databases = await query<{ name: string }>(
    testPostgres().url('postgres'),
    `select datname as name from pg_database where starts_with(datname, $1) and datname <> $1 order by 1`,
    [scene.migration.production.name],
  );
  const schemas = await query<{ name: string }>(
    scene.migration.urls.production,
    `select nspname as name from pg_namespace where nspname like 'kirikae%'`,
  );
  return [...databases, ...schemas]
    .map(({ name }) => name)
    .concat(existsSync(scene.migration.flagFile) ? 'flag' : []);
}

export async function onProduction(sql: string): Promise<void> {
  await withDatabase(scene.migration.urls.production, async (client) => {
    await client.query('set default_transaction_read_only = off');
    await client.query(sql);
  });
}

export async function onBackup(sql: string, values?: unknown[]): Promise<void> {
  await query(scene.migration.urls.backup, sql, values);
}

export async function nameOfUser(url: string): Promise<unknown> {
  const rows = await query(url, `select name from "User" order by id limit 1`);
  return rows[0]?.name;
}

/** Starts a run, waits for `reached`, terminates it and ends its worker. */
export async function terminateWhen(reached: (handle: WorkflowHandle) => Promise<void>): Promise<void> {
  await withWorker(scene.migration, scene.server.namespace, async () => {
    const handle = await startRun(scene.server.client);
    await reached(handle);
    await handle.terminate('for the test');
  });
}

/** Runs blocks of the page's section in one bash, in the plan's folder; they must succeed. */
export function runByHand(...titles: string[]): string {
  const { status, stdout, stderr } = runWithBash(...titles);
  const shown = status === 0 ? '' : stdout;
  expect({ status, stderr, shown }).toEqual({
    status: 0,
    stderr: expect.not.stringContaining('ERROR') as unknown,
    shown: '',
  });
  return stdout;
}

export function runWithBash(...titles: string[]) {
  return bash(['prepare', ...titles].map(block).join('\n'));
}

export function bash(script: string) {
  return spawnSync('bash', ['-e', '-c', script], {
    cwd: scene.migration.folder,
    encoding: 'utf8',
    env: {
      ...process.env,
      PATH: `${testPostgres().bin}:${process.env.PATH}`,
      DATABASE_URL: scene.migration.urls.production,
      BACKUP_DATABASE_URL: scene.migration.urls.backup,
    },
  });
}

export function page(): string {
  return readFileSync(path.join(packageRoot, 'docs', 'if-it-stops.md'), 'utf8');
}

export function block(title: string): string {
  const found = page()
    .split('```sh\n')
    .find((text) => text.startsWith(`# By hand: ${title}\n`));
  if (found === undefined) throw new Error(`docs/if-it-stops.md has no block "By hand: ${title}".`);
  return found.slice(0, found.indexOf('\n```'));
}

/** All that production holds and is: definition with owners and grants, rows, sequences, whether the ledger is there. */
export async function everything() {
  const definition = await definitionOf(scene.migration.urls.production, ['--schema=public']);
  return withDatabase(scene.migration.urls.production, async (client) => {
    const tables: Record<string, string[]> = {};
    const { rows: names } = await client.query<{ name: string; kind: string }>(
      `select oid::regclass::text as name, relkind as kind from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'm', 'S') order by 1`,
    );
    for (const { name, kind } of names) {
      const columns = kind === 'S' ? '(t.last_value, t.is_called)' : 't';
      const { rows } = await client.query<{ row: string }>(
        `select ${columns}::text as row from ${name} t order by 1`,
      );
      tables[name] = rows.map(({ row }) => row);
    }
    const { rows } = await client.query<{ ledger: boolean }>(
      `select to_regclass('kirikae.claim') is not null as ledger`,
    );
    return {
      definition,
      tables,
      ledger: rows[0]?.ledger,
    };
  });
}

export async function setReadOnlyDefault(value: string): Promise<void> {
  await withDatabase(scene.migration.urls.production, (client) =>
    client.query(
      `alter database "${scene.migration.production.name}" set default_transaction_read_only = ${value}`,
    ),
  );
}

/** The database's own setting; null when it has none. */
export async function readOnlyDefault(): Promise<string | null> {
  return withDatabase(testPostgres().url('postgres'), async (client) => {
    const { rows } = await client.query<{ value: string }>(
      `select split_part(setting, '=', 2) as value from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase, unnest(s.setconfig) as setting
       where d.datname = $1 and setting like 'default_transaction_read_only=%'`,
      [scene.migration.production.name],
    );
    return rows[0]?.value ?? null;
  });
}
