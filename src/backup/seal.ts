/** The backup verified by reading both sides, sealed in its manifest; then its indexes and statistics. */
import type { Client } from 'pg';
import { hashTables } from '../engine/compare';
import {
  hashJob,
  describeDifferences,
  narrowStored,
  maxProblems,
  storedSide,
  type StoredSide,
} from '../engine/differences';
import { applyPostData, analyzeTables } from '../engine/post-data';
import type { HashMethod } from '../engine/row-hash';
import { readSequenceStates, writeSequences } from '../engine/tables';
import { KirikaeError, failureType } from '../errors';
import { stageDone, noteStage } from '../ledger/checkpoints';
import { withClient, one } from '../postgres/connect';
import { dumpSchema, dumpSql, type Digests } from '../postgres/dump';
import type { Endpoint, Pair, Work } from '../postgres/endpoint';
import { aroundRows } from '../postgres/around-rows';
import { qualified } from '../postgres/sql';
import { databaseOf } from '../postgres/url';
import { sameMajor, majorVersion } from '../postgres/versions';
import { filledViews } from '../postgres/views';
import { sealedPrintings } from './definition';
import {
  BACKUP_PHASE,
  hashOfColumns,
  hashOfDefinitions,
  hashOfManifest,
  readBackup,
  sealedManifest,
  type Manifest,
} from './manifest';
import { noteWitnesses, waitForCounters } from './witness';

export interface SealedPlan {
  name: string;
  hash: string;
  schemas: string[];
  /** Of production's definition, what is printed otherwise once it was read again. */
  again?: Digests;
}

/**
 * Sequences, then both sides read again and compared, then the manifest.
 * @returns the sealed backup's manifest and its hash
 * @throws KirikaeError DataDiffer naming the tables that differ, and their rows by primary key
 */
export async function sealBackup(
  { production, backup }: Pair,
  plan: SealedPlan,
  work: Work,
): Promise<{ manifest: Manifest; manifestHash: string }> {
  const { schemas } = plan;
  const sealed = await readBackup(backup.client);
  if (sealed.manifestHash)
    return { manifest: await sealedManifest(backup.client), manifestHash: sealed.manifestHash };
  const sequences = await readSequenceStates(production.client, schemas);
  await writeSequences(backup.client, sequences);
  const sameVersion = await sameMajor(production.client, backup.client);
  const method: HashMethod = sameVersion ? 'record' : 'text';
  await waitForCounters(backup.client, BACKUP_PHASE);
  await noteWitnesses(backup.client, 'kirikae.sealed_table', schemas);
  const left = await storedSide(production, schemas);
  const right = await storedSide(backup, schemas);
  const hashing = { ...work, lanes: Math.ceil(work.lanes / 2), method };
  const hash = ({ url, tables }: StoredSide, side: string, client: Client) =>
    hashTables(tables.map(hashJob), { ...hashing, url, notes: { client, phase: BACKUP_PHASE, side } });
  const [before, after, definition] = await withClient(backup.url, `${work.label} notes`, (second) =>
    Promise.all([
      hash(left, 'source', backup.client),
      hash(right, 'copy', second),
      dumpSchema(production.url, schemas, { owners: true }),
    ]),
  );
  const problems = await describeDifferences(
    [before, after],
    [left.title, right.title],
    narrowStored(left, right, hashing),
  );
  if (problems.length > 0) {
    throw new KirikaeError(
      'DataDiffer',
      `The backup does not hold what production holds: ${problems.slice(0, maxProblems).join('; ')}. Production was not changed. If something wrote to production meanwhile, stop it; then start again.`,
    );
  }
  const identity = await one<Manifest['source']>(
    production.client,
    `select (select system_identifier::text from pg_control_system()) as "systemIdentifier", current_database() as database,
       current_setting('server_version') as "serverVersion"`,
  ).catch((error: unknown) => {
    // Hosted servers may keep their identity to themselves.
    if (failureType(error) !== 'StepFailed') throw error;
    return { systemIdentifier: '', database: databaseOf(production.url), serverVersion: '' };
  });
  const version = await majorVersion(production.client);
  const columns = new Map(right.tables.map((table) => [qualified(table), hashOfColumns(table)]));
  const applied = aroundRows(definition);
  const definitions = {
    ...sealed.definitions,
    ddl_pre: dumpSql(applied, applied.pre, version),
    ddl_post: dumpSql(applied, applied.post, version),
    printings: await sealedPrintings(production, { schemas, definition, again: plan.again ?? {} }),
  };
  const manifest: Manifest = {
    format: 3,
    plan: plan.name,
    planHash: plan.hash,
    source: identity,
    schemas,
    hashMethod: method,
    tables: left.tables
      .map(({ schema, name }) => ({
        schema,
        name,
        ...(before.get(qualified({ schema, name })) ?? { rows: 0, hash: '0' }),
        columns: columns.get(qualified({ schema, name })) ?? '',
      }))
      .sort((a, b) => (qualified(a) < qualified(b) ? -1 : 1)),
    sequences,
    filledViews: await filledViews(production.client, schemas),
    definitions: hashOfDefinitions(definitions),
    bytes: left.tables.reduce((sum, table) => sum + table.bytes, 0),
  };
  const manifestHash = hashOfManifest(manifest);
  // Production's definition goes in with it, so that the backup alone restores.
  await backup.client.query(
    `update kirikae.backup set manifest = $1, manifest_hash = $2, ddl_pre = $3, ddl_post = $4, printings = $5, sealed_at = now() where sealed_at is null`,
    [
      JSON.stringify(manifest),
      manifestHash,
      definitions.ddl_pre,
      definitions.ddl_post,
      definitions.printings,
    ],
  );
  return { manifest, manifestHash };
}

/** Indexes and keys of the backup: they serve the mapping's joins; a restore doesn't need them. */
export async function indexBackup(backup: Endpoint, work: Work): Promise<void> {
  const { client } = backup;
  if (await stageDone(client, BACKUP_PHASE, 'indexes')) return;
  const { sql } = await one<{ sql: string }>(client, 'select ddl_post_plain as sql from kirikae.backup');
  await applyPostData({
    ...work,
    target: backup,
    phase: BACKUP_PHASE,
    sql,
    what: "backup's indexes and keys",
    finish: (session) => noteStage(session, BACKUP_PHASE, 'indexes'),
  });
}

/** Statistics of the backup: enough for the mapping's joins, and a tenth of the usual sample. */
export async function analyzeBackup(backup: Endpoint, schemas: readonly string[], work: Work): Promise<void> {
  await analyzeTables(backup, { schemas, sample: 10 }, work);
}
