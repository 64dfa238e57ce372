/** The backup database: built from production's definition, filled by the copy engine, verified and sealed. */
import { createHash } from 'node:crypto';
import type { Client } from 'pg';
import {
  applyDdl,
  createDatabase,
  describeScratch,
  dropDatabase,
  emptyScratch,
  prepareLike,
} from './database';
import { hashTables, type TableHash } from './engine/compare';
import { describeDifferences, hashJob, maxProblems, narrowStored } from './engine/differences';
import { planParts, type CopyJob, type PartPlan, type Phase } from './engine/parts';
import {
  readSequences,
  readTables,
  writeSequences,
  type SequenceState,
  type StoredTable,
} from './engine/tables';
import type { HashMethod } from './engine/row-hash';
import { KirikaeError } from './errors';
import { mirrorClaim, noteStage, stageDone, type Claim, type RunIdentity } from './ledger';
import { all, inTransaction, one, withClient } from './postgres/connect';
import { analyzeTables, applyPostData } from './post-data';
import { dumpHash, dumpSchema, dumpSql, majorVersion, type DumpEntry } from './postgres/dump';
import { identifiers, qualified, type TableName } from './postgres/sql';
import { filledViews } from './views';
import { databaseOf, dropCommand, placeOf } from './postgres/url';

export const BACKUP_PHASE: Phase = { name: 'backup', attempt: 1 };

export interface ManifestTable extends TableName, TableHash {}

/** What the backup holds, sealed: enough to restore and to prove that nothing changed. */
export interface Manifest {
  format: 1;
  plan: string;
  planHash: string;
  source: { systemIdentifier: string; database: string; serverVersion: string };
  schemas: string[];
  hashMethod: HashMethod;
  tables: ManifestTable[];
  sequences: SequenceState[];
  /** Materialized views that held rows, in the order in which they can be refreshed. */
  filledViews: TableName[];
  /** Hash of production's definition, owners and grants included. */
  ddlHash: string;
  bytes: number;
}

export interface Backup {
  manifest: Manifest | null;
  /** sha256 of the sealed manifest. */
  manifestHash: string | null;
  ddlPre: string;
  ddlPost: string;
  /** The run that made it. */
  workflowId: string;
  chain: string;
  createdDatabase: boolean;
}

/** A copy under way: both ends and who copies. */
export interface Ends {
  production: Client;
  productionUrl: string;
  backup: Client;
  backupUrl: string;
  schemas: string[];
}

/** Creates the backup's database if the plan says so. @returns true when it was created now */
export async function openBackupDatabase(url: string, production: Client, create: boolean): Promise<boolean> {
  return create ? createDatabase(url, production, 'backup create') : false;
}

/**
 * Builds the empty backup and plans its parts; goes on where an earlier attempt of the same run stopped.
 * @throws KirikaeError when the database holds another run's backup or foreign tables
 */
export async function beginBackup(
  ends: Ends,
  run: RunIdentity,
  claim: Claim,
  created: boolean,
): Promise<PartPlan> {
  await markBackup(ends, run, created);
  await mirrorClaim(ends.backup, claim);
  if (!(await stageDone(ends.backup, 'backup', 1, 'schema'))) {
    await prepareLike(ends.backup, { client: ends.production, url: ends.productionUrl }, ends.schemas, false);
    const plain = await storeDefinition(ends);
    await inTransaction(ends.backup, async () => {
      await applyDdl(ends.backup, plain, "production's schema");
      await noteStage(ends.backup, 'backup', 1, 'schema');
    });
  }
  const tables = await readTables(ends.production, ends.schemas);
  return planParts(
    ends.backup,
    BACKUP_PHASE,
    tables.map(plainCopy),
    await sameMajor(ends.production, ends.backup),
  );
}

/** Stores production's definition in the backup, so that it alone restores. @returns what makes its tables, without owners */
export async function storeDefinition(ends: Ends): Promise<string> {
  const version = await majorVersion(ends.backup);
  const [full, plain] = await Promise.all([
    dumpSchema(ends.productionUrl, ends.schemas, { owners: true }),
    dumpSchema(ends.productionUrl, ends.schemas, { owners: false }),
  ]);
  const productionVersion = await majorVersion(ends.production);
  await ends.backup.query(
    `update kirikae.backup set ddl_pre = $1, ddl_post = $2, ddl_hash = $3, ddl_post_plain = $4`,
    [
      dumpSql(full, full.pre, productionVersion),
      dumpSql(full, full.post, productionVersion),
      dumpHash(full),
      dumpSql(plain, plain.post.filter(servesReading), version),
    ],
  );
  return dumpSql(plain, plain.pre, version);
}

// The backup is only read. Its row security could hide rows from their reader, and policies name roles that its server may lack.
function servesReading({ type, name }: DumpEntry): boolean {
  const guards = /^(TRIGGER|RULE|POLICY|ROW SECURITY)\b/;
  return !guards.test(type) && !(type === 'COMMENT' && guards.test(name));
}

/** A table copied as it is, into the table of the same name. */
export function plainCopy(table: StoredTable): CopyJob {
  const list = table.columns.map((column) => column.name);
  return {
    source: table,
    target: table,
    columns: table.columns,
    select: (range) =>
      `select ${identifiers(list)} from only ${qualified(table)} as source${range ? ` where ${range}` : ''}`,
  };
}

export async function sameMajor(a: Client, b: Client): Promise<boolean> {
  return (await majorVersion(a)) === (await majorVersion(b));
}

/**
 * Sequences, then both sides read again and compared, then the manifest.
 * @returns the sealed backup's manifest and its hash
 * @throws KirikaeError DataDiffer naming the tables that differ, and their rows by primary key
 */
export async function sealBackup(
  ends: Ends,
  plan: { name: string; hash: string },
  reading: { lanes: number; signal: AbortSignal; onTable: (rows: number) => void },
): Promise<{ manifest: Manifest; manifestHash: string }> {
  const sealed = await readBackup(ends.backup);
  if (sealed.manifest && sealed.manifestHash)
    return { manifest: sealed.manifest, manifestHash: sealed.manifestHash };
  const sequences = await readSequences(ends.production, ends.schemas);
  await writeSequences(ends.backup, sequences);
  const method: HashMethod = (await sameMajor(ends.production, ends.backup)) ? 'record' : 'text';
  const tables = await readTables(ends.production, ends.schemas);
  const copies = await readTables(ends.backup, ends.schemas);
  const common = { ...reading, lanes: Math.ceil(reading.lanes / 2), method, label: 'backup' };
  const hash = (client: Client, url: string, of: StoredTable[], side: string) =>
    hashTables(of.map(hashJob), {
      ...common,
      url,
      notes: { client, phase: BACKUP_PHASE, side },
    });
  const [before, after] = await withClient(ends.backupUrl, 'backup notes', (second) =>
    Promise.all([
      hash(ends.backup, ends.productionUrl, tables, 'source'),
      hash(second, ends.backupUrl, copies, 'copy'),
    ]),
  );
  const problems = await describeDifferences(
    [before, after],
    ['production', 'the backup'],
    narrowStored(
      { url: ends.productionUrl, client: ends.production, title: 'production', tables },
      { url: ends.backupUrl, client: ends.backup, title: 'the backup', tables: copies },
      common,
    ),
  );
  if (problems.length > 0) {
    throw new KirikaeError(
      'DataDiffer',
      `The backup does not hold what production holds: ${problems.slice(0, maxProblems).join('; ')}. Production was not changed. If something wrote to production meanwhile, stop it; then start again.`,
    );
  }
  const identity = await one<Manifest['source']>(
    ends.production,
    `select (select system_identifier::text from pg_control_system()) as "systemIdentifier", current_database() as database,
       current_setting('server_version') as "serverVersion"`,
  ).catch(() => ({ systemIdentifier: '', database: databaseOf(ends.productionUrl), serverVersion: '' }));
  const { ddlHash } = await one<{ ddlHash: string }>(
    ends.backup,
    'select ddl_hash as "ddlHash" from kirikae.backup',
  );
  const manifest: Manifest = {
    format: 1,
    plan: plan.name,
    planHash: plan.hash,
    source: identity,
    schemas: ends.schemas,
    hashMethod: method,
    tables: tables
      .map(({ schema, name }) => ({
        schema,
        name,
        ...(before.get(qualified({ schema, name })) ?? { rows: 0, hash: '0' }),
      }))
      .sort((a, b) => (qualified(a) < qualified(b) ? -1 : 1)),
    sequences,
    filledViews: await filledViews(ends.production, ends.schemas),
    ddlHash,
    bytes: tables.reduce((sum, table) => sum + table.bytes, 0),
  };
  const text = JSON.stringify(manifest);
  const manifestHash = createHash('sha256').update(text).digest('hex');
  await ends.backup.query(
    `update kirikae.backup set manifest = $1, manifest_hash = $2, sealed_at = now() where sealed_at is null`,
    [text, manifestHash],
  );
  return { manifest, manifestHash };
}

/** Indexes, keys and statistics of the backup: they serve the mapping's joins; a restore doesn't need them. */
export async function indexBackup(
  backup: Client,
  backupUrl: string,
  schemas: readonly string[],
  work: { label: string; lanes: number; signal: AbortSignal },
): Promise<void> {
  if (!(await stageDone(backup, BACKUP_PHASE.name, BACKUP_PHASE.attempt, 'indexes'))) {
    const { sql } = await one<{ sql: string }>(backup, 'select ddl_post_plain as sql from kirikae.backup');
    await applyPostData({
      ...work,
      client: backup,
      url: backupUrl,
      phase: BACKUP_PHASE,
      sql,
      what: "backup's indexes and keys",
      finish: (client) => noteStage(client, BACKUP_PHASE.name, BACKUP_PHASE.attempt, 'indexes'),
    });
  }
  // Enough for the mapping's joins, and a tenth of the sample.
  await analyzeTables(backup, schemas, { ...work, url: backupUrl }, 10);
}

/** What the backup's marker says. @throws KirikaeError when there is no marker */
export async function readBackup(backup: Client): Promise<Backup> {
  const { there } = await one<{ there: boolean }>(
    backup,
    `select to_regclass('kirikae.backup') is not null as there`,
  );
  const [row] = there
    ? await all<Omit<Backup, 'manifest'> & { manifest: string | null }>(
        backup,
        `select manifest, manifest_hash as "manifestHash", ddl_pre as "ddlPre", ddl_post as "ddlPost",
           workflow_id as "workflowId", chain, created_database as "createdDatabase" from kirikae.backup`,
      )
    : [];
  if (!row)
    throw new KirikaeError(
      'StepFailed',
      `The database ${backup.database ?? ''} holds no backup of Kirikae's.`,
    );
  return { ...row, manifest: row.manifest === null ? null : (JSON.parse(row.manifest) as Manifest) };
}

/** Removes the backup: the whole database when the run created it, else only what the run put there. */
export async function removeBackup(url: string, backup: Client, schemas: readonly string[]): Promise<void> {
  const { createdDatabase } = await readBackup(backup);
  if (createdDatabase) await dropDatabase(url, 'backup drop');
  else await emptyScratch(backup, schemas);
}

/** The sentence for a backup of another run. */
export function foreignBackup(backup: Backup, url: string): string {
  const state = backup.manifest ? 'sealed' : 'unfinished';
  return `The backup database ${placeOf(url)} holds the ${state} backup of another run (workflow "${backup.workflowId}"), which is never overwritten. If it isn't needed any more, remove it: ${dropCommand(url)}`;
}

/** Marks the database as this run's backup. @param own it is known to be, whatever it holds */
export async function markBackup(ends: Ends, run: RunIdentity, created: boolean, own = false): Promise<void> {
  // Preflight looked too, but hours may lie between: what somebody put there since is neither mixed with nor removed.
  const found = await describeScratch(ends.backup);
  if (found.kind === 'foreign' && !own) {
    throw new KirikaeError(
      'StepFailed',
      `The backup database ${placeOf(ends.backupUrl)} holds tables that aren't Kirikae's (${found.objects.join(', ')}). Name an empty database, or remove this one: ${dropCommand(ends.backupUrl)}`,
    );
  }
  await ends.backup.query(`set client_min_messages = warning;
    create schema if not exists kirikae;
    create table if not exists kirikae.backup (
      singleton boolean primary key default true check (singleton), namespace text not null, workflow_id text not null,
      chain text not null, plan text not null, created_database boolean not null, started_at timestamptz not null default now(),
      ddl_pre text, ddl_post text, ddl_post_plain text, ddl_hash text, manifest text, manifest_hash text, sealed_at timestamptz);
    create table if not exists kirikae.stage (
      phase text, attempt integer, name text, done_at timestamptz not null default now(), primary key (phase, attempt, name))`);
  await ends.backup.query(
    `insert into kirikae.backup (namespace, workflow_id, chain, plan, created_database) values ($1, $2, $3, $4, $5) on conflict do nothing`,
    [run.namespace, run.workflowId, run.chain, run.plan, created],
  );
  const backup = await readBackup(ends.backup);
  if (backup.workflowId !== run.workflowId || backup.chain !== run.chain) {
    throw new KirikaeError('StepFailed', foreignBackup(backup, ends.backupUrl));
  }
}
