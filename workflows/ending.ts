/** How a run ends: what leaving the path means, outcomes, and what Temporal is told. */
import {
  isCancellation,
  patched,
  condition,
  allHandlersFinished,
  CancelledFailure,
  ApplicationFailure,
} from '@temporalio/workflow';
import type { Status, Outcome } from '../src/contract';
import { LIMITS, oneLine } from '../src/text';
import { database, early } from './calls';
import { insist, park } from './do-step';
import { RollBackGranted, Settled, problemOf, Refused, Rejected } from './failures';
import { writeReport, tell } from './people';
import { type Run, now } from './run';
import { goBack } from './way-back';

/** Decides how a run that left its path ends; `cancelled` when a cancel was asked for before the way back began. */
export async function leavePath(run: Run, error: unknown, cancelled: boolean): Promise<Status> {
  try {
    if (error instanceof RollBackGranted) {
      await goBack(run, { lossAccepted: true });
      return await close(run, 'rolled-back', error.message);
    }
    if (error instanceof Settled) throw error;
    if (run.live && cancelled) {
      run.note('The run was cancelled after it went live: the monitoring ended, the backup is kept.');
      return await close(run, 'migrated');
    }
    const { type, message } = problemOf(error);
    const reasons = error instanceof Refused ? error.reasons : [message];
    // Before the claim nothing is changed, so whatever stops preflight is a refusal; unless the ledger knows more.
    const refuses =
      error instanceof Refused ||
      (run.step === 'preflight' && !isCancellation(error) && type !== 'Overtaken');
    if (refuses) {
      for (const reason of reasons) run.note(reason);
      const asksLedger = mayHaveChanged(run, error);
      if (!cancelled && !asksLedger) return await refuse(run, reasons);
      if (cancelled && !asksLedger && !run.plan) return await close(run, 'cancelled', cancelledSentence);
    }
    if (type === 'Overtaken') await park(run, message, lookFirst);
    const found = await goBack(run, {
      lossAccepted: false,
      lookFirst:
        refuses && !cancelled && run.step === 'preflight' ? { problem: message, next: lookFirst } : undefined,
    });
    switch (found) {
      case 'live':
        return await close(run, 'migrated');
      case 'unknown':
        if (!cancelled) throw new Settled(`${message} ${noTrace}`);
        return await close(run, 'cancelled', 'The run was cancelled; nothing of it was in production.');
      case 'nothing':
        if (refuses && !cancelled) return await refuse(run, reasons);
        break;
      case 'restored':
      case 'untouched':
        break;
    }
    if (cancelled) return await close(run, 'cancelled', cancelledSentence);
    if (error instanceof Rejected) return await close(run, 'rejected', message);
    return await close(
      run,
      'rolled-back',
      `The step ${failedStep(run)} failed and production is what it was before: ${message}`,
    );
  } catch (settled) {
    if (!(settled instanceof Settled)) throw asFailure(settled);
    await leaveToOperator(run);
    return close(run, 'needs-operator', settled.message);
  }
}

const cancelledSentence = 'The run was cancelled; production is what it was before.';

const lookFirst =
  'look at production, then send retry to go the way back that the ledger calls for, or settle';

const noTrace =
  "Neither production nor the backup holds anything of this run any more, so how it ended before can't be said: expected production's ledger, or the backup with its copy of it. Look at production and at the report of the run's earlier execution, and start again when both are as they should be.";

/**
 * True when this run, or the one that a Temporal reset made it from, may have changed production: then the ledger is asked
 * before anything is called a refusal.
 */
function mayHaveChanged(run: Run, error: unknown): boolean {
  const inputIsUnusable = error instanceof Refused && !run.plan;
  if (inputIsUnusable || (run.step === 'preflight' && !run.hasPast)) return false;
  // Older histories refused without asking.
  return patched('ask-the-ledger-before-refusing');
}

async function refuse(run: Run, reasons: string[]): Promise<Status> {
  if (run.plan) await removeShadow(run);
  const why = oneLine(reasons.join(' '), LIMITS.sentence);
  run.at(run.step).state = 'failed';
  run.at(run.step).error = why;
  return close(run, 'refused', why);
}

/** Ends the run: nothing of it stays in production, the report is written, the workflow closes as the outcome says. */
export async function close(run: Run, outcome: Outcome, why?: string): Promise<Status> {
  if (outcome === 'migrated') {
    const removed = await insist(run, 'Removing shadow and ledger', () =>
      database.release({ run: run.refBack() }),
    );
    // Older histories have no such sentences.
    for (const sentence of (removed as string[] | null | undefined) ?? []) run.note(sentence);
  }
  if (why !== undefined && outcome !== 'refused') run.note(why);
  for (const step of run.steps) {
    if (['pending', 'running', 'waiting'].includes(step.state)) step.state = 'skipped';
  }
  const report = run.at('report');
  report.startedAt = now();
  run.finishedAt = now();
  run.outcome = outcome;
  run.step = 'report';
  report.state = 'done';
  run.wait(null, ending(run, outcome));
  if (run.plan) {
    await writeReport(run);
    if (outcome !== 'refused') await tell(run, `${run.plan.name}: ${outcome} (workflow ${run.id}).`);
  }
  report.finishedAt = now();
  run.show();
  await condition(allHandlersFinished);
  switch (outcome) {
    case 'migrated':
    case 'rehearsed':
    case 'rejected':
      return run.status();
    case 'cancelled':
      throw new CancelledFailure(why ?? 'cancelled');
    case 'refused':
    case 'rolled-back':
    case 'needs-operator':
      throw ApplicationFailure.create({ type: outcome, message: why ?? outcome, nonRetryable: true });
  }
}

function ending(run: Run, outcome: Outcome): string {
  switch (outcome) {
    case 'migrated':
    case 'rehearsed':
      return 'Nothing: the migration is finished.';
    case 'refused':
      return 'Do what the notes say, then start again. Nothing was changed.';
    case 'rolled-back':
    case 'rejected':
    case 'cancelled':
      return 'Production is what it was before. Start again when the cause is gone.';
    case 'needs-operator':
      return `Bring production to a safe end by hand: docs/if-it-stops.md, "By hand". Page and fence were left as they are (${run.id}).`;
  }
}

// A database that is down must not keep a refusal from ending.
// A database that is down must not keep a refusal from ending.
async function removeShadow(run: Run): Promise<void> {
  try {
    await early.release({ run: run.refBack() });
  } catch (error) {
    run.note(`The shadow database could not be removed: ${problemOf(error).message}`);
  }
}

async function leaveToOperator(run: Run): Promise<void> {
  try {
    for (const command of await database.handOver({ run: run.refBack() })) run.notes.repeat(command);
  } catch (error) {
    run.note(
      `The commands that lift page and fence could not be worked out (${problemOf(error).message}); docs/if-it-stops.md, "By hand", has them.`,
    );
  }
}

function failedStep(run: Run): string {
  return run.steps.find((step) => step.state === 'failed')?.name ?? run.step;
}

function asFailure(error: unknown): unknown {
  return error instanceof ApplicationFailure || error instanceof CancelledFailure
    ? error
    : ApplicationFailure.create({
        type: 'needs-operator',
        message: problemOf(error).message,
        nonRetryable: true,
      });
}
