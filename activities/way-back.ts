/** The way back, and the end of a run in production; what is done stands in src/way-back. */
import { Context } from '@temporalio/activity';
import type { Standing, Intent } from '../src/ledger/phases';
import { cleanShadow } from '../src/new-schema/shadow';
import type { Settings } from '../src/settings/read';
import { withClient } from '../src/postgres/connect';
import { otherDatabase } from '../src/postgres/url';
import { beginAside, sealAside } from '../src/way-back/aside';
import { describeProduction } from '../src/way-back/describe';
import { finishRun, removeOwnBackup } from '../src/way-back/end';
import {
  compare,
  empty,
  finish,
  holdOwnBackup,
  markRestored,
  proveKept,
  proveOwnBackup,
  type RestorePlan,
} from '../src/way-back/restore';
import { deploysToUndo, type DeployToUndo } from '../src/way-back/outside';
import { adopt, takeOver, takeStock, type Stock } from '../src/way-back/stock';
import { comeHome, liftFence, standDown, turnBack } from '../src/way-back/turn';
import { openRun, type Moved, type RunRef } from './context';
import { withRoom, type GroupPlan } from './copy-rows';
import { lookBackAt, type Past } from './identity';

type WithRoom<T> = T & GroupPlan;

export function wayBackActivities(settings: Settings) {
  const open = (ref: RunRef) => openRun(settings, ref);

  return {
    /** What the runs before this one may have done, as Temporal knows them; asks no database. */
    lookBack: (): Promise<Past> => lookBackAt(Context.current().info),

    /** What ledger, mirror and history say of where the run stands. @param args.history the last transition that the history has */
    async takeStock({ run, history }: { run: RunRef; history: Standing | null }): Promise<Stock> {
      return takeStock(await open(run), history);
    },

    async takeOver({ run }: { run: RunRef }): Promise<void> {
      await takeOver(await open(run));
    },

    async adopt({ run, furthest }: { run: RunRef; furthest: Standing }): Promise<Standing> {
      return adopt(await open(run), furthest);
    },

    async turnBack({ run, ...turn }: { run: RunRef; intent: Intent; by: string[] }): Promise<Moved> {
      return turnBack(await open(run), turn);
    },

    async standDown({ run, by }: { run: RunRef; by: string }): Promise<Moved> {
      return standDown(await open(run), by);
    },

    async proveBackup({ run }: { run: RunRef }): Promise<void> {
      await proveOwnBackup(await open(run));
    },

    /** Keeps the backup unchanged until it is cancelled. */
    async holdBackup({ run }: { run: RunRef }): Promise<void> {
      await holdOwnBackup(await open(run));
    },

    async beginAside({ run }: { run: RunRef }): Promise<WithRoom<Awaited<ReturnType<typeof beginAside>>>> {
      const held = await open(run);
      const plan = await beginAside(held);
      const backup = held.url('backup');
      return roomFor(held, plan, plan.database === null ? backup : otherDatabase(backup, plan.database));
    },

    async sealAside({ run }: { run: RunRef }): Promise<Awaited<ReturnType<typeof sealAside>>> {
      return sealAside(await open(run));
    },

    async proveKept({ run }: { run: RunRef }): Promise<Awaited<ReturnType<typeof proveKept>>> {
      return proveKept(await open(run));
    },

    async beginRestore({ run }: { run: RunRef }): Promise<WithRoom<RestorePlan>> {
      const held = await open(run);
      return roomFor(held, await empty(held), held.url('backup'));
    },

    async finishRestore({ run, attempt }: { run: RunRef; attempt: number }): Promise<void> {
      await finish(await open(run), attempt);
    },

    /** @returns notes */
    async compareRestored({ run, attempt }: { run: RunRef; attempt: number }): Promise<string[]> {
      return compare(await open(run), attempt);
    },

    async markRestored({ run }: { run: RunRef }): Promise<Moved> {
      return markRestored(await open(run));
    },

    async liftFence({ run }: { run: RunRef }): Promise<void> {
      await liftFence(await open(run));
    },

    /** Deploys that began and whose previous version isn't back, last first. */
    async deploysToUndo({ run }: { run: RunRef }): Promise<DeployToUndo[]> {
      return deploysToUndo(await open(run));
    },

    async comeHome({ run }: { run: RunRef }): Promise<Moved> {
      return comeHome(await open(run));
    },

    /** How production is, as looked at: page, fence, phase. */
    async describeProduction({ run }: { run: RunRef }): Promise<string> {
      return describeProduction(await open(run));
    },

    async removeBackup({ run }: { run: RunRef }): Promise<boolean> {
      return removeOwnBackup(await open(run));
    },

    /** Removes this run's shadow, where there was no claim to take over what it taught. */
    async dropShadow({ run: ref }: { run: RunRef }): Promise<void> {
      const run = await open(ref);
      await cleanShadow(run.plan, run.url('shadow'), run.identity.firstRunId);
    },

    async finish({ run }: { run: RunRef }): Promise<Awaited<ReturnType<typeof finishRun>>> {
      return finishRun(await open(run));
    },

    /** Makes sure that this Temporal run still holds production, which is live. @throws KirikaeError Overtaken */
    async confirmLive({ run }: { run: RunRef }): Promise<void> {
      await (await open(run)).lookAgain(['live']);
    },
  };
}

/** @param other the database that rows are copied to or from; where none are it need not be there */
async function roomFor<P extends { groups: number; bytes: number }>(
  run: Awaited<ReturnType<typeof openRun>>,
  plan: P,
  other: string,
): Promise<P & GroupPlan> {
  if (plan.groups === 0) return { ...plan, inFlight: 0 };
  return run.sessions(['production'], ({ production }) =>
    withClient(other, `${run.label} room`, (client) => withRoom(plan, { production, backup: { client } })),
  );
}
