/** What a backup's database says of itself: whose it is, what it holds, its sealed manifest. */
import { createHash } from 'node:crypto';
import type { Client } from 'pg';
import type { TableHash } from '../engine/compare';
import type { Phase } from '../engine/parts';
import type { HashMethod } from '../engine/row-hash';
import type { SequenceState, StoredTable } from '../engine/tables';
import { KirikaeError } from '../errors';
import { readMarker, writeMarker } from '../ledger/marker';
import { describeScratch, emptyScratch } from '../ledger/scratch';
import { backupDdl } from '../ledger/tables';
import { all, hasRelation, inTransaction } from '../postgres/connect';
import { dropDatabase } from '../postgres/databases';
import type { Endpoint } from '../postgres/endpoint';
import { qualified, type TableName } from '../postgres/sql';
import { placeOf, shellWord } from '../postgres/url';

export const BACKUP_PHASE: Phase = { name: 'backup', attempt: 1 };

const format = 3;

export interface ManifestTable extends TableName, TableHash {
  /** `hashOfColumns` of the backup's table. */
  columns: string;
}

/** What the backup holds, sealed: enough to restore and to prove that nothing changed. Hashes of texts are sha256. */
export interface Manifest {
  format: typeof format;
  plan: string;
  planHash: string;
  source: { systemIdentifier: string; database: string; serverVersion: string };
  schemas: string[];
  hashMethod: HashMethod;
  tables: ManifestTable[];
  sequences: SequenceState[];
  /** Materialized views that held rows, in the order in which they can be refreshed. */
  filledViews: TableName[];
  /** Hashes of the stored texts that a restore and the backup's own indexes are made of and held against; null where there is no text. */
  definitions: Record<DefinitionText, string | null>;
  bytes: number;
}

const definitionTexts = ['ddl_pre', 'ddl_post', 'ddl_post_plain', 'printings'] as const;
export type DefinitionText = (typeof definitionTexts)[number];

export interface Backup {
  /** Null when the backup is not sealed, and when its manifest can't be read (any more). */
  manifest: Manifest | null;
  manifestText: string | null;
  /** sha256 of the sealed manifest. */
  manifestHash: string | null;
  sealedAt: Date | null;
  /** The definition's texts as they stand there now. */
  definitions: Record<DefinitionText, string | null>;
  /** The run that made it. */
  workflowId: string;
  firstRunId: string;
  plan: string;
  createdDatabase: boolean;
}

/** Whose a backup becomes. */
export interface BackupOwner {
  /** Claim id, which its marker gets. */
  claim: string;
  role: 'backup' | 'aside';
  /** Who made it, for messages. */
  run: { namespace: string; workflowId: string; firstRunId: string; plan: string };
  /** The run created the database, and drops it in the end. */
  created: boolean;
}

/**
 * Marks the database as a claim's backup, in one transaction.
 * @param content `any` where it is known to be the claim's own, e.g. a clone
 * @throws KirikaeError StepFailed when it holds another claim's backup or foreign tables
 */
export async function markBackup(
  backup: Endpoint,
  { claim, role, run, created }: BackupOwner,
  content: 'none' | 'any',
): Promise<void> {
  const { client } = backup;
  // Preflight looked too, but hours may lie between: what somebody put there since is neither mixed with nor removed.
  const found = await describeScratch(client);
  if (found.kind === 'foreign' && content === 'none') {
    throw new KirikaeError(
      'StepFailed',
      `The backup database ${placeOf(backup.url)} holds tables that aren't Kirikae's (${found.objects.join(', ')}). Name an empty database.`,
    );
  }
  await inTransaction(client, async () => {
    await client.query(`set client_min_messages = warning;${backupDdl}`);
    const { rowCount } = await client.query(
      `insert into kirikae.backup (namespace, workflow_id, first_run_id, plan, created_database) values ($1, $2, $3, $4, $5) on conflict do nothing`,
      [run.namespace, run.workflowId, run.firstRunId, run.plan, created],
    );
    const marked = await readMarker(client);
    const isOwn = marked.kind === 'marked' && marked.marker.claim === claim;
    if (rowCount === 0 && !isOwn)
      throw new KirikaeError('StepFailed', foreignBackup(await readBackup(client), backup.url));
    await writeMarker(client, claim, role);
  });
}

/** The sealed tables by their quoted names, as `hashTables` gives them. */
export function sealedTables({ tables }: Manifest): Map<string, TableHash> {
  return new Map(tables.map((table) => [qualified(table), table]));
}

/** What the backup says. @throws KirikaeError when it says nothing */
export async function readBackup(backup: Client): Promise<Backup> {
  const [row] = (await hasRelation(backup, 'kirikae.backup'))
    ? await all<Omit<Backup, 'manifest'>>(
        backup,
        `select manifest as "manifestText", manifest_hash as "manifestHash", sealed_at as "sealedAt",
           json_build_object('ddl_pre', ddl_pre, 'ddl_post', ddl_post, 'ddl_post_plain', ddl_post_plain, 'printings', printings) as definitions,
           workflow_id as "workflowId", first_run_id as "firstRunId", plan, created_database as "createdDatabase" from kirikae.backup`,
      )
    : [];
  if (!row)
    throw new KirikaeError(
      'StepFailed',
      `The database ${backup.database ?? ''} holds no backup of Kirikae's.`,
    );
  return { ...row, manifest: parseManifest(row.manifestText) };
}

/** True when a backup has its manifest, whatever that says; false also where there is no backup yet. */
export async function isSealed(backup: Client): Promise<boolean> {
  if (!(await hasRelation(backup, 'kirikae.backup'))) return false;
  return (await all(backup, 'select from kirikae.backup where manifest is not null')).length > 0;
}

/** A manifest's text read. @returns null for one that was altered so that it is no JSON any more */
export function parseManifest(text: string | null): Manifest | null {
  try {
    return text === null ? null : (JSON.parse(text) as Manifest);
  } catch {
    return null;
  }
}

/** Removes the backup: the whole database when the run created it, else only what the run put there. */
export async function removeBackup({ url, client }: Endpoint, schemas: readonly string[]): Promise<void> {
  const { createdDatabase } = await readBackup(client);
  if (createdDatabase) await dropDatabase(url, 'backup drop');
  else await emptyScratch(client, schemas);
}

/** The sentence for a backup of another run. */
export function foreignBackup(backup: Backup, url: string): string {
  const state = backup.manifestText === null ? 'unfinished' : 'sealed';
  return `The backup database ${placeOf(url)} holds the ${state} backup of another run (workflow "${backup.workflowId}"), which is never overwritten. If it isn't needed any more, remove it: kirikae remove-backup ${shellWord(backup.plan)}`;
}

/**
 * The manifest of a sealed backup, with everything that it covers but rows, columns and sequences held against it.
 * @throws KirikaeError StepFailed when the backup is not sealed or of another format, DataDiffer naming what was altered
 */
export async function sealedManifest(backup: Client): Promise<Manifest> {
  const found = await readBackup(backup);
  const problems = alteredParts(found);
  if (problems.length > 0) throw altered(backup, problems);
  const why = whyUnreadable(found);
  if (why !== null || found.manifest === null)
    throw new KirikaeError('StepFailed', `The backup ${why ?? 'is not sealed'}, so it is not restored from.`);
  return found.manifest;
}

/** Why a backup's manifest says nothing, as what follows "The backup"; null when it can be read. */
export function whyUnreadable({ manifestText, manifest }: Backup): string | null {
  if (manifestText === null || manifest === null) return 'is not sealed';
  const sealedFormat: number = manifest.format;
  return sealedFormat === format
    ? null
    : `was sealed by another version of Kirikae (its manifest has format ${sealedFormat}, this version reads ${format}; restore it with the version that made it, or by hand: docs/if-it-stops.md, "By hand")`;
}

/** What of a sealed backup's texts isn't as it was sealed, a clause each: the manifest, else the definitions that it covers. */
export function alteredParts(found: Backup): string[] {
  const { manifestText, manifestHash, manifest, definitions } = found;
  if (manifestText === null) return manifestHash === null ? [] : ['its manifest is gone'];
  if (hashOf(manifestText) !== manifestHash) return ['its manifest was altered (kirikae.backup.manifest)'];
  if (manifest === null || whyUnreadable(found) !== null) return [];
  return definitionTexts
    .filter((name) => hashOfText(definitions[name]) !== manifest.definitions[name])
    .map((name) => `the stored definition ${name} was altered (kirikae.backup.${name})`);
}

/** The error of a backup that isn't as it was sealed. @param problems one clause each */
export function altered(backup: Client, problems: readonly string[]): KirikaeError {
  return new KirikaeError(
    'DataDiffer',
    `The backup is not what was sealed: ${problems.join('; ')}. Nothing was dropped. Find out who writes to the database ${backup.database ?? ''}, and stop it; nothing is restored from this backup.`,
  );
}

/** The sha256 of a manifest's text. */
export function hashOfManifest(manifest: Manifest): string {
  return hashOf(JSON.stringify(manifest));
}

/** Hashes of the definition's texts, as the manifest has them. */
export function hashOfDefinitions(texts: Record<DefinitionText, string | null>): Manifest['definitions'] {
  return {
    ddl_pre: hashOfText(texts.ddl_pre),
    ddl_post: hashOfText(texts.ddl_post),
    ddl_post_plain: hashOfText(texts.ddl_post_plain),
    printings: hashOfText(texts.printings),
  };
}

/** Hash of a stored table's columns: names, types and order, generated ones apart. */
export function hashOfColumns({ columns, generated }: StoredTable): string {
  return hashOf(JSON.stringify([columns, generated]));
}

function hashOfText(text: string | null): string | null {
  return text === null ? null : hashOf(text);
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
