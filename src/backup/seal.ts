/** The backup verified by reading both sides, sealed in its manifest; then its indexes and statistics. */
import { createHash } from 'node:crypto';
import type { Client } from 'pg';
import { hashTables } from '../engine/compare';
import { hashJob, describeDifferences, narrowStored, maxProblems } from '../engine/differences';
import { applyPostData, analyzeTables } from '../engine/post-data';
import type { HashMethod } from '../engine/row-hash';
import { readSequenceStates, writeSequences, readStoredTables, type StoredTable } from '../engine/tables';
import { KirikaeError, failureType } from '../errors';
import { stageDone, noteStage } from '../ledger/checkpoints';
import { withClient, one } from '../postgres/connect';
import { dumpSchema, dumpHash, dumpSql } from '../postgres/dump';
import { qualified } from '../postgres/sql';
import { databaseOf } from '../postgres/url';
import { sameMajor, majorVersion } from '../postgres/versions';
import { filledViews } from '../postgres/views';
import { type Ends, type Manifest, readBackup, BACKUP_PHASE } from './manifest';

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
  const sequences = await readSequenceStates(ends.production, ends.schemas);
  await writeSequences(ends.backup, sequences);
  const method: HashMethod = (await sameMajor(ends.production, ends.backup)) ? 'record' : 'text';
  const tables = await readStoredTables(ends.production, ends.schemas);
  const copies = await readStoredTables(ends.backup, ends.schemas);
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
  ).catch((error: unknown) => {
    // Hosted servers may keep their identity to themselves.
    if (failureType(error) !== 'StepFailed') throw error;
    return { systemIdentifier: '', database: databaseOf(ends.productionUrl), serverVersion: '' };
  });
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
