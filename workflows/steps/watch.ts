/** A day of watching, and the end of the backup. */
import { CancellationScope, condition, startChild } from '@temporalio/workflow';
import { database } from '../calls';
import { record } from '../checks';
import { monitorChoices, retireChoices } from '../choices';
import { doStep, insist } from '../do-step';
import { RollBackGranted } from '../failures';
import { monitorProduction } from '../monitor';
import { tell } from '../people';
import type { Run } from '../run';

/** A day of watching by a child workflow. @throws RollBackGranted when persons want the old database back */
export async function monitor(run: Run): Promise<void> {
  let forMs = run.plan.monitor.forMs;
  let round = 0;
  const checks = run.plan.smoke.filter((check) => check.kind !== 'manual');
  await doStep(run, 'monitor', async () => {
    for (;;) {
      round += 1;
      run.wait(
        null,
        `Nothing: monitored until ${new Date(Date.now() + forMs).toISOString()}. The way back: kirikae roll-back ${run.id} --by NAME --accept-loss`,
        monitorChoices(run.id, false),
      );
      const watch = {
        run: run.refBack(),
        hostQueue: run.plan.hostQueue,
        checks,
        everyMs: run.plan.monitor.everyMs,
        untilMs: Date.now() + forMs,
      };
      // A child that is cancelled before it has started goes on for ever: neither a cancel nor a vote reaches it until then.
      const scope = new CancellationScope({
        cancellable: true,
        parent: new CancellationScope({ cancellable: false }),
      });
      const workflowId = `${run.id}-monitor-${run.info.runId.slice(0, 8)}-${round}`;
      const child = await scope.run(() => startChild(monitorProduction, { workflowId, args: [watch] }));
      const watched = await unlessRolledBack(run, scope, () => child.result());
      record(run, {
        step: 'monitor',
        name: `${watched.rounds} rounds of ${checks.length} checks`,
        passed: watched.failing === null,
        detail: watched.failing?.error ?? 'all passed',
      });
      if (watched.failing === null) return;
      await tell(
        run,
        `${run.plan.name}: the check "${watched.failing.name}" fails: ${watched.failing.error}`,
      );
      forMs = Math.max(0, watched.untilMs - Date.now());
      run.awaitsRetry = true;
      run.at('monitor').state = 'waiting';
      run.note(`The check "${watched.failing.name}" failed while monitoring: ${watched.failing.error}`);
      run.wait(
        `a person: the check "${watched.failing.name}" fails (${watched.failing.error})`,
        `Repair it, then kirikae retry ${run.id} --by NAME goes on watching; or kirikae roll-back ${run.id} --by NAME --accept-loss.`,
        monitorChoices(run.id, true),
      );
      await unlessRolledBack(run, new CancellationScope(), () => condition(() => !run.awaitsRetry));
      run.at('monitor').state = 'running';
    }
  });
}

/** Deletes the backup after a second approval, or keeps it. @throws RollBackGranted as long as it is there */
export async function retireBackup(run: Run): Promise<void> {
  await doStep(run, 'retireBackup', async () => {
    if (!run.plan.retireAfterApproval) {
      run.note(`The backup ${run.plan.backupDatabase} is kept (retireBackup.after is never).`);
      return;
    }
    run.at('retireBackup').state = 'waiting';
    run.wait(
      `a person to retire the backup ${run.plan.backupDatabase}`,
      `kirikae retire-backup ${run.id} --by NAME deletes it; kirikae cancel ${run.id} ends the run and keeps it.`,
      retireChoices(run.id),
    );
    await unlessRolledBack(run, new CancellationScope(), () => condition(() => run.retired !== null));
    run.goOn();
    await insist(run, 'Deleting the backup', () => database.dropBackup({ run: run.refBack() }));
  });
}

// Whatever is waited for in the scope, enough votes for a roll back end the waiting; so does a cancel.
async function unlessRolledBack<T>(run: Run, scope: CancellationScope, wait: () => Promise<T>): Promise<T> {
  const granted = () => run.rollBackVotes.size >= run.plan.approval.minimum;
  const waiting = scope.run(wait);
  const voting = new CancellationScope();
  const vote = voting.run(() => condition(granted));
  try {
    await Promise.race([waiting, vote]);
    if (granted()) throw new RollBackGranted(`Roll back asked for by ${[...run.rollBackVotes].join(', ')}.`);
    return await waiting;
  } finally {
    scope.cancel();
    voting.cancel();
    await CancellationScope.nonCancellable(() => Promise.allSettled([waiting, vote]));
  }
}
