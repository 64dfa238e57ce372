/** What changed between two looks at a run, as lines for a log. */
import type { StepProgress } from '../src/contract';
import { describeCount, describeDuration, describeRows, elapsedMs } from '../src/report/quantities';
import { type RunView, retrySentences, stepsWithInFlight, wayBackWithInFlight } from './run-view';

/** Lines for everything that is new since `before`; all there is to tell when `before` is null. */
export function describeChanges(before: RunView | null, after: RunView): string[] {
  const lines = describePhase(before, after);
  const old = before ? namedSteps(before) : new Map<string, StepProgress>();
  for (const [name, step] of namedSteps(after)) lines.push(...describeStep(name, old.get(name), step));
  const known = new Set(before ? retrySentences(before) : []);
  lines.push(...retrySentences(after).filter((line) => !known.has(line)));
  const notes = new Set(before?.status.notes);
  lines.push(
    ...after.status.notes
      .filter((note) => !notes.has(note))
      .map((note) => `note: ${note.replaceAll('\n', ' ')}`),
  );
  const { waitingFor, nextAction, backup } = after.status;
  if (backup && backup.fingerprint !== before?.status.backup?.fingerprint) {
    lines.push(`backup ${backup.database}: ${describeRows(backup.rows)}, fingerprint ${backup.fingerprint}`);
  }
  if (waitingFor && waitingFor !== before?.status.waitingFor) lines.push(`waiting for ${waitingFor}`);
  if (nextAction && nextAction !== before?.status.nextAction) lines.push(`next: ${nextAction}`);
  return lines;
}

function describePhase(before: RunView | null, { status }: RunView): string[] {
  if (
    status.phase === null ||
    (before?.status.phase === status.phase && before.status.window === status.window)
  )
    return [];
  return [`phase ${status.phase}${status.window > 1 ? `, window ${status.window}` : ''}`];
}

// Each window has a way back of its own.
function namedSteps(view: RunView): Map<string, StepProgress> {
  const { window } = view.status;
  const back = window > 1 ? `going back in window ${window}` : 'going back';
  return new Map<string, StepProgress>([
    ...stepsWithInFlight(view).map((step) => [step.name, step] as const),
    ...wayBackWithInFlight(view).map((step) => [`${back}, ${step.name}`, step] as const),
  ]);
}

function describeStep(name: string, before: StepProgress | undefined, after: StepProgress): string[] {
  const changed = (before?.state ?? 'pending') !== after.state;
  if (!changed && (after.state !== 'running' || tenths(before) === tenths(after))) return [];
  return [`${name}: ${after.state}${progressOf(after)}${after.error ? `: ${after.error}` : ''}`];
}

function progressOf(step: StepProgress): string {
  if (step.state === 'running') {
    if (!step.rowsTotal) return '';
    return `, ${describeCount(step.rows ?? 0)} of ${describeRows(step.rowsTotal)}`;
  }
  const tookMs = step.finishedAt ? elapsedMs(step, 0) : null;
  return `${tookMs === null ? '' : ` in ${describeDuration(tookMs)}`}${step.rows ? `, ${describeRows(step.rows)}` : ''}`;
}

// A line every tenth of the rows: enough to see life, few enough to read.
function tenths(step: StepProgress | undefined): number {
  return step?.rowsTotal ? Math.floor((10 * (step.rows ?? 0)) / step.rowsTotal) : 0;
}
