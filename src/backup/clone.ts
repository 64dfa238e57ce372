/** `backup.method: clone`: the server itself copies production's files into the backup database. */
import type { Client } from 'pg';
import { planParts, type PartPlan } from '../engine/parts';
import { KirikaeError } from '../errors';
import { noteStage } from '../ledger/checkpoints';
import { isSameWorkflow, mirrorClaim, readClaim } from '../ledger/claim';
import type { Claim, RunIdentity } from '../ledger/claim';
import { describeScratch } from '../ledger/scratch';
import { APPLICATION, inTransaction, one } from '../postgres/connect';
import { copyFiles, endPredecessors, withServer } from '../postgres/database-files';
import { databaseExists } from '../postgres/databases';
import type { Pair, Place, Work } from '../postgres/endpoint';
import { databaseOf, dropCommand, placeOf } from '../postgres/url';
import { BACKUP_PHASE, markBackup } from './manifest';

/**
 * Makes the backup database as a copy of production's files; does nothing when it is there.
 * @throws KirikaeError naming the sessions that don't end
 */
export async function cloneDatabase(
  { production, backup }: Pair<Place>,
  work: Omit<Work, 'lanes'>,
): Promise<void> {
  const { label, signal } = work;
  await withServer({ production, backup }, `${label} clone`, async (server) => {
    await endPredecessors(server.owner, `${APPLICATION} ${label} clone`.slice(0, 63));
    if (await databaseExists(backup.url, `${label} look`)) return;
    const names = { from: databaseOf(production.url), to: databaseOf(backup.url) };
    const remaining = await copyFiles(server, names, signal);
    if (remaining === null) return;
    throw new KirikaeError(
      'StepFailed',
      `Production ${placeOf(production.url)} can't be cloned while others are connected to it: ${remaining.join(', ') || 'sessions that come back at once'}. End them, or set databases.backup.method to copy; then start again.`,
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
export async function adoptClone(
  { production, backup }: Pair,
  run: RunIdentity,
  claim: Claim,
): Promise<PartPlan> {
  const own = await isOwnClone(backup.client, run, production.url);
  if (!own && (await describeScratch(backup.client)).kind === 'empty') {
    throw new KirikaeError(
      'StepFailed',
      `The backup database ${placeOf(backup.url)} was created by somebody else meanwhile, and a clone is always made anew. Remove it: ${dropCommand(backup.url)}`,
    );
  }
  await inTransaction(backup.client, async () => {
    await markBackup(backup, run, { created: true, content: own ? 'any' : 'none' });
    for (const stage of ['schema', 'indexes']) await noteStage(backup.client, BACKUP_PHASE, stage);
  });
  await mirrorClaim(backup.client, claim);
  return planParts(backup.client, BACKUP_PHASE, { jobs: [], sameMajor: true });
}
