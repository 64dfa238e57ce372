/** The restore as the ledger sees it: the backup proved and held, production emptied, brought back, compared, `restored`. */
import { setTimeout as wait } from 'node:timers/promises';
import { sealedManifest } from '../backup/manifest';
import { holdBackup, isHeld, proveBackup } from '../backup/prove';
import { maxProblems } from '../engine/differences';
import type { PartPlan, Phase as CopyPhase } from '../engine/parts';
import type { Phase } from '../contract';
import { failureType, KirikaeError } from '../errors';
import { lastAttempt, noteStage, stageDone } from '../ledger/checkpoints';
import type { HeldRun, Moved } from '../ledger/held-run';
import { lookAtLargeObjects } from '../ledger/large-objects';
import { APPLICATION, inTransaction, withClient } from '../postgres/connect';
import type { Endpoint } from '../postgres/endpoint';
import { endFencedSessions, unsetFence } from '../reset/fence';
import { beginRestore, compareWithManifest, finishRestore } from '../restore/copy-back';
import { judgeKept } from '../reset/prove-kept';
import { moveHome } from '../reset/set-aside';
import { countAnew, mustBeAsCopied } from './aside';
import { explainingLoss } from './lost-backup';

const restoring = ['aside', 'emptied'] as const;

/** The plan of a restore, for whoever copies its rows. */
export interface RestorePlan extends PartPlan {
  attempt: number;
  moved: Moved;
}

/**
 * Proves that what will be brought back is what was sealed, before anything is emptied: the old objects where they were kept and
 * are right, else the backup.
 * @throws KirikaeError DataDiffer, also where there is no such backup (any more)
 */
export async function proveOwnBackup(run: HeldRun): Promise<void> {
  const phases = ['returning', 'aside'] as const;
  const claim = await run.claimAt(phases);
  if ((await problemsOfKept(run, phases))?.length === 0) return;
  await explainingLoss(claim, () =>
    run.hold({ roles: ['backup'], phases }, async ({ backup }) => {
      await proveBackup(backup, { manifestHash: claim.manifestHash }, run.work());
    }),
  );
}

// Once production was emptied for the backup's rows, nothing else is brought back.
async function problemsOfKept(run: HeldRun, phases: readonly Phase[]): Promise<string[] | null> {
  return run.hold({ roles: [], phases }, async ({ production }, { phase, manifestHash }) =>
    phase === 'emptied' ? null : judgeKept(production, manifestHash, run.work()),
  );
}

/**
 * Proves that old objects which were kept can be moved home as they are: nothing is emptied then, and the backup isn't needed.
 * @returns `isReady` false where none were kept, or the backup's rows have to be copied, with a note of why
 * @throws KirikaeError NeedsOperator or Uncounted where rows came after the copy set aside, or may have
 */
export async function proveKept(run: HeldRun): Promise<{ isReady: boolean; moved: Moved }> {
  const problems = await problemsOfKept(run, restoring);
  return run.hold({ roles: [], phases: restoring }, async ({ production }, claim) => {
    const isReady = problems?.length === 0;
    if (isReady) {
      await countAnew(run, production, claim);
      await mustBeAsCopied(run, production.client, claim);
    }
    const moved = await run.mirrored(production.client);
    const notes = [...(problems && !isReady ? [keptNotUsed(problems)] : []), ...moved.notes];
    return { isReady, moved: { ...moved, notes } };
  });
}

/** Keeps the backup unchanged until the run's signal aborts. */
export async function holdOwnBackup(run: HeldRun): Promise<void> {
  const claim = await run.claimAt(restoring);
  await explainingLoss(claim, () =>
    run.hold({ roles: ['backup'], phases: restoring }, () => Promise.resolve()),
  );
  const place = run.place('backup');
  await withClient(place.url, run.holdLabel, async (client) => {
    await holdBackup({ ...place, client }, await sealedManifest(client));
    await new Promise<void>((resolve, reject) => {
      if (run.signal.aborted) resolve();
      run.signal.addEventListener('abort', () => resolve());
      client.once('end', () =>
        reject(new KirikaeError('Outage', 'The session that holds the backup has ended.')),
      );
    });
  });
}

/**
 * Empties production and applies the old definition in one transaction with the phase `emptied`, and plans the rows' way back. An
 * attempt that was spoilt is begun anew from empty, any other is gone on with.
 * @throws KirikaeError DataDiffer when the backup isn't as sealed; NeedsOperator or Uncounted where rows came after the copy set aside, or
 * may have
 */
export async function empty(run: HeldRun): Promise<RestorePlan> {
  return run.hold({ roles: ['backup'], phases: restoring }, async (pair, claim) => {
    const [production, backup] = [pair.production.client, pair.backup];
    await untilHeld(run, backup);
    await explainingLoss(claim, () => proveBackup(backup, { manifestHash: claim.manifestHash }, run.work()));
    await countAnew(run, pair.production, claim);
    const last = await lastAttempt(production, 'restore');
    const isSpoilt = last === 0 || (await stageDone(production, phaseOf(last), 'spoilt'));
    const attempt = isSpoilt ? last + 1 : last;
    const plan = await beginRestore(pair, {
      schemas: run.schemas,
      isInPlace: true,
      phase: phaseOf(attempt),
      mayWrite: run.stillMay(restoring),
      mayEmpty: (client) => mustBeAsCopied(run, client, claim),
      note: run.advancing('emptied'),
    });
    return { ...plan, attempt, moved: await run.mirrored(production) };
  });
}

function keptNotUsed(problems: readonly string[]): string {
  return `The old objects that were kept are not what was sealed, so the backup's rows are copied back: ${listed(problems)}.`;
}

function notAsKept(problems: readonly string[]): string {
  return `The old objects that were kept were changed while they were to be moved home, so nothing was moved: ${listed(problems) || 'they are gone'}. Stop who changes them, then send retry: the backup's rows are copied back.`;
}

function listed(problems: readonly string[]): string {
  return problems.slice(0, maxProblems).join('; ');
}

/** Keys, indexes, sequences, views and statistics of the restored rows. */
export async function finish(run: HeldRun, attempt: number): Promise<void> {
  await run.hold({ roles: ['backup'], phases: ['emptied'] }, (pair) =>
    spoiling(pair.production, attempt, () =>
      finishRestore(
        pair,
        {
          ...{ schemas: run.schemas, isInPlace: true, phase: phaseOf(attempt) },
          mayWrite: run.stillMay(['emptied']),
        },
        run.work(),
      ),
    ),
  );
}

/** Holds everything restored against the manifest. @returns notes @throws KirikaeError DataDiffer; the next attempt starts from empty */
export async function compare(run: HeldRun, attempt: number): Promise<string[]> {
  return run.hold({ roles: ['backup'], phases: ['emptied'] }, (pair) =>
    spoiling(pair.production, attempt, async () => {
      const manifest = await sealedManifest(pair.backup.client);
      return compareWithManifest(pair, { schemas: run.schemas, manifest }, run.work());
    }),
  );
}

/**
 * Writes `restored` and lifts the fence in one transaction; from there nothing restores again. Kept tables are moved home in the
 * same transaction, proved under its locks.
 * @throws KirikaeError DataDiffer when kept tables aren't as sealed any more; NeedsOperator or Uncounted as `empty`
 */
export async function markRestored(run: HeldRun): Promise<Moved> {
  const phases = ['aside', 'emptied', 'restored'] as const;
  return run.hold({ roles: [], phases }, async ({ production }, claim) => {
    const { client } = production;
    if (claim.phase === 'restored') return run.mirrored(client);
    let notes: string[] = [];
    const open = async () => {
      notes = await lookAtLargeObjects(client);
      await unsetFence(client, claim);
      await run.advancing('restored')(client);
    };
    if (claim.phase === 'emptied') await inTransaction(client, open);
    else {
      const note = async () => {
        await run.advancing('emptied')(client);
        await open();
      };
      const mayEmpty = async () => {
        await mustBeAsCopied(run, client, claim);
        const problems = await judgeKept(production, claim.manifestHash, run.work());
        if (problems?.length !== 0) throw new KirikaeError('DataDiffer', notAsKept(problems ?? []));
      };
      await moveHome(client, run.schemas, { mayEmpty, note, mayWrite: run.stillMay(['restored']) });
    }
    await endFencedSessions(client);
    const moved = await run.mirrored(client);
    return { ...moved, notes: [...notes, ...moved.notes] };
  });
}

async function untilHeld(run: HeldRun, backup: Endpoint): Promise<void> {
  for (let looks = 0; !(await isHeld(backup.client, `${APPLICATION} ${run.holdLabel}`)); looks += 1) {
    if (looks === 100)
      throw new KirikaeError('Outage', 'The backup is not held unchanged yet; looking again.');
    await wait(100, undefined, { signal: run.signal });
  }
}

// What can't be right is not gone on with.
async function spoiling<T>(production: Endpoint, attempt: number, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const type = failureType(error);
    if (type === 'DataDiffer' || type === 'StepFailed')
      await noteStage(production.client, phaseOf(attempt), 'spoilt').catch(() => undefined);
    throw error;
  }
}

function phaseOf(attempt: number): CopyPhase {
  return { name: 'restore', attempt };
}
