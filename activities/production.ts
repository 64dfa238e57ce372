/** Activities on production itself: claim, marks, fence, reset, and leaving nothing behind. */
import { readBackup, removeBackup } from '../src/manifest';
import { isOwnClone } from '../src/clone';
import { databaseExists, dropDatabase } from '../src/database';
import { raiseFence, liftFence } from '../src/fence';
import { KirikaeError } from '../src/errors';
import { dropKept, keptSchemas } from '../src/keep';
import {
  claimProduction,
  isSameWorkflow,
  mirrorClaim,
  notePage,
  ownClaim,
  readClaim,
  removeLedger,
  setMark,
  takeOverClaim,
  type Claim,
} from '../src/ledger';
import { APPLICATION, inTransaction, withClient } from '../src/postgres/connect';
import { databaseOf, otherDatabase } from '../src/postgres/url';
import { resetProduction } from '../src/reset';
import { wasRestored } from '../src/restore';
import { endSwaps } from '../src/restore-clone';
import type { Settings } from '../src/settings';
import { cleanShadow, shadowOwner } from '../src/shadow';
import { writtenSince } from '../src/verify';
import { Run, cancellation, countProgress, type RunRef } from './context';
import { lanes } from './plan';

/** The ledger's marks as the workflow needs them. */
export interface Marks {
  claimed: boolean;
  pageOn: boolean;
  fenceOn: boolean;
  reset: boolean;
  live: boolean;
  lossAccepted?: boolean;
  /** Where production holds no claim of the workflow: what its backup tells of how it ended. */
  inBackup?: 'live' | 'restored' | 'unknown';
}

export function productionActivities(settings: Settings) {
  const open = (ref: RunRef) => new Run(settings, ref);

  return {
    /** Claims production for this run and gives the shadow a last look: another preflight may have taken it. */
    async claim({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production', 'shadow'], async (production, shadow) => {
        await claimProduction(production, run.identity, databaseOf(run.url('backup')));
        if ((await shadowOwner(shadow)) !== run.identity.chain) {
          await removeLedger(production);
          throw new KirikaeError(
            'StepFailed',
            'The shadow database was taken by another preflight meanwhile. Nothing was changed in production. Start again when the other one is done.',
          );
        }
      });
    },

    /** Makes sure that this Temporal run still holds the claim. @throws KirikaeError Overtaken when it doesn't */
    async confirmClaim({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production'], async (production) => {
        await ownClaim(production, run.identity);
      });
    },

    /** Notes in the ledger that this run turns the page on, or has taken it down. */
    async notePage({ run: ref, on }: { run: RunRef; on: boolean }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production'], async (production) => {
        await ownClaim(production, run.identity);
        await notePage(production, on);
      });
    },

    async fence({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production'], async (production) =>
        raiseFence(production, await ownClaim(production, run.identity)),
      );
    },

    async liftFence({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production'], async (production) =>
        liftFence(production, await ownClaim(production, run.identity)),
      );
    },

    /** Compares everything with the manifest under lock, writes the mark and drops; a retry that finds the mark is done. */
    async reset({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      const onTable = countProgress('reset');
      await run.sessions(['production', 'backup'], async (production, backup) => {
        const { manifest } = await readBackup(backup);
        if (!manifest) throw new KirikaeError('StepFailed', 'The backup is not sealed. Nothing was dropped.');
        await resetProduction({
          production,
          backup,
          productionUrl: run.url('production'),
          backupUrl: run.url('backup'),
          schemas: run.schemas,
          mode: run.plan.reset?.mode ?? 'drop',
          manifest,
          run: run.identity,
          lanes: lanes(),
          signal: cancellation(),
          onTable,
        });
        await mirrorClaim(backup, await ownClaim(production, run.identity));
      });
    },

    /** Writes the mark `live`: from here on nothing restores without accepted loss. */
    async markLive({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production', 'backup'], async (production, backup) => {
        await ownClaim(production, run.identity);
        await setMark(production, 'live_at');
        await mirrorClaim(backup, await ownClaim(production, run.identity));
      });
    },

    /** Notes that persons accepted the loss of everything written since `live`. */
    async acceptLoss({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production', 'backup'], async (production, backup) => {
        await ownClaim(production, run.identity);
        await setMark(production, 'loss_accepted_at');
        await mirrorClaim(backup, await ownClaim(production, run.identity));
      });
    },

    /**
     * Stock-taking before a way back: this Temporal run takes its workflow's claim, ends sessions an earlier run of the
     * workflow left behind, and says what the ledger knows. With `searchBackup` a claim that is gone from production is looked
     * for in the backup.
     */
    async takeStock({
      run: ref,
      searchBackup = false,
    }: {
      run: RunRef;
      searchBackup?: boolean;
    }): Promise<Marks> {
      const run = open(ref);
      // Before, so that nobody waits at production's door; after, because one may have looked at the claim in between.
      await endCloning(run);
      const marks = await takeOver(run);
      await endCloning(run);
      return marks.claimed || !searchBackup ? marks : { ...marks, inBackup: await endingInBackup(run) };
    },

    /** Sentences about rows that checks and background jobs wrote after `verify`; empty before it. */
    async countLateWrites({ run: ref }: { run: RunRef }): Promise<string[]> {
      const run = open(ref);
      return run.sessions(['production'], async (production) => {
        const claim = await ownClaim(production, run.identity);
        return claim.verifiedAt ? writtenSince(production, run.schemas) : [];
      });
    },

    /**
     * The last act of a run: its shadow goes, then old objects that were kept, and its ledger; another run's are left alone.
     * @returns sentences about what went
     */
    async release({ run: ref }: { run: RunRef }): Promise<string[]> {
      const run = open(ref);
      return run.sessions(['production'], async (production) => {
        await cleanShadow(run.plan, run.url('shadow'), run.identity.chain);
        const claim = await readClaim(production);
        if (!claim || !isSameWorkflow(claim, run.identity)) return [];
        return inTransaction(production, async () => {
          const kept = await keptSchemas(production);
          if (kept.length > 0 && !claim.liveAt) {
            throw new KirikaeError(
              'NeedsOperator',
              `The old objects still wait in ${kept.map(({ schema }) => schema).join(', ')} and the ledger has no mark "live", so nothing was removed. README, "By hand", has the commands that move them home.`,
            );
          }
          const dropped = await dropKept(production);
          await removeLedger(production);
          return dropped.map(
            (schema) => `The old objects were dropped from production for good (schema ${schema}).`,
          );
        });
      });
    },

    /** Deletes the backup of this run; one that isn't there (any more) is no error, another run's is left alone. */
    async dropBackup({ run: ref }: { run: RunRef }): Promise<boolean> {
      const run = open(ref);
      const url = run.url('backup');
      if (!(await databaseExists(url, 'backup drop'))) return false;
      const state = await withClient(url, `${run.label} backup`, async (backup) => {
        const found = await readBackup(backup).catch((error: unknown) => {
          if (error instanceof KirikaeError) return null;
          throw error;
        });
        if (!found) {
          const cloned = run.plan.databases.backup.method === 'clone';
          return cloned && (await isOwnClone(backup, run.identity, run.url('production')))
            ? 'clone'
            : 'other';
        }
        if (found.chain !== run.identity.chain) return 'other';
        await removeBackup(url, backup, run.schemas);
        return 'removed';
      });
      // A clone whose worker died before it was marked.
      if (state === 'clone') await dropDatabase(url, 'backup drop');
      return state !== 'other';
    },
  };
}

// What an earlier attempt at cloning the backup back might still rename.
async function endCloning(run: Run): Promise<void> {
  if (run.plan.databases.backup.method !== 'clone') return;
  const server = otherDatabase(run.url('backup'), 'postgres');
  await withClient(server, `${run.label} stock`, (owner) => endSwaps(owner, run.workflowSessions));
}

async function takeOver(run: Run): Promise<Marks> {
  return run.sessions(['production'], async (production) => {
    const before = await readClaim(production);
    const claim = await takeOverClaim(production, run.identity);
    if (claim && before && before.runId !== run.identity.runId) {
      await production.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name like $1 and application_name not like $2`,
        [run.workflowSessions, `${APPLICATION} ${run.label} %`],
      );
    }
    return marksOf(claim);
  });
}

// The ledger leaves production last, and may have been removed by hand: only what the backup proves is said.
async function endingInBackup(run: Run): Promise<Marks['inBackup']> {
  const url = run.url('backup');
  if (!(await databaseExists(url, `${run.label} backup`))) return 'unknown';
  return withClient(url, `${run.label} backup`, async (backup) => {
    const claim = await readClaim(backup);
    if (!claim || !isSameWorkflow(claim, run.identity)) return 'unknown';
    if (claim.liveAt && !claim.lossAcceptedAt) return 'live';
    return (await wasRestored(backup)) ? 'restored' : 'unknown';
  });
}

function marksOf(claim: Claim | null): Marks {
  return {
    claimed: claim !== null,
    pageOn: claim?.pageOn ?? false,
    fenceOn: claim?.fenceOn ?? false,
    reset: claim?.resetAt != null,
    live: claim?.liveAt != null,
    lossAccepted: claim?.lossAcceptedAt != null,
  };
}
