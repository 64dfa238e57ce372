/** The destructive step: everything compared under lock with the sealed manifest, then dropped or set aside, in one transaction. */
import type { Client } from 'pg';
import { unlikeManifest } from '../backup/held-against';
import { hashOfManifest, type Manifest } from '../backup/manifest';
import { proveBackup } from '../backup/prove';
import { maxProblems } from '../engine/differences';
import { readStoredTables } from '../engine/tables';
import { KirikaeError } from '../errors';
import { namingBlockers } from '../postgres/blockers';
import { inTransaction } from '../postgres/connect';
import type { MayWrite, Note, Pair, Work } from '../postgres/endpoint';
import { emptySchemas, lockTables } from '../postgres/managed-schemas';
import { endOtherSessions } from './fence';
import { noteKeptManifest } from './prove-kept';
import { setAside } from './set-aside';

export interface Reset {
  schemas: readonly string[];
  /** What becomes of the old objects until the run ends: dropped at once, or moved into schemas of their own. */
  mode: 'drop' | 'keep';
  manifest: Manifest;
  /** True when the ledger says that it was done. */
  isDone: (production: Client) => Promise<boolean>;
  /** Writes into the ledger that it is done, in the transaction that does it. */
  note: Note;
  mayWrite: MayWrite;
}

/**
 * Drops the managed schemas' content, or sets it aside, once. A retry that finds it done does nothing.
 * @throws KirikaeError DataDiffer when backup or production isn't what the manifest says (nothing was dropped then), and what
 * the hooks throw
 */
export async function resetProduction(pair: Pair, reset: Reset, work: Work): Promise<void> {
  const { schemas, manifest, isDone, note, mayWrite } = reset;
  const production = pair.production.client;
  if (await isDone(production)) return;
  // Hours may lie between sealing and approval: nothing is dropped on the strength of a backup that was touched since.
  await proveBackup(pair.backup, { manifestHash: hashOfManifest(manifest), twin: pair.production }, work);
  await endOtherSessions(production);
  const drop = async () => {
    // Readers may come and go under the fence: better to try again than to wait behind one for ever.
    await production.query(`set local lock_timeout = '20s'`);
    if (await isDone(production)) return;
    const tables = await readStoredTables(production, schemas);
    await lockTables(production, tables, 'share');
    const locked = { ...pair.production, tables };
    const { problems } = await unlikeManifest(locked, pair.backup, { manifest, schemas, work });
    if (problems.length > 0) {
      throw new KirikaeError(
        'DataDiffer',
        `Production is not what the sealed backup holds, so a write went round the fence: ${problems.slice(0, maxProblems).join('; ')}. Nothing was dropped. Find out who writes (superusers and SET go round a read-only default), stop it, and start again.`,
      );
    }
    await note(production);
    if (reset.mode === 'keep') {
      await setAside(production, schemas);
      await noteKeptManifest(production, manifest);
    } else await emptySchemas(production, schemas);
    await mayWrite(production);
  };
  await namingBlockers(production, schemas, () => inTransaction(production, drop));
}
