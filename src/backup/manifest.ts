/** What a backup's database says of itself: whose it is, what it holds, its sealed manifest. */
import type { Client } from 'pg';
import type { TableHash } from '../engine/compare';
import type { Phase } from '../engine/parts';
import type { HashMethod } from '../engine/row-hash';
import type { SequenceState } from '../engine/tables';
import { KirikaeError } from '../errors';
import type { RunIdentity } from '../ledger/claim';
import { describeScratch, emptyScratch } from '../ledger/scratch';
import { backupDdl } from '../ledger/tables';
import { all, one } from '../postgres/connect';
import { dropDatabase } from '../postgres/databases';
import type { Endpoint } from '../postgres/endpoint';
import { qualified, type TableName } from '../postgres/sql';
import { dropCommand, placeOf } from '../postgres/url';

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

/**
 * Marks the database as this run's backup.
 * @param origin.created by this run, which drops it in the end; @param origin.content `any` where it is known to be the run's own
 */
export async function markBackup(
  backup: Endpoint,
  run: RunIdentity,
  { created, content }: { created: boolean; content: 'none' | 'any' },
): Promise<void> {
  // Preflight looked too, but hours may lie between: what somebody put there since is neither mixed with nor removed.
  const found = await describeScratch(backup.client);
  if (found.kind === 'foreign' && content === 'none') {
    throw new KirikaeError(
      'StepFailed',
      `The backup database ${placeOf(backup.url)} holds tables that aren't Kirikae's (${found.objects.join(', ')}). Name an empty database, or remove this one: ${dropCommand(backup.url)}`,
    );
  }
  await backup.client.query(`set client_min_messages = warning;${backupDdl}`);
  await backup.client.query(
    `insert into kirikae.backup (namespace, workflow_id, chain, plan, created_database) values ($1, $2, $3, $4, $5) on conflict do nothing`,
    [run.namespace, run.workflowId, run.chain, run.plan, created],
  );
  const marked = await readBackup(backup.client);
  if (marked.workflowId !== run.workflowId || marked.chain !== run.chain) {
    throw new KirikaeError('StepFailed', foreignBackup(marked, backup.url));
  }
}

/** The sealed tables by their quoted names, as `hashTables` gives them. */
export function sealedTables({ tables }: Manifest): Map<string, TableHash> {
  return new Map(tables.map((table) => [qualified(table), table]));
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
export async function removeBackup({ url, client }: Endpoint, schemas: readonly string[]): Promise<void> {
  const { createdDatabase } = await readBackup(client);
  if (createdDatabase) await dropDatabase(url, 'backup drop');
  else await emptyScratch(client, schemas);
}

/** The sentence for a backup of another run. */
export function foreignBackup(backup: Backup, url: string): string {
  const state = backup.manifest ? 'sealed' : 'unfinished';
  return `The backup database ${placeOf(url)} holds the ${state} backup of another run (workflow "${backup.workflowId}"), which is never overwritten. If it isn't needed any more, remove it: ${dropCommand(url)}`;
}

/** @throws KirikaeError when the backup is not sealed */
export async function sealedManifest(backup: Client): Promise<Manifest> {
  const { manifest } = await readBackup(backup);
  if (!manifest)
    throw new KirikaeError('StepFailed', 'The backup is not sealed, so it is not restored from.');
  return manifest;
}
