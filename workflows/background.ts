/** Activities that run beside the steps for as long as something must be held: the page on, the backup unchanged. */
import { CancellationScope, condition, isCancellation, sleep } from '@temporalio/workflow';
import { database, hostOf } from './calls';
import { letPeopleDecide } from './do-step';
import { problemOf } from './failures';
import { bearingAllOutages } from './outages';
import type { Background, Run } from './run';

/** A scope that ends when it is told to, and not with the run's own cancel. */
export function detachedScope(): CancellationScope {
  return new CancellationScope({
    cancellable: true,
    parent: new CancellationScope({ cancellable: false }),
  });
}

/** Begins it; a cancelled run doesn't end it. @param onFailure called when it ends by itself in a failure */
function begin(run: Run, work: () => Promise<void>, onFailure: (error: unknown) => void): Background {
  const scope = detachedScope();
  const done = scope
    .run(() => bearingAllOutages(run, work))
    .catch((error: unknown) => {
      if (!isCancellation(error)) onFailure(error);
    });
  return { done, cancel: () => scope.cancel() };
}

/** Ends it and waits until it has. */
async function end(background: Background | null): Promise<void> {
  background?.cancel();
  await CancellationScope.nonCancellable(() => background?.done ?? Promise.resolve());
}

/** Has the page watched: found off, it is turned on again. Harmless when it is watched. */
export function watchPage(run: Run): void {
  if (run.pageWatch) return;
  const host = hostOf(run.plan.hostQueue);
  const watch = begin(
    run,
    () => watchOn(run, () => host.watchPage({ run: run.refBack() })),
    (error) => {
      run.pageProblem = problemOf(error);
      run.pageWatch = null;
    },
  );
  run.pageWatch = watch;
}

const watchAgainMs = 10_000;

// What users wrote is people's to decide, and another's ledger ends the run; whatever else ends the watching, it goes on.
async function watchOn(run: Run, watch: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await watch();
    } catch (error) {
      const { type, message } = problemOf(error);
      if (isCancellation(error) || type === 'NeedsOperator' || type === 'Overtaken') throw error;
      run.note(`The watching of the maintenance page failed, and is begun again: ${message}`);
      await sleep(watchAgainMs, { summary: 'until the page is watched again' });
    }
  }
}

/** Ends the watching, before anybody may take the page down. */
export async function stopWatchingPage(run: Run): Promise<void> {
  const watch = run.pageWatch;
  run.pageWatch = null;
  await end(watch);
}

/**
 * Does what ends the page's time, or the watching of it, while nobody watches; what fails leaves it watched.
 * @param work writes a phase that needs no page
 */
export async function unwatched<T>(run: Run, work: () => Promise<T>): Promise<T> {
  const wasWatched = run.pageWatch !== null;
  await stopWatchingPage(run);
  try {
    return await work();
  } catch (error) {
    if (wasWatched) watchPage(run);
    throw error;
  }
}

/** What the watching has found is people's to decide. @throws RollBackGranted, or what says that another holds the run */
export async function heedPage(run: Run): Promise<void> {
  const problem = run.pageProblem;
  if (!problem) return;
  run.pageProblem = null;
  if (problem.type === 'Overtaken') throw problem.error;
  await letPeopleDecide(run, problem.message);
  watchPage(run);
}

/** Keeps the backup unchanged while production is restored from it. @throws what ended that before `work` was done */
export async function holdingBackup<T>(run: Run, work: () => Promise<T>): Promise<T> {
  run.backupHoldProblem = null;
  run.backupHold ??= begin(
    run,
    () => database.holdBackup({ run: run.refBack() }),
    (error) => {
      run.backupHoldProblem = problemOf(error);
      run.backupHold = null;
    },
  );
  const scope = new CancellationScope();
  const working = scope.run(work);
  const losing = scope.run(() => condition(() => run.backupHoldProblem !== null));
  try {
    const result = await Promise.race([working, losing.then(() => lost)]);
    if (result !== lost) return result as T;
    throw problemOfHold(run)?.error;
  } finally {
    scope.cancel();
    await Promise.allSettled([working, losing]);
  }
}

const lost = Symbol('the backup is not held any more');

// Read by a function: the compiler believes that there is none.
function problemOfHold(run: Run) {
  return run.backupHoldProblem;
}

export async function letGoOfBackup(run: Run): Promise<void> {
  const hold = run.backupHold;
  run.backupHold = null;
  await end(hold);
}
