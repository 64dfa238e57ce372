/** Following a run until it ends, is live, or waits for an operator. */
import readline from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import type { Temporal } from './connection';
import { type Ending, findEnding } from './ending';
import { Unanswered } from './failures';
import { type RunView, lookAtRun } from './run-view';
import { describeChanges } from './status-changes';
import { renderRun } from './status-view';
import { type CommonOptions, type Io, colorsOf, print } from './terminal';

const intervalMs = 1_000;

// A worker that is restarted in mid-run must not end the watch; one that stays away must.
const patienceMs = 120_000;

/**
 * Watches a run: redraws on a terminal, prints a line a change elsewhere, and nothing with `--json`.
 * @param onView called with every look, e.g. to answer what the run waits for
 * @returns the last look at the run and how the watch ended
 * @throws Unanswered when nobody answers the first look, or nobody for two minutes later on
 */
export async function watchRun(
  io: Io,
  temporal: Temporal,
  id: string,
  options: CommonOptions,
  onView: (view: RunView) => Promise<void> = () => Promise.resolve(),
): Promise<{ view: RunView; ending: Ending }> {
  let before: RunView | null = null;
  let answeredAtMs = Date.now();
  for (;;) {
    try {
      const view = await lookAtRun(temporal, id);
      if (!options.json) show(io, before, view);
      before = view;
      answeredAtMs = Date.now();
      await onView(view);
      const ending = findEnding(view);
      if (ending) {
        if (!options.json) print(io, `${io.isTerminal ? '\n' : ''}${ending.sentence}`);
        return { view, ending };
      }
    } catch (error) {
      const isPassing =
        error instanceof Unanswered && before !== null && Date.now() - answeredAtMs < patienceMs;
      if (!isPassing) throw error;
      io.stderr.write(`${error.message} Still watching.\n`);
    }
    await wait(intervalMs);
  }
}

function show(io: Io, before: RunView | null, view: RunView): void {
  if (io.isTerminal) {
    readline.cursorTo(io.stdout, 0, 0);
    readline.clearScreenDown(io.stdout);
    print(io, renderRun(view, colorsOf(io)));
    return;
  }
  const time = new Date().toISOString().slice(11, 19);
  for (const line of describeChanges(before, view)) print(io, `${time} ${line}`);
}
