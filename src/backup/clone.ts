/** `backup.method: clone`: the server itself copies production's files into the backup database. */
import type { Client } from 'pg';
import { planParts, type PartPlan } from '../engine/parts';
import { KirikaeError } from '../errors';
import { noteStage } from '../ledger/checkpoints';
import { isSameWorkflow, mirrorClaim, readClaim } from '../ledger/claim';
import type { Claim, RunIdentity } from '../ledger/claim';
import { describeScratch } from '../ledger/scratch';
import { APPLICATION, inTransaction, one } from '../postgres/connect';
import { copyFiles, endPredecessors, withCaretakers } from '../postgres/database-files';
import { databaseExists } from '../postgres/databases';
import { databaseOf, dropCommand, placeOf } from '../postgres/url';
import { BACKUP_PHASE, markBackup, type Ends } from './manifest';

export interface Cloning {
  productionUrl: string;
  backupUrl: string;
  /** Who clones, in application_name; the same for every attempt. */
  label: string;
  signal: AbortSignal;
}

/**
 * Makes the backup database as a copy of production's files; does nothing when it is there.
 * @throws KirikaeError naming the sessions that don't end
 */
export async function cloneDatabase(cloning: Cloning): Promise<void> {
  const { productionUrl, backupUrl, label, signal } = cloning;
  await withCaretakers(cloning, 'clone', async (caretakers) => {
    await endPredecessors(caretakers.owner, `${APPLICATION} ${label} clone`.slice(0, 63));
    if (await databaseExists(backupUrl, `${label} look`)) return;
    const stubborn = await copyFiles(caretakers, databaseOf(productionUrl), databaseOf(backupUrl), signal);
    if (stubborn === null) return;
    throw new KirikaeError(
      'StepFailed',
      `Production ${placeOf(productionUrl)} can't be cloned while others are connected to it: ${stubborn.join(', ') || 'sessions that come back at once'}. End them, or set databases.backup.method to copy; then start again.`,
    );
  });
}

/** True when a database is this run's clone that has no marker yet: production's ledger came with the files. */
export async function isOwnClone(backup: Client, run: RunIdentity, productionUrl: string): Promise<boolean> {
  const claim = await readClaim(backup);
  const { name } = await one<{ name: string }>(backup, 'select current_database() as name');
  // Production's ledger names the backup, so that production is never taken for it.
  return (
    claim !== null &&
    isSameWorkflow(claim, run) &&
    claim.backupDatabase === name &&
    name !== databaseOf(productionUrl)
  );
}

/**
 * Turns a clone into a backup like any other: marker, production's definition, the ledger's mirror. Nothing is left to copy or
 * to index; sealing reads and compares both sides as ever.
 */
export async function adoptClone(ends: Ends, run: RunIdentity, claim: Claim): Promise<PartPlan> {
  const own = await isOwnClone(ends.backup, run, ends.productionUrl);
  if (!own && (await describeScratch(ends.backup)).kind === 'empty') {
    throw new KirikaeError(
      'StepFailed',
      `The backup database ${placeOf(ends.backupUrl)} was created by somebody else meanwhile, and a clone is always made anew. Remove it: ${dropCommand(ends.backupUrl)}`,
    );
  }
  await inTransaction(ends.backup, async () => {
    await markBackup(ends, run, true, own);
    for (const stage of ['schema', 'indexes']) await noteStage(ends.backup, 'backup', 1, stage);
  });
  await mirrorClaim(ends.backup, claim);
  return planParts(ends.backup, BACKUP_PHASE, [], true);
}
