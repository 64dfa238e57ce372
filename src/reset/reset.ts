/** The destructive step: everything compared under lock with the sealed manifest, then dropped or set aside, in one transaction. */
import { rowsUnlikeManifest } from '../backup/held-against';
import { sealedTables, type Manifest } from '../backup/manifest';
import { hashTables } from '../engine/compare';
import {
  describeDifferences,
  hashJob,
  maxProblems,
  narrowStored,
  storedSide,
  type StoredSide,
} from '../engine/differences';
import { readSequenceStates, readStoredTables } from '../engine/tables';
import { KirikaeError } from '../errors';
import { ownClaim, setMark, type RunIdentity } from '../ledger/claim';
import { inTransaction } from '../postgres/connect';
import { dumpHash, dumpSchema } from '../postgres/dump';
import type { Endpoint, Pair, Work } from '../postgres/endpoint';
import { emptySchemas } from '../postgres/managed-schemas';
import { qualified } from '../postgres/sql';
import { endOtherSessions } from './fence';
import { setAside } from './set-aside';

export interface Reset {
  schemas: readonly string[];
  /** What becomes of the old objects until the run ends: dropped at once, or moved into schemas of their own. */
  mode: 'drop' | 'keep';
  manifest: Manifest;
  run: RunIdentity;
}

/**
 * Drops the managed schemas' content, or sets it aside, once. A retry that finds the mark `reset` does nothing.
 * @throws KirikaeError DataDiffer when backup or production isn't what the manifest says (nothing was dropped then)
 */
export async function resetProduction(pair: Pair, reset: Reset, work: Work): Promise<void> {
  const { schemas, run } = reset;
  const production = pair.production.client;
  if ((await ownClaim(production, run)).resetAt) return;
  await proveBackup(pair, reset, work);
  await endOtherSessions(production);
  await inTransaction(production, async () => {
    // Readers may come and go under the fence: better to try again than to wait behind one for ever.
    await production.query(`set local lock_timeout = '20s'`);
    const claim = await ownClaim(production, run);
    if (claim.resetAt) return;
    await production.query('lock table kirikae.claim in share row exclusive mode');
    const tables = await readStoredTables(production, schemas);
    for (const table of tables) await production.query(`lock table only ${qualified(table)} in share mode`);
    const locked = { ...pair.production, tables };
    const problems = await changesSince({ production: locked, backup: pair.backup }, reset, work);
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
async function proveBackup(pair: Pair, { schemas, manifest }: Reset, work: Work): Promise<void> {
  const production = await storedSide(pair.production, schemas);
  const backup = await storedSide(pair.backup, schemas);
  const reading = { ...work, method: manifest.hashMethod };
  // The manifest has no rows to compare with; production, which the backup was proved against, has.
  const problems = await describeDifferences(
    [sealedTables(manifest), await hashTables(backup.tables.map(hashJob), { ...reading, url: backup.url })],
    ['its manifest', backup.title],
    narrowStored(production, backup, reading),
  );
  if (problems.length > 0) {
    throw new KirikaeError(
      'DataDiffer',
      `The backup is not what was sealed: ${problems.slice(0, maxProblems).join('; ')}. Nothing was dropped. Find out who writes to the database ${backup.client.database ?? ''}, stop it, and start again.`,
    );
  }
}

async function changesSince(
  { production, backup: copy }: { production: StoredSide; backup: Endpoint },
  { schemas, manifest }: Reset,
  work: Work,
): Promise<string[]> {
  const backup = await storedSide(copy, schemas);
  const problems = await rowsUnlikeManifest(production, backup, { manifest, work });
  const sequences = await readSequenceStates(production.client, schemas);
  const state = (list: Manifest['sequences']) =>
    new Map(list.map((s) => [qualified(s), `${s.lastValue} ${s.isCalled}`]));
  const [before, after] = [state(manifest.sequences), state(sequences)];
  for (const [name, value] of before) {
    if (after.get(name) !== value)
      problems.push(`sequence ${name} was at ${value} and is at ${after.get(name) ?? 'nothing'}`);
  }
  for (const name of after.keys()) if (!before.has(name)) problems.push(`sequence ${name} is new`);
  const dump = await dumpSchema(production.url, schemas, { owners: true });
  if (dumpHash(dump) !== manifest.ddlHash) problems.push('the definition of the schemas has changed');
  return problems;
}
