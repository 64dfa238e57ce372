/** A whole restore in one process: from empty to proved, with the pieces that a run's activities call one by one. */
import { unlikeManifest } from '../backup/held-against';
import { sealedManifest, type Manifest } from '../backup/manifest';
import { copyGroup } from '../engine/copy';
import { maxProblems, storedSide } from '../engine/differences';
import { KirikaeError } from '../errors';
import type { Endpoint, MayWrite, Work } from '../postgres/endpoint';
import { inLanes } from '../postgres/lanes';
import { placeOf } from '../postgres/url';
import { beginRestore, finishRestore } from './copy-back';

export interface WholeRestore {
  /** The managed ones. */
  schemas: readonly string[];
  /** Each attempt starts from empty; the same again goes on where it stopped. */
  attempt: number;
  mayWrite: MayWrite;
  /** Called as a stage begins. */
  onStage?: (stage: 'rows' | 'keys' | 'compare') => void;
}

/**
 * Restores a sealed backup into a database and proves it. Whether the backup is still what was sealed is for the caller to prove
 * before (`proveBackup`, `holdBackup`): the first thing this does is to empty the schemas. Checkpoints stay in the target.
 * @returns the manifest that `to` is proved to be, and notes on what is printed otherwise there
 * @throws KirikaeError DataDiffer naming what differs, what the hook throws, and outages: then the same attempt goes on
 */
export async function restoreWhole(
  { from, to }: { from: Endpoint; to: Endpoint },
  { schemas, attempt, mayWrite, onStage }: WholeRestore,
  work: Work,
): Promise<{ manifest: Manifest; notes: string[] }> {
  const pair = { production: to, backup: from };
  const phase = { name: 'restore', attempt } as const;
  const restore = { schemas, isInPlace: false, phase, mayWrite };
  const { groups } = await beginRestore(pair, restore);
  onStage?.('rows');
  await inLanes(
    Array.from({ length: groups }, (_, group) => group),
    work,
    (eachItem) =>
      eachItem(async (group) => {
        const { label, signal, onProgress } = work;
        await copyGroup({
          ...{ signal, onProgress, mayWrite, group, phase: restore.phase },
          ...{ sourceUrl: from.url, targetUrl: to.url, searchPath: [], targetPath: schemas },
          label: `${label} restore ${group}`,
        });
      }),
  );
  onStage?.('keys');
  await finishRestore(pair, restore, work);
  onStage?.('compare');
  const manifest = await sealedManifest(from.client);
  const restored = await storedSide(to, schemas);
  const { problems, notes } = await unlikeManifest(restored, from, { manifest, schemas, work });
  if (problems.length > 0) {
    throw new KirikaeError(
      'DataDiffer',
      `The database ${placeOf(to.url)} is not what the backup holds after the restore: ${problems.slice(0, maxProblems).join('; ')}. Find out what changes it, and restore again: a restore starts from empty.`,
    );
  }
  return { manifest, notes };
}
