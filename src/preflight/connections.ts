/** Preflight of the connections: direct, three different databases, of suitable versions and alike. */
import { randomInt } from 'node:crypto';
import { Client } from 'pg';
import { foreignBackup, readBackup } from '../backup/manifest';
import { codeOf, sentence, KirikaeError } from '../errors';
import { describeScratch } from '../ledger/scratch';
import { foreignShadow } from '../new-schema/shadow';
import { connect, disconnect, one, withClient } from '../postgres/connect';
import { databaseExists } from '../postgres/databases';
import { placesOf, type DatabaseRole, type Endpoint, type Place } from '../postgres/endpoint';
import { pgDumpVersion } from '../postgres/pg-dump';
import {
  clientConfig,
  databaseOf,
  otherDatabase,
  placeOf,
  throughTheFence,
  urlProblem,
} from '../postgres/url';
import { majorVersion } from '../postgres/versions';
import type { Plan } from '../settings/read';

/** Sessions for the rest of preflight; backup and shadow are null as long as they have to be created. */
export interface Opened {
  production: Endpoint;
  backup: Endpoint | null;
  shadow: Endpoint | null;
}

/** Opens what can be opened; everything wrong is a finding. @returns null when production itself can't be used */
export async function openDatabases(plan: Plan, findings: string[]): Promise<Opened | null> {
  const places = placesOf(plan);
  for (const role of ['production', 'backup', 'shadow'] as const) {
    const problem = urlProblem(places[role].url);
    if (problem)
      findings.push(
        `${plan.databases[role].urlEnv} (the ${role} database) ${problem}. Expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE.`,
      );
  }
  if (findings.length > 0) return null;
  const production = await openOne(places.production, 'production', findings);
  if (!production) return null;
  return {
    production,
    backup: await openScratch(plan, 'backup', findings),
    shadow: await openScratch(plan, 'shadow', findings),
  };
}

export async function closeDatabases(opened: Opened): Promise<void> {
  for (const endpoint of [opened.production, opened.backup, opened.shadow])
    if (endpoint) await disconnect(endpoint.client);
}

async function openScratch(
  plan: Plan,
  role: 'backup' | 'shadow',
  findings: string[],
): Promise<Endpoint | null> {
  const place = placesOf(plan)[role];
  const { backup, shadow } = plan.databases;
  const isMade = role === 'shadow' ? shadow.create : backup.create || backup.method === 'clone';
  try {
    if (await databaseExists(place.url, 'preflight')) return await openOne(place, role, findings);
    if (!isMade) {
      findings.push(
        `The ${role} database ${placeOf(place.url)} does not exist. Create it, or set databases.${role}.create: true.`,
      );
      return null;
    }
    await withClient(otherDatabase(place.url, 'postgres'), 'preflight', async (client) => {
      const { may } = await one<{ may: boolean }>(
        client,
        `select rolcreatedb or rolsuper as may from pg_roles where rolname = current_user`,
      );
      if (!may)
        findings.push(
          `The ${role} database ${placeOf(place.url)} does not exist and its user may not create databases. Create it, or grant CREATEDB.`,
        );
    });
  } catch (error) {
    findings.push(
      `The server of the ${role} database ${placeOf(place.url)} can't be used: ${sentence(error)}. Start it or correct the URL.`,
    );
  }
  return null;
}

async function openOne(place: Place, role: DatabaseRole, findings: string[]): Promise<Endpoint | null> {
  const { url } = place;
  let client: Client;
  try {
    client = await connect(url, 'preflight');
  } catch (error) {
    const why = codeOf(error) === '3D000' ? 'it does not exist on that server' : sentence(error);
    findings.push(
      `The ${role} database ${placeOf(url)} can't be used: ${why}. Start the server or correct the URL.`,
    );
    return null;
  }
  let pooler: string | null;
  try {
    pooler = await findPooler(client, url);
  } catch (error) {
    findings.push(
      `The ${role} database ${placeOf(url)} can't be used: ${sentence(error)}. Raise that limit.`,
    );
    await disconnect(client);
    return null;
  }
  if (pooler === null) return { ...place, client };
  findings.push(
    `The ${role} database ${placeOf(url)} ${pooler} Name the server's own address: session settings, locks and COPY need one session for a connection.`,
  );
  await disconnect(client);
  return null;
}

// A pooler makes up the process id it announces, moves sessions between statements, or drops the options of a URL.
async function findPooler(client: Client, url: string): Promise<string | null> {
  const announced = (client as unknown as { processID: number | null }).processID;
  const { pid } = await one<{ pid: number }>(client, 'select pg_backend_pid() as pid');
  if (announced !== null && announced !== pid) return 'is reached through a connection pooler, not directly.';
  const probe = new Client({ ...clientConfig(throughTheFence(url)), connectionTimeoutMillis: 10_000 });
  probe.on('error', () => undefined);
  try {
    await probe.connect();
    const { source } = await one<{ source: string }>(
      probe,
      `select source from pg_settings where name = 'default_transaction_read_only'`,
    );
    return source === 'client'
      ? null
      : 'does not receive the options= of a URL, which commands need to write under the fence.';
  } catch (error) {
    // No session left: that is no matter of options.
    if (codeOf(error) === '53300') throw error;
    return `refuses the options= of a URL (${sentence(error)}), which commands need to write under the fence.`;
  } finally {
    await disconnect(probe);
  }
}

/** Versions, encodings, identities, and what the scratch databases hold. */
export async function compareDatabases(
  opened: Opened,
  places: Record<DatabaseRole, Place>,
  self: { workflowId: string; firstRunId: string },
): Promise<string[]> {
  const findings: string[] = [];
  const [backupUrl, shadowUrl] = [places.backup.url, places.shadow.url];
  await findSameDatabase(opened, findings);
  if (!opened.backup && !opened.shadow && (await wouldBeSame(backupUrl, shadowUrl)))
    findings.push(sameDatabase('backup', 'shadow'));
  const version = await majorVersion(opened.production.client);
  if (version < 14) findings.push(`Production runs PostgreSQL ${version}; 14 or newer is needed.`);
  const newest = [version];
  for (const role of ['backup', 'shadow'] as const) {
    const client = opened[role]?.client;
    if (!client) continue;
    const other = await majorVersion(client);
    newest.push(other);
    if (other < version)
      findings.push(
        `The ${role} database runs PostgreSQL ${other}, older than production's ${version}. Use a server that is at least as new.`,
      );
    if (role === 'shadow' && other !== version) {
      findings.push(
        `The shadow database runs PostgreSQL ${other}, production ${version}. The shadow stands for production: use the same version.`,
      );
    }
    findings.push(...(await unlike(opened.production.client, client, role)));
  }
  findings.push(...(await pgDumpFindings(Math.max(...newest))));
  if (opened.backup) {
    const found = await describeScratch(opened.backup.client);
    if (found.kind === 'foreign') {
      findings.push(
        `The backup database ${placeOf(backupUrl)} holds tables that aren't Kirikae's (${found.objects.join(', ')}). Name an empty database.`,
      );
    } else if (found.kind === 'ours') {
      const backup = await readBackup(opened.backup.client).catch((error: unknown) => {
        // Only a missing marker says so: a lost connection must not advise to remove a database.
        if (!(error instanceof KirikaeError)) throw error;
        return null;
      });
      if (!backup)
        findings.push(
          `The backup database ${placeOf(backupUrl)} carries a marker but no backup of Kirikae's. Name an empty database.`,
        );
      else if (backup.firstRunId !== self.firstRunId) findings.push(foreignBackup(backup, backupUrl));
    }
  }
  if (opened.shadow) {
    const found = await describeScratch(opened.shadow.client);
    if (found.kind === 'foreign') findings.push(foreignShadow(shadowUrl, found.objects));
  }
  return findings;
}

// Clones of a server share its identifiers; an advisory lock taken in one database is seen in that one only.
async function findSameDatabase(opened: Opened, findings: string[]): Promise<void> {
  const pairs = [
    ['production', 'backup'],
    ['production', 'shadow'],
    ['backup', 'shadow'],
  ] as const;
  for (const [a, b] of pairs) {
    const [holder, other] = [opened[a]?.client, opened[b]?.client];
    if (!holder || !other) continue;
    if (await sharesLocks(holder, other)) findings.push(sameDatabase(a, b));
  }
}

// Two that have to be created yet: the same name on the same server, however its address is written.
async function wouldBeSame(backup: string, shadow: string): Promise<boolean> {
  if (databaseOf(backup) !== databaseOf(shadow)) return false;
  const [a, b] = [otherDatabase(backup, 'postgres'), otherDatabase(shadow, 'postgres')];
  // A server that doesn't answer is a finding already.
  return withClient(a, 'preflight', (holder) =>
    withClient(b, 'preflight', (client) => sharesLocks(holder, client)),
  ).catch(() => false);
}

async function sharesLocks(holder: Client, other: Client): Promise<boolean> {
  const key = randomInt(2 ** 47);
  await holder.query('select pg_advisory_lock($1)', [key]);
  const { taken } = await one<{ taken: boolean }>(other, 'select pg_try_advisory_lock($1) as taken', [key]);
  if (taken) await other.query('select pg_advisory_unlock($1)', [key]);
  await holder.query('select pg_advisory_unlock($1)', [key]);
  return !taken;
}

function sameDatabase(a: string, b: string): string {
  return `${a} and ${b} are the same database. Name three different databases: ${b} would be overwritten.`;
}

async function unlike(production: Client, other: Client, role: string): Promise<string[]> {
  const sql = `select pg_encoding_to_char(encoding) as encoding, datcollate as collate, datctype as ctype from pg_database where datname = current_database()`;
  const a = await one<Record<string, string>>(production, sql);
  const b = await one<Record<string, string>>(other, sql);
  return Object.keys(a)
    .filter((key) => a[key] !== b[key])
    .map(
      (key) =>
        `The ${role} database has ${key} ${b[key]}, production ${a[key]}. Create it from template0 with production's encoding and locale.`,
    );
}

async function pgDumpFindings(serverVersion: number): Promise<string[]> {
  try {
    const version = await pgDumpVersion();
    return version >= serverVersion
      ? []
      : [
          `pg_dump is of version ${version}, older than the newest server (${serverVersion}), and would refuse it. Install PostgreSQL ${serverVersion}'s client tools where the worker runs.`,
        ];
  } catch (error) {
    return [sentence(error)];
  }
}
