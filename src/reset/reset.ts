/** The destructive step: everything compared under lock with the sealed manifest, then dropped or set aside, in one transaction. */
import type { Client } from 'pg';
import type { Manifest } from '../backup/manifest';
import { hashTables, type TableHash } from '../engine/compare';
import {
  describeDifferences,
  hashJob,
  maxProblems,
  narrowStored,
  type StoredSide,
} from '../engine/differences';
import { readSequenceStates, readStoredTables, type StoredTable } from '../engine/tables';
import { KirikaeError } from '../errors';
import { ownClaim, setMark, type RunIdentity } from '../ledger/claim';
import { inTransaction } from '../postgres/connect';
import { dumpHash, dumpSchema } from '../postgres/dump';
import { emptySchemas } from '../postgres/managed-schemas';
import { qualified } from '../postgres/sql';
import { endOtherSessions } from './fence';
import { setAside } from './set-aside';

export interface Reset {
  production: Client;
  backup: Client;
  productionUrl: string;
  backupUrl: string;
  schemas: readonly string[];
  /** What becomes of the old objects until the run ends: dropped at once, or moved into schemas of their own. */
  mode: 'drop' | 'keep';
  manifest: Manifest;
  run: RunIdentity;
  lanes: number;
  signal: AbortSignal;
  onTable: (rows: number) => void;
}

/**
 * Drops the managed schemas' content, or sets it aside, once. A retry that finds the mark `reset` does nothing.
 * @throws KirikaeError DataDiffer when backup or production isn't what the manifest says (nothing was dropped then)
 */
export async function resetProduction(reset: Reset): Promise<void> {
  const { production, schemas, run } = reset;
  if ((await ownClaim(production, run)).resetAt) return;
  await proveBackup(reset);
  await endOtherSessions(production);
  await inTransaction(production, async () => {
    // Readers may come and go under the fence: better to try again than to wait behind one for ever.
    await production.query(`set local lock_timeout = '20s'`);
    const claim = await ownClaim(production, run);
    if (claim.resetAt) return;
    await production.query('lock table kirikae.claim in share row exclusive mode');
    const tables = await readStoredTables(production, schemas);
    for (const table of tables) await production.query(`lock table only ${qualified(table)} in share mode`);
    const problems = await changesSince(reset, tables);
    if (problems.length > 0) {
      throw new KirikaeError(
        'DataDiffer',
        `Production is not what the sealed backup holds, so a write went round the fence: ${problems.slice(0, maxProblems).join('; ')}. Nothing was dropped. Find out who writes (superusers and SET go round a read-only default), stop it, and start again.`,
      );
    }
    await setMark(production, 'reset_at');
    if (reset.mode === 'keep') await setAside(production, schemas);
    else await emptySchemas(production, schemas);
  });
}

// Hours may lie between sealing and approval: nothing is dropped on the strength of a backup that was touched since.
async function proveBackup(reset: Reset): Promise<void> {
  const tables = await readStoredTables(reset.backup, reset.schemas);
  const now = await hashed(reset, reset.backupUrl, tables);
  // The manifest has no rows to compare with; production, which the backup was proved against, has.
  const problems = await describeDifferences(
    [sealedTables(reset), now],
    ['its manifest', 'the backup'],
    narrowStored(
      productionSide(reset, await readStoredTables(reset.production, reset.schemas)),
      backupSide(reset, tables),
      { method: reset.manifest.hashMethod, label: 'reset', signal: reset.signal },
    ),
  );
  if (problems.length > 0) {
    throw new KirikaeError(
      'DataDiffer',
      `The backup is not what was sealed: ${problems.slice(0, maxProblems).join('; ')}. Nothing was dropped. Find out who writes to the database ${reset.backup.database ?? ''}, stop it, and start again.`,
    );
  }
}

function productionSide({ production, productionUrl }: Reset, tables: StoredTable[]): StoredSide {
  return { url: productionUrl, client: production, title: 'production', tables };
}

function backupSide({ backup, backupUrl }: Reset, tables: StoredTable[]): StoredSide {
  return { url: backupUrl, client: backup, title: 'the backup', tables };
}

function sealedTables({ manifest }: Reset): Map<string, TableHash> {
  return new Map(manifest.tables.map((table) => [qualified(table), table]));
}

async function hashed(reset: Reset, url: string, tables: StoredTable[]): Promise<Map<string, TableHash>> {
  return hashTables(tables.map(hashJob), {
    url,
    label: 'reset',
    method: reset.manifest.hashMethod,
    lanes: reset.lanes,
    signal: reset.signal,
    onTable: reset.onTable,
  });
}

async function changesSince(reset: Reset, tables: StoredTable[]): Promise<string[]> {
  const { manifest, production } = reset;
  const now = await hashed(reset, reset.productionUrl, tables);
  const problems = await describeDifferences(
    [sealedTables(reset), now],
    ['the backup', 'production'],
    narrowStored(
      backupSide(reset, await readStoredTables(reset.backup, reset.schemas)),
      productionSide(reset, tables),
      { method: manifest.hashMethod, label: 'reset', signal: reset.signal },
    ),
  );
  const sequences = await readSequenceStates(production, reset.schemas);
  const state = (list: Manifest['sequences']) =>
    new Map(list.map((s) => [qualified(s), `${s.lastValue} ${s.isCalled}`]));
  const [before, after] = [state(manifest.sequences), state(sequences)];
  for (const [name, value] of before) {
    if (after.get(name) !== value)
      problems.push(`sequence ${name} was at ${value} and is at ${after.get(name) ?? 'nothing'}`);
  }
  for (const name of after.keys()) if (!before.has(name)) problems.push(`sequence ${name} is new`);
  const dump = await dumpSchema(reset.productionUrl, reset.schemas, { owners: true });
  if (dumpHash(dump) !== manifest.ddlHash) problems.push('the definition of the schemas has changed');
  return problems;
}
