/** Carrying out a step: its times and state, and parking where an operator can repair what stops it. */
import { CancellationScope, condition, isCancellation } from '@temporalio/workflow';
import type { StepName } from '../src/contract';
import { parkedChoices } from './choices';
import { Settled, problemOf } from './failures';
import { tell } from './people';
import { now, type Run } from './run';

/** Runs a step of the runbook; what an operator can repair parks the run, and `retry` repeats the step. */
export async function doStep<T>(run: Run, name: StepName, work: () => Promise<T>): Promise<T> {
  const status = run.at(name);
  run.step = name;
  for (;;) {
    status.state = 'running';
    status.startedAt ??= now();
    status.attempt += 1;
    status.error = null;
    run.show();
    try {
      const result = await work();
      status.state = 'done';
      status.finishedAt = now();
      run.show();
      return result;
    } catch (error) {
      const problem = problemOf(error);
      status.finishedAt = now();
      status.state = 'failed';
      if (isCancellation(error)) throw error;
      status.error = problem.message;
      if (problem.type !== 'NeedsOperator') throw error;
      await park(
        run,
        `${name}: ${problem.message}`,
        'repair it and send retry; settle or cancel are the other ways out',
      );
      status.finishedAt = null;
    }
  }
}

/** Repeats `work` until it succeeds; after each failure the run is parked. For ways back and what follows `live`. */
export async function insist<T>(run: Run, what: string, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await CancellationScope.nonCancellable(work);
    } catch (error) {
      if (error instanceof Settled) throw error;
      const page = run.pageOnAt !== null && run.pageOffAt === null ? ' The maintenance page stays on.' : '';
      await CancellationScope.nonCancellable(() =>
        park(
          run,
          `${what} did not succeed: ${problemOf(error).message}${page}`,
          'repair it and send retry, or settle to leave everything as it is',
        ),
      );
    }
  }
}

/** Waits for `retry`. @throws Settled when an operator ends the run instead */
export async function park(run: Run, problem: string, next: string): Promise<void> {
  run.parked = true;
  run.answer = null;
  run.notes.repeat(problem);
  const told = CancellationScope.nonCancellable(() =>
    tell(run, `${run.input.plan}: an operator is needed (workflow ${run.id}): ${problem}`),
  );
  run.wait(
    `an operator: ${problem}`,
    `${capital(next)}: kirikae retry ${run.id} --by NAME, or kirikae settle ${run.id} --by NAME.`,
    parkedChoices(run.id),
  );
  try {
    await condition(() => run.answer !== null);
    await told;
  } finally {
    run.parked = false;
    run.goOn();
  }
  if (answerOf(run) === 'settle') throw new Settled(problem);
}

// Read by a function: the compiler believes that the answer is still null.
function answerOf(run: Run) {
  return run.answer;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
