/** The backup database: built from production's definition, filled by the copy engine, verified and sealed. */
import { createHash } from 'node:crypto';
import type { Client } from 'pg';
import { applyDdl, createDatabase, prepareLike } from './database';
import { hashTables } from './engine/compare';
import { describeDifferences, hashJob, maxProblems, narrowStored } from './engine/differences';
import { planParts, type CopyJob, type PartPlan } from './engine/parts';
import { readSequences, readTables, writeSequences, type StoredTable } from './engine/tables';
import type { HashMethod } from './engine/row-hash';
import { KirikaeError } from './errors';
import { mirrorClaim, noteStage, stageDone, type Claim, type RunIdentity } from './ledger';
import { BACKUP_PHASE, markBackup, readBackup, type Ends, type Manifest } from './manifest';
import { inTransaction, one, withClient } from './postgres/connect';
import { analyzeTables, applyPostData } from './post-data';
import { dumpHash, dumpSchema, dumpSql, majorVersion, type DumpEntry } from './postgres/dump';
import { identifiers, qualified } from './postgres/sql';
import { filledViews } from './views';
import { databaseOf } from './postgres/url';

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
    const plain = await dumpSchema(ends.productionUrl, ends.schemas, { owners: false });
    const [from, to] = [await majorVersion(ends.production), await majorVersion(ends.backup)];
    const version = Math.min(from, to);
    // From PostgreSQL 17 on an index's functions are called without a search_path, which older ones may need.
    const pathless = from < 17 && to >= 17;
    await inTransaction(ends.backup, async () => {
      await applyDdl(ends.backup, dumpSql(plain, plain.pre, version), "production's schema");
      const serving = plain.post.filter(servesReading);
      const post = dumpSql(plain, pathless ? withoutComputed(serving) : serving, version);
      await ends.backup.query('update kirikae.backup set ddl_post_plain = $1', [post]);
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

// The backup is only read. Its row security could hide rows from their reader, and policies name roles that its server may lack.
function servesReading({ type, name }: DumpEntry): boolean {
  const guards = /^(TRIGGER|RULE|POLICY|ROW SECURITY)\b/;
  return !guards.test(type) && !(type === 'COMMENT' && guards.test(name));
}

// Without the indexes of expressions or with a condition, and without what is said about them.
function withoutComputed(entries: readonly DumpEntry[]): DumpEntry[] {
  const computes = ({ type, sql }: DumpEntry) =>
    type === 'INDEX' && /\bUSING "?\w+"? \(.*(\(|\) WHERE )/s.test(sql);
  const names = entries.filter(computes).map(({ schema, name }) => qualified({ schema, name }));
  return entries.filter((entry) => !computes(entry) && !names.some((name) => entry.sql.includes(name)));
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
  const [before, after, definition] = await withClient(ends.backupUrl, 'backup notes', (second) =>
    Promise.all([
      hash(ends.backup, ends.productionUrl, tables, 'source'),
      hash(second, ends.backupUrl, copies, 'copy'),
      dumpSchema(ends.productionUrl, ends.schemas, { owners: true }),
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
  const version = await majorVersion(ends.production);
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
    ddlHash: dumpHash(definition),
    bytes: tables.reduce((sum, table) => sum + table.bytes, 0),
  };
  const text = JSON.stringify(manifest);
  const manifestHash = createHash('sha256').update(text).digest('hex');
  // Production's definition goes in with it, so that the backup alone restores.
  await ends.backup.query(
    `update kirikae.backup set manifest = $1, manifest_hash = $2, ddl_pre = $3, ddl_post = $4, sealed_at = now() where sealed_at is null`,
    [
      text,
      manifestHash,
      dumpSql(definition, definition.pre, version),
      dumpSql(definition, definition.post, version),
    ],
  );
  return { manifest, manifestHash };
}

/** Indexes and keys of the backup: they serve the mapping's joins; a restore doesn't need them. */
export async function indexBackup(
  backup: Client,
  backupUrl: string,
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
}

/** Statistics of the backup: enough for the mapping's joins, and a tenth of the usual sample. */
export async function analyzeBackup(
  backup: Client,
  backupUrl: string,
  schemas: readonly string[],
  work: { label: string; lanes: number; signal: AbortSignal },
): Promise<void> {
  await analyzeTables(backup, schemas, { ...work, url: backupUrl }, 10);
}
