/** Carrying out a step: its times and state, and parking where an operator can repair what stops it. */
import { CancellationScope, condition, isCancellation } from '@temporalio/workflow';
import type { FORWARD, StepName, StepProgress } from '../src/contract';
import { hasReached } from '../src/ledger/phases';
import { parkedChoices } from './choices';
import { type Problem, RollBackGranted, Settled, problemOf } from './failures';
import { tell } from './people';
import { takeApprovedPlan, takePresentPlan } from './present-plan';
import { now, type ParkAnswer, type Run } from './run';

/**
 * Runs a step of the runbook; what an operator can repair parks the run, and `retry` repeats the step.
 * @param until the phase that the step ends in: one that the ledger has reached is not run again
 */
export async function doStep(
  run: Run,
  { name, until }: { name: StepName; until?: (typeof FORWARD)[number] },
  work: () => Promise<void>,
): Promise<void> {
  if (until && hasReached(run.phase, until)) return;
  const status = run.at(name);
  run.step = name;
  for (;;) {
    try {
      // Preflight begins with the settings as they are.
      if (run.retry !== null && name !== 'preflight')
        await (run.live ? takePresentPlan(run) : takeApprovedPlan(run));
      return await timed(run, status, work);
    } catch (error) {
      const problem = problemOf(error);
      if (isCancellation(error) || !parks(run, problem)) throw error;
      await park(run, {
        problem: `${name}: ${problem.message}`,
        next: 'repair it and send retry; settle or cancel are the other ways out',
      });
    }
  }
}

/** True where a failure going forward is a person's to repair. Before the reset going back costs nothing, and needs nobody. */
export function parks(run: Run, { type }: Problem): boolean {
  return type === 'NeedsOperator' || (type === 'NeedsRepair' && hasReached(run.phase, 'reset'));
}

/** Keeps the times, the state, the attempts and the last error of what is done. */
export async function timed(run: Run, status: StepProgress, work: () => Promise<void>): Promise<void> {
  status.state = 'running';
  status.startedAt ??= now();
  status.finishedAt = null;
  status.attempt += 1;
  status.error = null;
  run.show();
  try {
    await work();
    status.state = 'done';
    status.finishedAt = now();
    run.show();
  } catch (error) {
    status.finishedAt = now();
    status.state = 'failed';
    if (!isCancellation(error)) status.error = problemOf(error).message;
    run.show();
    throw error;
  }
}

/**
 * Repeats `work` until it succeeds; after each failure the run is parked. For what follows `live`.
 * @throws what says that the ledger isn't this run's any more
 */
export async function insist<T>(run: Run, what: string, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await CancellationScope.nonCancellable(async () => {
        await takePresentPlan(run);
        return work();
      });
    } catch (error) {
      const problem = problemOf(error);
      if (error instanceof Settled || problem.type === 'Overtaken') throw error;
      await CancellationScope.nonCancellable(() =>
        park(run, {
          problem: `${what} did not succeed: ${problem.message}`,
          next: 'repair it and send retry, or settle to leave everything as it is',
        }),
      );
    }
  }
}

export interface Park {
  problem: string;
  next: string;
  /** `rollBack` with acceptLoss is an answer too. */
  asksRollBack?: boolean;
}

/** Waits for an answer of people. @throws Settled when an operator ends the run instead */
export async function park(
  run: Run,
  { problem, next, asksRollBack = false }: Park,
): Promise<Exclude<ParkAnswer, 'settle'>> {
  run.parked = true;
  run.answer = null;
  run.asksRollBack = asksRollBack;
  // Votes answer the question that is asked now.
  if (asksRollBack) run.rollBackVotes.clear();
  run.notes.repeat(problem);
  const told = CancellationScope.nonCancellable(() =>
    tell(run, `${run.input.plan}: an operator is needed (workflow ${run.id}): ${problem}`),
  );
  const others = [
    ...(run.mayStandDown ? [`kirikae stand-down ${run.id} --by NAME`] : []),
    ...(asksRollBack ? [`kirikae roll-back ${run.id} --by NAME --accept-loss`] : []),
    `kirikae settle ${run.id} --by NAME`,
  ];
  run.wait(
    `an operator: ${problem}`,
    `${capital(next)}: kirikae retry ${run.id} --by NAME, or ${others.join(', or ')}.`,
    parkedChoices(run.id, { standDown: run.mayStandDown, rollBack: asksRollBack }),
  );
  try {
    await condition(() => run.answer !== null);
    await told;
  } finally {
    run.parked = false;
    run.asksRollBack = false;
    run.goOn();
  }
  const answer = answerOf(run);
  if (answer === 'settle') throw new Settled(problem);
  return answer ?? 'retry';
}

/** Parks where people decide whether to go on with what users wrote, or to go back without it. */
export async function letPeopleDecide(run: Run, problem: string): Promise<void> {
  const next =
    'retry goes on, and production goes live with these rows; roll-back brings the old database back';
  const answer = await park(run, { problem, next, asksRollBack: true });
  if (answer === 'rollBack') throw grantRollBack(run);
}

/** Takes the votes for a roll back, of which there are enough: they count once. */
export function grantRollBack(run: Run): RollBackGranted {
  run.lossAcceptedBy = [...run.rollBackVotes];
  run.rollBackVotes.clear();
  return new RollBackGranted(`Roll back asked for by ${run.lossAcceptedBy.join(', ')}.`);
}

// Read by a function: the compiler believes that the answer is still null.
function answerOf(run: Run) {
  return run.answer;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
