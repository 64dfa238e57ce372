/** Production closes: the claim, the maintenance page, the fence. */
import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { failureType, KirikaeError } from '../src/errors';
import { probeMaintenance } from '../src/host/probe';
import { claimedByAnother, claimProduction, isSameWorkflow, ownClaim, readClaim } from '../src/ledger/claim';
import type { HeldRun } from '../src/ledger/held-run';
import { describeLateWrites, isUntouched, writtenSince } from '../src/ledger/late-writes';
import { closedPhases, hasReached } from '../src/ledger/phases';
import { readLearnt, writeLearnt } from '../src/new-schema/learnt';
import { cleanShadow, shadowOwner } from '../src/new-schema/shadow';
import { databaseOf } from '../src/postgres/url';
import type { Settings } from '../src/settings/read';
import { keepPageOn, raiseFence, turnPageOn } from '../src/way-back/outside';
import { openRun, type Moved, type RunRef } from './context';

export function closeActivities(settings: Settings) {
  const open = (ref: RunRef) => openRun(settings, ref);

  return {
    /**
     * Claims production for this run. What preflight learnt on the shadow goes into the claim; then the shadow goes.
     * @throws KirikaeError StepFailed when another holds production, or the shadow is not this run's any more
     */
    async claim({ run: ref }: { run: RunRef }): Promise<Moved> {
      const run = await open(ref);
      return run.sessions(['production'], async ({ production: { client: production } }) => {
        const before = await readClaim(production);
        if (!before) await makeClaim(run);
        else if (!isSameWorkflow(before, run.identity))
          throw new KirikaeError('StepFailed', claimedByAnother(before));
        else await ownClaim(production, run.identity, ['claimed']);
        await cleanShadow(run.plan, run.url('shadow'), run.identity.firstRunId);
        return run.mirrored(production);
      });
    },

    async pageOn({ run: ref }: { run: RunRef }): Promise<Moved> {
      return turnPageOn(await open(ref));
    },

    /**
     * Keeps the page on as long as the ledger calls for it, until it is cancelled. @throws KirikaeError Overtaken when it doesn't (any
     * more), NeedsOperator when the page was found off and users wrote to the new database
     */
    async watchPage({ run: ref }: { run: RunRef }): Promise<void> {
      const run = await open(ref);
      const late = new AbortController();
      let problem: KirikaeError | null = null;
      let asking = Promise.resolve();
      await keepPageOn(run, {
        signal: AbortSignal.any([run.signal, late.signal]),
        onSeen: ({ kind }) => {
          if (kind !== 'on again') return;
          asking = whoCameIn(run).then((found) => {
            problem = found;
            if (found) late.abort();
          });
        },
      });
      await asking;
      if (problem) throw problem as KirikaeError;
    },

    /** Asks from outside whether the page still shows. */
    async probePage({ run: ref }: { run: RunRef }): Promise<void> {
      const run = await open(ref);
      await probeMaintenance(run.plan, 'on', run.signal);
    },

    async fence({ run: ref }: { run: RunRef }): Promise<Moved> {
      return raiseFence(await open(ref));
    },
  };
}

async function makeClaim(run: HeldRun): Promise<void> {
  await run.sessions(['production', 'shadow'], async ({ production, shadow }) => {
    const learnt =
      (await shadowOwner(shadow.client)) === run.identity.firstRunId ? await readLearnt(shadow.client) : null;
    if (!learnt) {
      throw new KirikaeError(
        'StepFailed',
        'The shadow database was taken by another preflight meanwhile. Nothing was changed in production. Start again when the other one is done.',
      );
    }
    await claimProduction(production.client, run.identity, {
      id: randomBytes(8).toString('hex'),
      planHash: run.plan.hash,
      backup: databaseOf(run.url('backup')),
      learn: (client) => writeLearnt(client, learnt),
    });
  });
}

// Null where nothing was written, or where it doesn't matter yet: before `verified` the fence keeps users from writing.
async function whoCameIn(run: HeldRun): Promise<KirikaeError | null> {
  for (;;) {
    try {
      return await run.hold({ roles: [], phases: closedPhases }, async ({ production }, claim) => {
        if (!hasReached(claim.phase, 'verified')) return null;
        const late = await writtenSince(production.client, run.schemas);
        if (isUntouched(late)) return null;
        return new KirikaeError('NeedsOperator', usersCameIn(describeLateWrites(late)));
      });
    } catch (error) {
      if (failureType(error) !== 'Outage' || run.signal.aborted) return null;
      await wait(1_000);
    }
  }
}

function usersCameIn(sentences: readonly string[]): string {
  const what =
    sentences.length > 0
      ? sentences.join(' ')
      : "Whether rows were written can't be told (statistics were reset).";
  return `The maintenance page was found off, and is on again. Users may have come in meanwhile: ${what} Decide whether these rows stay: retry goes on and production goes live with them; roll-back with --accept-loss brings the old database back (they are copied aside).`;
}
