/** A day of watching, and the end of the backup. */
import {
  CancellationScope,
  ChildWorkflowFailure,
  condition,
  isCancellation,
  startChild,
  uuid4,
} from '@temporalio/workflow';
import { detachedScope } from '../background';
import { database } from '../calls';
import { record } from '../checks';
import { monitorChoices, retireChoices } from '../choices';
import { doStep, grantRollBack, insist } from '../do-step';
import { problemOf, RollBackGranted } from '../failures';
import { monitorProduction, type Watch, type Watched } from '../monitor';
import { tell } from '../people';
import { takePresentPlan } from '../present-plan';
import type { Run } from '../run';

/** A day of watching by a child workflow. @throws RollBackGranted when persons want the old database back */
export async function monitor(run: Run): Promise<void> {
  let forMs = run.plan.monitor.forMs;
  await doStep(run, { name: 'monitor' }, async () => {
    for (;;) {
      await takePresentPlan(run);
      const checks = run.plan.smoke.filter((check) => check.kind !== 'manual');
      run.wait(
        null,
        `Nothing: monitored until ${new Date(Date.now() + forMs).toISOString()}. The way back: kirikae roll-back ${run.id} --by NAME --accept-loss`,
        monitorChoices(run.id, false),
      );
      const watched = await watchByChild(run, { checks, untilMs: Date.now() + forMs });
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

/** @returns how the watching ended; when it didn't end as it should, that fails like a check of its own */
async function watchByChild(
  run: Run,
  { checks, untilMs }: Pick<Watch, 'checks' | 'untilMs'>,
): Promise<Watched> {
  const { hostQueue, monitor: plan } = run.plan;
  const watch = { run: run.refBack(), hostQueue, checks, everyMs: plan.everyMs, untilMs };
  // A child that is cancelled before it has started goes on for ever: neither a cancel nor a vote reaches it until then.
  const scope = detachedScope();
  try {
    await database.confirmLive({ run: run.refBack() });
    // Not by anything that a Temporal reset changes.
    const workflowId = `${run.id}-monitor-${uuid4()}`;
    const child = await scope.run(() => startChild(monitorProduction, { workflowId, args: [watch] }));
    return await unlessRolledBack(run, scope, () => child.result());
  } catch (error) {
    const { type, message } = problemOf(error);
    // A cancel of the child that isn't this run's own comes as a failure of the child.
    const isOwnEnd =
      error instanceof RollBackGranted ||
      type === 'Overtaken' ||
      (isCancellation(error) && !(error instanceof ChildWorkflowFailure));
    if (isOwnEnd || CancellationScope.current().consideredCancelled) throw error;
    return { rounds: 0, failing: { name: 'the monitoring itself', error: message }, untilMs };
  }
}

/** Deletes the backup after a second approval, or keeps it. @throws RollBackGranted as long as it is there */
export async function retireBackup(run: Run): Promise<void> {
  await doStep(run, { name: 'retireBackup' }, async () => {
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
    await insist(run, 'Deleting the backup', () => database.removeBackup({ run: run.refBack() }));
  });
}

// Whatever is waited for in the scope, enough votes for a roll back end the waiting; so do a cancel, and the news that another run
// holds production.
async function unlessRolledBack<T>(run: Run, scope: CancellationScope, wait: () => Promise<T>): Promise<T> {
  const granted = () => run.rollBackVotes.size >= run.plan.approval.minimum;
  const waiting = scope.run(wait);
  const voting = new CancellationScope();
  const vote = voting.run(() => condition(() => granted() || run.overtaken !== null));
  try {
    await Promise.race([waiting, vote]);
    if (run.overtaken) throw run.overtaken.error;
    if (granted()) throw grantRollBack(run);
    return await waiting;
  } finally {
    scope.cancel();
    voting.cancel();
    await CancellationScope.nonCancellable(() => Promise.allSettled([waiting, vote]));
  }
}
