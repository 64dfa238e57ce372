/** How a run ends: what leaving the path means, outcomes, and what Temporal is told. */
import {
  allHandlersFinished,
  ApplicationFailure,
  CancelledFailure,
  condition,
  isCancellation,
} from '@temporalio/workflow';
import type { Status, Outcome } from '../src/contract';
import { hasReached } from '../src/ledger/phases';
import { LIMITS, oneLine } from '../src/text';
import { heedPage, letGoOfBackup, stopWatchingPage } from './background';
import { database, early } from './calls';
import { RollBackGranted, Settled, problemOf, Refused, Rejected } from './failures';
import { writeReport, tell } from './people';
import { type Run, now } from './run';
import { goBack } from './way-back';

/**
 * Decides how a run that left its path ends; `cancelled` when a cancel was asked for before the way back began.
 * @returns null where people have taken the way back back: the run goes on
 */
export async function leavePath(run: Run, error: unknown, cancelled: boolean): Promise<Status | null> {
  try {
    if (error instanceof Settled) throw error;
    const { type, message } = problemOf(error);
    const reasons = error instanceof Refused ? error.reasons : [message];
    const refuses =
      error instanceof Refused ||
      (run.step === 'preflight' && !isCancellation(error) && type !== 'Overtaken');
    if (refuses) for (const reason of reasons) run.note(reason);
    const nothingYet = run.standing === null && (run.step === 'preflight' || run.step === 'announce');
    const past = nothingYet ? await lookBack(run, error) : 'acted';
    if (past === 'none' && type !== 'Overtaken') {
      if (run.plan) await removeShadow(run);
      return cancelled ? await close(run, 'cancelled', cancelledEarly) : await refuse(run, reasons);
    }
    // The ledger is asked below who holds it; before the new database is whole nothing of it is worth asking for.
    if (run.pageProblem?.type === 'Overtaken' || !hasReached(run.phase, 'verified')) run.pageProblem = null;
    if (run.pageProblem && !cancelled && !(error instanceof RollBackGranted)) {
      try {
        await heedPage(run);
        return null;
      } catch (decided) {
        if (!(decided instanceof RollBackGranted)) throw decided;
        return await leavePath(run, decided, cancelled);
      }
    }
    const wasLive = run.live;
    const found = await goBack(run, error instanceof RollBackGranted ? 'rollBack' : 'goBack');
    switch (found) {
      case 'forward':
        return null;
      case 'live':
        if (cancelled && wasLive)
          run.note('The run was cancelled after it went live: the monitoring ended, the backup is kept.');
        return await close(run, 'migrated');
      case 'unknown':
        switch (past === 'acted' ? await database.lookBack() : past) {
          case 'ended':
            run.hadEnded = true;
            if (cancelled) return await close(run, 'cancelled', endedSentence);
            run.note(endedSentence);
            return await refuse(run, [endedSentence]);
          case 'none':
            return cancelled ? await close(run, 'cancelled', cancelledEarly) : await refuse(run, [message]);
          case 'acted':
            throw new Settled(`${message} ${noTrace}`);
        }
      case 'nothing':
        if (refuses && !cancelled) return await refuse(run, reasons);
        break;
      case 'restored':
      case 'untouched':
        break;
    }
    if (error instanceof RollBackGranted) return await close(run, 'rolled-back', error.message);
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

const cancelledEarly = 'The run was cancelled before anything was changed.';

const cancelledSentence = 'The run was cancelled; production is what it was before.';

const endedSentence =
  'This Temporal run was made by a reset of a run that had ended, and nothing of that run is in production any more. Nothing was touched. Start a new run if one is wanted.';

const noTrace =
  "Neither production nor the backup holds anything of this run any more, so how it ended before can't be said: expected production's ledger, or the backup with its mirror. Look at production and at the report of the run's earlier execution, and start again when both are as they should be.";

/** What this run, or those that a Temporal reset made it from, may have done before: none, something, or it had ended. */
async function lookBack(run: Run, error: unknown): Promise<'none' | 'acted' | 'ended'> {
  if (error instanceof Refused && !run.plan) return 'none';
  return database.lookBack();
}

async function refuse(run: Run, reasons: string[]): Promise<Status> {
  const why = oneLine(reasons.join(' '), LIMITS.sentence);
  run.at(run.step).state = 'failed';
  run.at(run.step).error = why;
  return close(run, 'refused', why);
}

/** Ends the run: nothing of it stays in production, the report is written, the workflow closes as the outcome says. */
export async function close(run: Run, outcome: Outcome, why?: string): Promise<Status> {
  await stopWatchingPage(run);
  await letGoOfBackup(run);
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
  if (run.hadEnded) return "Nothing: the report of this run's earlier execution says how production is.";
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
async function removeShadow(run: Run): Promise<void> {
  try {
    await early.dropShadow({ run: run.refBack() });
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
