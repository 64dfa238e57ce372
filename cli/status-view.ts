/** The status of a run as a person reads it on a terminal: header, steps with progress bars, what to do next. */
import Table from 'cli-table3';
import {
  type Status,
  type StepState,
  type StepStatus,
  type WayBackStatus,
  isGoingBack,
} from '../src/contract';
import { endingOf } from './ending';
import {
  describeBytes,
  describeCount,
  describeDuration,
  describeRows,
  describeTime,
  describeUntil,
  elapsedMs,
} from '../src/report/quantities';
import {
  type RunView,
  describeWayBack,
  retrySentences,
  stepsWithInFlight,
  wayBackWithInFlight,
} from './run-view';
import type { Colors } from './terminal';

// The table must fit a terminal of 80 columns.
const barWidth = 8;

/** Renders a run; the text ends without a newline. */
export function renderRun(view: RunView, colors: Colors, nowMs = Date.now()): string {
  const sections = [
    renderHeader(view, colors, nowMs),
    renderSteps('step', stepsWithInFlight(view), colors, nowMs),
    renderSteps('way back', wayBackWithInFlight(view), colors, nowMs),
    renderTroubles(view, colors),
    renderDropped(view, colors),
    renderNotes(view, colors),
    renderNext(view, colors),
  ];
  return sections.filter((section) => section !== '').join('\n\n');
}

/** The same for a window that is too low: the steps under way, the last notes, and what to do. */
export function renderBrief(view: RunView, colors: Colors, nowMs = Date.now()): string {
  const at = view.status.steps.findIndex((step) => step.name === view.status.step);
  const isUnderWay = ({ state }: AnyStep) => !['pending', 'done', 'skipped'].includes(state);
  // A way back makes undone steps of all that was done: its own steps say more.
  const isNear = (step: StepStatus, index: number) =>
    isGoingBack(view.status) ? step.state === 'failed' : Math.abs(index - at) <= 1 || isUnderWay(step);
  const notes = view.status.notes.slice(-2);
  const sections = [
    renderHeader(view, colors, nowMs),
    renderSteps('step', stepsWithInFlight(view).filter(isNear), colors, nowMs),
    renderSteps('way back', wayBackWithInFlight(view).filter(isUnderWay), colors, nowMs),
    renderTroubles(view, colors),
    renderNotes({ ...view, status: { ...view.status, notes } }, colors),
    renderNext(view, colors),
  ];
  return sections.filter((section) => section !== '').join('\n\n');
}

function renderHeader(view: RunView, colors: Colors, nowMs: number): string {
  const { status, id } = view;
  const lines = [
    `${colors.bold(id)}  plan ${status.plan}  ${headline(view, colors)}`,
    `Started ${describeTime(status.startedAt)}, downtime so far ${describeDuration(status.downtimeMs)}${predicted(view, nowMs)}`,
  ];
  if (status.phase) lines.push(`Phase ${status.phase}${windowOf(status)}`);
  if (status.backup) {
    const { database, tables, rows, bytes, fingerprint } = status.backup;
    lines.push(
      `Backup ${database}: ${describeRows(rows)} of ${describeCount(tables)} tables, ${describeBytes(bytes)}`,
      `Fingerprint ${fingerprint}`,
    );
  }
  return lines.join('\n');
}

/** `, window 2`; nothing in the first, which is the usual one. */
function windowOf({ window }: Status): string {
  return window > 1 ? `, window ${window}` : '';
}

function headline(view: RunView, colors: Colors): string {
  const { status, execution } = view;
  const back = describeWayBack(view);
  if (status.outcome) {
    const good = endingOf(status.outcome).exitCode === 0;
    return (good ? colors.green : colors.red)(colors.bold(status.outcome));
  }
  if (execution !== 'RUNNING') return colors.red(colors.bold(`closed by Temporal (${execution})`));
  if (status.parked) return colors.red(colors.bold(`parked: needs an operator${back ? `; ${back}` : ''}`));
  if (back) return colors.yellow(colors.bold(back));
  if (status.live) return colors.green(colors.bold(`live, at ${status.step}`));
  return colors.cyan(`at ${status.step}`);
}

function predicted({ status }: RunView, nowMs: number): string {
  if (!status.predictedEnd || status.outcome || status.live) return '';
  return `, predicted end ${describeTime(status.predictedEnd)} (${describeUntil(status.predictedEnd, nowMs)})`;
}

type AnyStep = StepStatus | WayBackStatus;

function renderSteps(title: string, steps: AnyStep[], colors: Colors, nowMs: number): string {
  if (steps.length === 0) return '';
  const table = new Table({
    head: [title, 'state', 'time', 'rows', 'try'].map((head) => colors.dim(head)),
    style: { head: [], border: colors.isColorSupported ? ['gray'] : [], compact: true },
    colAligns: ['left', 'left', 'right', 'left', 'right'],
  });
  for (const step of steps) {
    const took = elapsedMs(step, nowMs);
    table.push([
      step.name,
      paintState(step.state, colors),
      took === null ? '' : describeDuration(took),
      renderProgress(step, colors),
      step.attempt > 1 ? colors.yellow(String(step.attempt)) : '',
    ]);
  }
  return table.toString();
}

function renderProgress(step: AnyStep, colors: Colors): string {
  if (step.rows === null && (step.rowsTotal === null || step.state === 'skipped'))
    return step.bytes ? describeBytes(step.bytes) : '';
  const rows = step.rows ?? 0;
  if (!step.rowsTotal) return describeCount(rows);
  return `${progressBar(rows / step.rowsTotal, colors)} ${describeCount(rows)} / ${describeCount(step.rowsTotal)}`;
}

function progressBar(share: number, colors: Colors): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * barWidth);
  const percent = Math.floor(Math.min(1, share) * 100);
  return `${colors.cyan('█'.repeat(filled))}${colors.dim('░'.repeat(barWidth - filled))} ${String(percent).padStart(3)}%`;
}

function paintState(state: StepState, colors: Colors): string {
  switch (state) {
    case 'pending':
      return colors.dim('· pending');
    case 'running':
      return colors.cyan('▶ running');
    case 'waiting':
      return colors.yellow('◷ waiting');
    case 'done':
      return colors.green('✔ done');
    case 'failed':
      return colors.red('✖ failed');
    case 'undone':
      return colors.yellow('↶ undone');
    case 'skipped':
      return colors.dim('- skipped');
    default:
      return state satisfies never;
  }
}

function renderTroubles(view: RunView, colors: Colors): string {
  const retries = retrySentences(view);
  const errors = [
    ...errorsOf(view.status.steps, ''),
    ...errorsOf(view.status.wayBack, 'going back, '),
  ].filter((line) => !retries.includes(line));
  return [
    ...retries.map((line) => colors.yellow(`↻ ${line}`)),
    ...errors.map((line) => colors.red(`✖ ${line}`)),
  ].join('\n');
}

function errorsOf(steps: AnyStep[], before: string): string[] {
  return steps.flatMap(({ name, error }) => (error === null ? [] : [`${before}${name}: ${error}`]));
}

function renderDropped({ status }: RunView, colors: Colors): string {
  if (status.dropped.length === 0) return '';
  const lines = status.dropped.map(
    ({ what, rows, reason }) => `  ${what} (${describeCount(rows)}): ${reason}`,
  );
  return [colors.bold('Left behind (rows of a table, values of a column)'), ...lines].join('\n');
}

function renderNotes({ status }: RunView, colors: Colors): string {
  if (status.notes.length === 0) return '';
  return [colors.bold('Notes'), ...status.notes.map((note) => `  - ${note.replaceAll('\n', '\n    ')}`)].join(
    '\n',
  );
}

function renderNext(view: RunView, colors: Colors): string {
  const { status } = view;
  const lines: string[] = [];
  if (status.waitingFor) lines.push(`${colors.yellow(colors.bold('Waiting for'))} ${status.waitingFor}`);
  if (status.nextAction) lines.push(`${colors.bold('Next')} ${nextOf(view)}`);
  return lines.join('\n');
}

// Temporal alone knows what is being retried: to the run it is still under way.
function nextOf(view: RunView): string {
  const { nextAction } = view.status;
  return nextAction.startsWith('Nothing') && retrySentences(view).length > 0
    ? 'Look at what is being tried again (↻ above): as long as it fails, repair what stops it. The run goes on by itself.'
    : nextAction;
}
