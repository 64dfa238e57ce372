/** Following a run until it ends, is live, or waits for an operator. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Temporal } from './connection';
import { type Ending, findEnding } from './ending';
import { Unanswered } from './failures';
import { type RunView, lookAtRun } from './run-view';
import { type Screen, openScreen } from './screen';
import { describeChanges } from './status-changes';
import { renderBrief, renderRun } from './status-view';
import { type CommonOptions, type Io, colorsOf, print } from './terminal';

const intervalMs = 1_000;

// A worker that is restarted in mid-run must not end the watch; one that stays away must.
const patienceMs = 120_000;

/**
 * Watches a run: redraws in place on a terminal, where the last frame stays, prints a line a change elsewhere, and nothing with `--json`.
 * @param onView called with every look, e.g. to answer what the run waits for; before it writes it calls `keepFrame`
 * @returns the last look at the run and how the watch ended
 * @throws Unanswered when nobody answers the first look, or nobody for two minutes later on
 */
export async function watchRun(
  io: Io,
  temporal: Temporal,
  id: string,
  options: CommonOptions,
  onView: (view: RunView, keepFrame: () => void) => Promise<void> = () => Promise.resolve(),
): Promise<{ view: RunView; ending: Ending }> {
  const screen = io.isTerminal && !options.json ? openScreen(io) : null;
  let before: RunView | null = null;
  let answeredAtMs = Date.now();
  for (;;) {
    try {
      const view = await lookAtRun(temporal, id);
      if (screen) draw(io, screen, view);
      else if (!options.json) printChanges(io, before, view);
      before = view;
      answeredAtMs = Date.now();
      await onView(view, () => screen?.keep(renderRun(view, colorsOf(io))));
      const ending = findEnding(view);
      if (ending) {
        screen?.keep(`${renderRun(view, colorsOf(io))}\n`);
        if (!options.json) print(io, ending.sentence);
        return { view, ending };
      }
    } catch (error) {
      const isPassing =
        error instanceof Unanswered && before !== null && Date.now() - answeredAtMs < patienceMs;
      if (!isPassing) {
        screen?.keep();
        throw error;
      }
      if (screen && before) draw(io, screen, before, `${error.message} Still watching.`);
      else io.stderr.write(`${error.message} Still watching.\n`);
    }
    await wait(intervalMs);
  }
}

function draw(io: Io, screen: Screen, view: RunView, trouble?: string): void {
  const colors = colorsOf(io);
  const end = trouble === undefined ? '' : `\n\n${colors.yellow(trouble)}`;
  screen.draw(`${renderRun(view, colors)}${end}`, `${renderBrief(view, colors)}${end}`);
}

function printChanges(io: Io, before: RunView | null, view: RunView): void {
  const time = new Date().toISOString().slice(11, 19);
  for (const line of describeChanges(before, view)) print(io, `${time} ${line}`);
}
