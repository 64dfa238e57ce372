/** The way back: taking stock of the ledger, the copy set aside, the restore. */
import { beginBackup } from '../src/backup/build';
import { sealedManifest } from '../src/backup/manifest';
import { indexBackup, sealBackup } from '../src/backup/seal';
import { lastAttempt } from '../src/ledger/checkpoints';
import {
  ownClaim,
  readClaim,
  setMark,
  takeOverClaim,
  type Claim,
  isSameWorkflow,
  mirrorClaim,
} from '../src/ledger/claim';
import { writtenSince } from '../src/ledger/late-writes';
import { APPLICATION, withClient } from '../src/postgres/connect';
import { createDatabase, databaseExists } from '../src/postgres/databases';
import type { Pair } from '../src/postgres/endpoint';
import { mustEndSessions } from '../src/postgres/sessions';
import { databaseOf, otherDatabase } from '../src/postgres/url';
import { beginRestore, finishRestore, wasRestored, type Restore } from '../src/restore/copy-back';
import { endSwaps, swapInClone } from '../src/restore/swap-clone';
import type { Settings } from '../src/settings/read';
import { ActivityRun, type RunRef } from './context';
import { withRoom, type GroupPlan } from './copy-rows';

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

export function wayBackActivities(settings: Settings) {
  const open = (ref: RunRef) => new ActivityRun(settings, ref);

  return {
    /** Notes that persons accepted the loss of everything written since `live`. */
    async acceptLoss({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production', 'backup'], async ({ production: { client }, backup }) => {
        await ownClaim(client, run.identity);
        await setMark(client, 'loss_accepted_at');
        await mirrorClaim(backup.client, await ownClaim(client, run.identity));
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
      // Before, because cloning keeps new sessions waiting; after, because one may have looked at the claim in between.
      await endCloning(run);
      const marks = await takeOver(run);
      await endCloning(run);
      return marks.claimed || !searchBackup ? marks : { ...marks, inBackup: await endingInBackup(run) };
    },

    /** Sentences about rows that checks and background jobs wrote after `verify`; empty before it. */
    async countLateWrites({ run: ref }: { run: RunRef }): Promise<string[]> {
      const run = open(ref);
      return run.sessions(['production'], async ({ production: { client: production } }) => {
        const claim = await ownClaim(production, run.identity);
        return claim.verifiedAt ? writtenSince(production, run.schemas) : [];
      });
    },

    /** Number of the next restore: each starts from empty, also after one of an earlier Temporal run. */
    async nextRestore({ run: ref }: { run: RunRef }): Promise<number> {
      const run = open(ref);
      return run.sessions(['production'], async ({ production: { client: production } }) => {
        await ownClaim(production, run.identity);
        return lastAttempt(production, 'restore').then((last) => last + 1);
      });
    },

    /**
     * Empties the managed schemas, applies the stored definition and plans the parts of a restore; none are left where a clone
     * of the backup has taken production's place. `notes` say why it has not, where the plan's method is clone.
     */
    async beginRestore({
      run: ref,
      attempt,
    }: {
      run: RunRef;
      attempt: number;
    }): Promise<GroupPlan & { notes?: string[] }> {
      const run = open(ref);
      const notes = run.plan.databases.backup.method === 'clone' ? await swap(run, attempt) : [];
      const plan = await run.sessions(['production', 'backup'], async (pair) =>
        withRoom(await beginRestore(pair, restoreOf(run, attempt)), [
          pair.production.client,
          pair.backup.client,
        ]),
      );
      return { ...plan, notes };
    },

    /** Keys, indexes, sequences; then everything is compared with the manifest. */
    async finishRestore({ run: ref, attempt }: { run: RunRef; attempt: number }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production', 'backup'], (pair) =>
        finishRestore(pair, restoreOf(run, attempt), run.work()),
      );
    },

    /** Before a roll back after `live`: the present database is copied to `…_abandoned` on the backup's server. */
    async beginAside({ run: ref }: { run: RunRef }): Promise<GroupPlan & { database: string }> {
      const run = open(ref);
      const asideUrl = run.abandonedUrl;
      const created = await run.sessions(['production'], async ({ production: { client: production } }) => {
        await ownClaim(production, run.identity);
        return createDatabase(asideUrl, production, 'backup create');
      });
      return withAside(run, async (pair) => {
        const claim = await ownClaim(pair.production.client, run.identity);
        const plan = await beginBackup(pair, {
          schemas: run.schemas,
          run: run.identity,
          claim,
          created,
        });
        const room = await withRoom(plan, [pair.production.client, pair.backup.client]);
        return { ...room, database: databaseOf(asideUrl) };
      });
    },

    async sealAside({ run: ref }: { run: RunRef }): Promise<{ rows: number }> {
      const run = open(ref);
      const { name, hash } = run.plan;
      return withAside(run, async (pair) => {
        await ownClaim(pair.production.client, run.identity);
        const { manifest } = await sealBackup(pair, { name, hash, schemas: run.schemas }, run.work());
        await indexBackup(pair.backup, run.work());
        return { rows: manifest.tables.reduce((sum, table) => sum + table.rows, 0) };
      });
    },
  };
}

// The copy set aside is a backup of its own.
function withAside<T>(run: ActivityRun, work: (pair: Pair) => Promise<T>): Promise<T> {
  const url = run.abandonedUrl;
  return run.sessions(['production'], ({ production }) =>
    withClient(url, `${run.label} aside`, (client) =>
      work({ production, backup: { title: 'the backup', url, client } }),
    ),
  );
}

function restoreOf(run: ActivityRun, attempt: number): Restore {
  return { schemas: run.schemas, run: run.identity, phase: { name: 'restore', attempt } };
}

// No session of this run may be in production meanwhile. The clone is of a sealed backup, as every restore is.
async function swap(run: ActivityRun, attempt: number): Promise<string[]> {
  await run.sessions(['backup'], ({ backup }) => sealedManifest(backup.client));
  const { identity, schemas, workflowSessions } = run;
  return swapInClone(run.places, { run: identity, attempt, schemas, workflowSessions }, run.work());
}

// What an earlier attempt at cloning the backup back might still rename.
async function endCloning(run: ActivityRun): Promise<void> {
  if (run.plan.databases.backup.method !== 'clone') return;
  const server = otherDatabase(run.url('backup'), 'postgres');
  await withClient(server, `${run.label} stock`, (owner) => endSwaps(owner, run.workflowSessions));
}

async function takeOver(run: ActivityRun): Promise<Marks> {
  return run.sessions(['production'], async ({ production: { client: production } }) => {
    const before = await readClaim(production);
    const claim = await takeOverClaim(production, run.identity);
    if (claim && before && before.runId !== run.identity.runId) {
      await mustEndSessions(production, {
        where: 'datname = current_database() and application_name like $1 and application_name not like $2',
        values: [run.workflowSessions, `${APPLICATION} ${run.label} %`],
      });
    }
    return marksOf(claim);
  });
}

// The ledger leaves production last, and may have been removed by hand: only what the backup proves is said.
async function endingInBackup(run: ActivityRun): Promise<Marks['inBackup']> {
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
