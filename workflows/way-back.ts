/** The way back: what the ledger's marks call for, in the order that keeps the page on until the old database is proved. */
import { CancellationScope } from '@temporalio/workflow';
import { database, hostOf } from './calls';
import { checkNow } from './checks';
import { copyRows } from './copy-rows';
import { insist, park } from './do-step';
import { Settled } from './failures';
import type { Run } from './run';

/**
 * What the way back found: nothing of this run's, production as it was before, or production live (nothing restored);
 * `unknown` when a run with a past has left no trace.
 */
export type WayBack = 'nothing' | 'restored' | 'untouched' | 'live' | 'unknown';

export interface WayBackOptions {
  lossAccepted: boolean;
  /** Parks with this problem before anything is undone, if there is something to undo. */
  lookFirst?: { problem: string; next: string } | undefined;
}

/**
 * Undoes what the ledger says this run did; uncancellable, parked at the first thing that fails.
 * @throws Settled when an operator ends the parked run
 */
export async function goBack(run: Run, options: WayBackOptions): Promise<WayBack> {
  run.indexing?.cancel();
  await CancellationScope.nonCancellable(async () => run.indexing?.done.catch(() => undefined));
  run.wait(null, 'Nothing: the way back runs by itself.');
  const ref = run.refBack();
  const takeStock = () =>
    insist(run, 'Reading the ledger', () => database.takeStock({ run: ref, searchBackup: run.hasPast }));
  let marks = await takeStock();
  if (marks.claimed && options.lookFirst) {
    await park(run, options.lookFirst.problem, options.lookFirst.next);
    marks = await takeStock();
  }
  if (!marks.claimed) {
    await insist(run, 'Removing the shadow database', () => database.release({ run: ref }));
    return run.hasPast ? endedBefore(run, marks.inBackup ?? 'unknown') : 'nothing';
  }
  if (!run.plan)
    run.plan = await insist(run, 'Reading the plan', () => database.outlinePlan({ plan: run.input.plan }));
  if (marks.live && marks.lossAccepted && !options.lossAccepted) {
    throw new Settled(
      'The ledger says that production was live and that a roll back of it had begun, and this history can\'t say how far it came. Nothing was changed: production, page and fence are as that roll back left them. Look at production, and finish the roll back by hand: docs/if-it-stops.md, "By hand".',
    );
  }
  if (marks.live && !options.lossAccepted) {
    await finishLive(run);
    return 'live';
  }
  if (options.lossAccepted) {
    await insist(run, 'Noting that the loss is accepted', () => database.acceptLoss({ run: ref }));
    run.live = false;
  }
  if (marks.reset && !marks.pageOn && !options.lossAccepted) {
    // The page comes down only when the old database is proved: users may have written to it since.
    run.note('Production was restored already and is open to its users, so nothing was restored again.');
    await insist(run, 'Removing the ledger', () => database.release({ run: ref }));
    markUndone(run);
    return 'restored';
  }
  const host = hostOf(run.plan.hostQueue);
  if (marks.reset) {
    await insist(run, 'Turning the maintenance page on', async () => {
      await database.notePage({ run: ref, on: true });
      await host.maintenanceOn({ run: ref });
    });
    openWindow(run);
    await insist(run, 'Raising the fence', () => database.fence({ run: ref }));
    if (options.lossAccepted) await insist(run, 'Copying the present database aside', () => copyAside(run));
    const late = await insist(run, 'Counting later writes', () => database.countLateWrites({ run: ref }));
    for (const sentence of late) run.note(sentence);
    await insist(run, 'Restoring production from the backup', () => restore(run));
  }
  await insist(run, 'Lifting the fence', () => database.liftFence({ run: ref }));
  for (const index of [...run.deploysBegun].reverse()) await rollBackDeploy(run, index);
  if (marks.reset) {
    for (const check of run.plan.rollbackSmoke) {
      await insist(run, `The check "${check.name}" of the old version`, () =>
        checkNow(run, check, 'rollbackSmoke'),
      );
    }
  }
  if (marks.pageOn || marks.reset) {
    await insist(run, 'Taking the maintenance page down', async () => {
      await host.maintenanceOff({ run: ref });
      await database.notePage({ run: ref, on: false });
    });
    run.pageOffAt = Date.now();
  }
  if (!marks.reset) await insist(run, 'Removing the backup', () => database.dropBackup({ run: ref }));
  else
    run.note(`The backup ${run.plan.backupDatabase} is kept; a further run is refused until it is removed.`);
  await insist(run, 'Removing the ledger', () => database.release({ run: ref }));
  markUndone(run);
  return marks.reset ? 'restored' : 'untouched';
}

// The ledger was removed, so nothing is left to undo; what the backup's copy of it says is how the run ended.
function endedBefore(run: Run, ended: 'live' | 'restored' | 'unknown'): WayBack {
  if (ended === 'live') {
    run.live = true;
    run.note('Production was live already, so nothing was restored.');
  }
  if (ended === 'restored') {
    run.note('Production was restored already and is open to its users, so nothing was restored again.');
    markUndone(run);
  }
  return ended;
}

// After `live` a second window of downtime opens.
function openWindow(run: Run): void {
  if (run.pageOnAt !== null && run.pageOffAt !== null) {
    run.earlierDowntimeMs += run.pageOffAt - run.pageOnAt;
    run.pageOnAt = null;
  }
  run.pageOffAt = null;
  run.pageOnAt ??= Date.now();
}

// From empty, each time: copy, keys, comparison with the manifest.
async function restore(run: Run): Promise<void> {
  const ref = run.refBack();
  const attempt = await database.nextRestore({ run: ref });
  const plan = await database.beginRestore({ run: ref, attempt });
  for (const sentence of plan.notes ?? []) run.note(sentence);
  await copyRows(run, { step: 'reset', phase: { name: 'restore', attempt }, plan, ref });
  await database.finishRestore({ run: ref, attempt });
}

async function copyAside(run: Run): Promise<void> {
  const ref = run.refBack();
  const plan = await database.beginAside({ run: ref });
  await copyRows(run, { step: 'monitor', phase: { name: 'aside', attempt: 1 }, plan, ref });
  const { rows } = await database.sealAside({ run: ref });
  run.note(
    `The database as it was before the roll back is kept as ${plan.database} (${rows} rows), beside the backup.`,
  );
}

async function rollBackDeploy(run: Run, index: number): Promise<void> {
  const deploy = run.plan.deploys[index];
  if (!deploy) return;
  if (!deploy.hasRollback) {
    run.note(
      `The deploy "${deploy.name}" has no rollback command: bring back its previous version by hand if it doesn't suit the old schema.`,
    );
    return;
  }
  const host = hostOf(run.plan.hostQueue);
  await insist(run, `Bringing back the previous version of "${deploy.name}"`, () =>
    host.deploy.executeWithOptions({ summary: `previous ${deploy.name}` }, [
      { run: run.refBack(), index, back: true },
    ]),
  );
}

// After a Temporal reset of a run that was live: users write, so the page goes down and nothing is restored.
async function finishLive(run: Run): Promise<void> {
  const ref = run.refBack();
  run.live = true;
  await insist(run, 'Taking the maintenance page down', async () => {
    await hostOf(run.plan.hostQueue).maintenanceOff({ run: ref });
    await database.notePage({ run: ref, on: false });
  });
  run.note('Production was live already, so nothing was restored. The backup is kept.');
  await insist(run, 'Removing the ledger', () => database.release({ run: ref }));
}

function markUndone(run: Run): void {
  for (const step of run.steps) {
    if (step.state === 'done' && !['preflight', 'announce', 'approval'].includes(step.name))
      step.state = 'undone';
  }
}
