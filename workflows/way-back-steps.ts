/** The steps of a way back, each to be repeated as often as it takes. */
import type { WayBackStepName } from '../src/contract';
import { needsRestore } from '../src/ledger/phases';
import { holdingBackup, letGoOfBackup, unwatched, watchPage } from './background';
import { database, hostOf, within } from './calls';
import { checkNow } from './checks';
import { copyRows } from './copy-rows';
import { timed } from './do-step';
import { problemOf } from './failures';
import type { Run } from './run';

/** Takes one step, and keeps its state in the status. */
export async function goWayBackStep(run: Run, name: WayBackStepName): Promise<void> {
  const status = run.wayBack.find((step) => step.name === name);
  if (!status) throw new Error(`unknown step ${name}`);
  await timed(run, status, () => steps[name](run, status));
}

type Step = (run: Run, status: Run['wayBack'][number]) => Promise<void>;

const steps: Record<WayBackStepName, Step> = {
  async pageOn(run) {
    run.moved(await hostOf(run.plan.hostQueue).pageOn({ run: run.refBack() }));
    openWindow(run);
    watchPage(run);
  },

  async fence(run) {
    run.moved(await database.fence({ run: run.refBack() }));
  },

  async proveBackup(run) {
    await database.proveBackup({ run: run.refBack() });
  },

  async aside(run, status) {
    const ref = run.refBack();
    const plan = await database.beginAside({ run: ref });
    if (plan.database !== null) {
      await copyRows(run, { status, phase: { name: 'aside', attempt: 1 }, plan, ref });
    }
    const { rows, moved, database: kept } = await database.sealAside({ run: ref });
    run.moved(moved);
    if (kept !== null)
      run.note(
        `The database as it was before it was emptied is kept as ${kept} (${rows} rows), beside the backup. kirikae remove-backup removes it.`,
      );
  },

  async empty(run) {
    const ref = run.refBack();
    run.restoring = null;
    const { isReady, moved } = await database.proveKept({ run: ref });
    run.moved(moved);
    if (isReady) return;
    run.restoring = await holdingBackup(run, () => database.beginRestore({ run: ref }));
    run.moved(run.restoring.moved);
  },

  async restore(run, status) {
    const plan = run.restoring;
    if (!plan) return;
    const ref = run.refBack();
    status.rowsTotal = run.backup?.rows ?? null;
    await copyRows(run, { status, phase: { name: 'restore', attempt: plan.attempt }, plan, ref });
    await database.finishRestore({ run: ref, attempt: plan.attempt });
  },

  async compare(run) {
    const plan = run.restoring;
    if (!plan) return;
    const notes = await database.compareRestored({ run: run.refBack(), attempt: plan.attempt });
    for (const note of notes) run.note(note);
  },

  async liftFence(run) {
    const restores = run.standing?.from != null && needsRestore(run.standing.from);
    if (!restores) return database.liftFence({ run: run.refBack() });
    run.moved(await database.markRestored({ run: run.refBack() }));
    await letGoOfBackup(run);
  },

  async undoDeploys(run) {
    const host = hostOf(run.plan.hostQueue);
    for (const { name, hasRollback } of await database.deploysToUndo({ run: run.refBack() })) {
      if (!hasRollback)
        run.note(
          `The deploy "${name}" has no rollback command: bring back its previous version by hand if it doesn't suit the old schema.`,
        );
      await host.undoDeploy.executeWithOptions({ summary: `previous ${name}` }, [
        { run: run.refBack(), name },
      ]);
    }
  },

  async rollbackSmoke(run) {
    for (const check of run.plan.rollbackSmoke) await checkNow(run, check, 'rollbackSmoke');
  },

  async pageOff(run) {
    await unwatched(run, async () => {
      if (run.phase !== 'live') run.moved(await database.comeHome({ run: run.refBack() }));
    });
    await hostOf(run.plan.hostQueue).pageOff({ run: run.refBack() });
    run.pageOffAt ??= Date.now();
  },

  // Production is open and whole: a backup that can't be removed is no reason to wait for long.
  async removeBackup(run) {
    try {
      await within(run.plan.patienceMs).removeBackup({ run: run.refBack() });
    } catch (error) {
      run.note(
        `The backup ${run.plan.backupDatabase} could not be removed and is left: ${problemOf(error).message} Remove it with kirikae remove-backup ${run.input.plan}.`,
      );
    }
  },
};

// After `live` a second window of downtime opens.
function openWindow(run: Run): void {
  if (run.pageOnAt !== null && run.pageOffAt !== null) {
    run.earlierDowntimeMs += run.pageOffAt - run.pageOnAt;
    run.pageOnAt = null;
  }
  run.pageOffAt = null;
  run.pageOnAt ??= Date.now();
}
