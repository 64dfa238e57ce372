/** `backup.method: clone`: the server itself copies production's files into the backup database. */
import type { Client } from 'pg';
import { planParts, type PartPlan } from '../engine/parts';
import { KirikaeError } from '../errors';
import { noteStage } from '../ledger/checkpoints';
import { isAtHome, readMarker } from '../ledger/marker';
import { describeScratch } from '../ledger/scratch';
import { APPLICATION, inTransaction } from '../postgres/connect';
import { copyFiles, endPredecessors, withServer } from '../postgres/database-files';
import { databaseExists } from '../postgres/databases';
import type { Endpoint, Pair, Place, Work } from '../postgres/endpoint';
import { databaseOf, placeOf } from '../postgres/url';
import { BACKUP_PHASE, markBackup, type BackupOwner } from './manifest';

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

/** True when a database is a claim's clone that isn't a backup yet: production's marker came with the files. */
export async function isOwnClone(backup: Client, claim: string): Promise<boolean> {
  const found = await readMarker(backup);
  if (found.kind !== 'marked') return false;
  const { marker } = found;
  // Production itself has that marker too, at home.
  return marker.claim === claim && marker.role === 'production' && !isAtHome(marker);
}

/**
 * Turns a clone into a backup like any other, with a marker of its own in place of production's. Nothing is left to copy or to
 * index; sealing reads and compares both sides as ever.
 */
export async function adoptClone(backup: Endpoint, owner: BackupOwner): Promise<PartPlan> {
  const { client, url } = backup;
  const isOwn = await isOwnClone(client, owner.claim);
  if (!isOwn && (await describeScratch(client)).kind === 'empty') {
    throw new KirikaeError(
      'StepFailed',
      `The backup database ${placeOf(url)} was created by somebody else meanwhile, and a clone is always made anew. Name a database that isn't there.`,
    );
  }
  await markBackup(backup, owner, isOwn ? 'any' : 'none');
  await inTransaction(client, async () => {
    for (const stage of ['schema', 'indexes']) await noteStage(client, BACKUP_PHASE, stage);
  });
  return planParts(client, BACKUP_PHASE, { jobs: [], sameMajor: true });
}
