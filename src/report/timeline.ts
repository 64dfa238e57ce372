/** The report's timelines: a bar for each step, of the runbook and of the way back. */
import type { Status, StepStatus, WayBackStatus } from '../contract';
import { escape, section } from './markup';
import { describeCount, describeDuration, describeRows, describeTime, elapsedMs } from './quantities';

type AnyStep = StepStatus | WayBackStatus;

const afterWindow = new Set<AnyStep['name']>(['monitor', 'retireBackup', 'report']);

/** The steps of the runbook. @param nowMs end of what is still going on */
export function renderTimeline(status: Status, nowMs: number): string {
  const isDrawn = status.steps.some((step) => step.startedAt !== null);
  return isDrawn ? section('Timeline', renderBars(status.steps, nowMs)) : '';
}

/** The steps of the way back, on a scale of their own; nothing as long as there is none. */
export function renderWayBack(status: Status, nowMs: number): string {
  const title = status.window > 1 ? `Way back (window ${status.window})` : 'Way back';
  return status.wayBack.length === 0 ? '' : section(title, renderBars(status.wayBack, nowMs));
}

// A day of monitoring would squeeze the window to nothing, so the scale ends with the window.
function renderBars(steps: AnyStep[], nowMs: number): string {
  const started = steps.filter((step) => step.startedAt !== null);
  const inWindow = started.filter((step) => !afterWindow.has(step.name));
  const scaled = inWindow.length > 0 ? inWindow : started;
  const begins = scaled.map((step) => Date.parse(step.startedAt ?? ''));
  const fromMs = begins.length > 0 ? Math.min(...begins) : nowMs;
  const toMs = Math.max(fromMs + 1, ...scaled.map((step) => endMs(step, nowMs)));
  const share = (ms: number) => Math.min(100, Math.max(0, (100 * (ms - fromMs)) / (toMs - fromMs)));
  const rows = steps.map((step) => renderBar(step, share, nowMs));
  const ticks = [0, 0.25, 0.5, 0.75, 1].map(
    (part) => `<span style="left:${part * 100}%">${clock(fromMs + part * (toMs - fromMs))}</span>`,
  );
  const hint = scaled.length < started.length ? ' Steps after the window are drawn at its end.' : '';
  return `<div class="gantt"><div class="row axis"><span></span><div class="track">${ticks.join('')}</div><span></span></div>
${rows.join('\n')}</div>
<p class="hint">Times in UTC; the scale begins ${escape(describeTime(new Date(fromMs).toISOString()))}.${hint}</p>`;
}

function renderBar(step: AnyStep, share: (ms: number) => number, nowMs: number): string {
  const tookMs = elapsedMs(step, nowMs);
  let bar = '';
  if (step.startedAt !== null) {
    const left = Math.min(99.4, share(Date.parse(step.startedAt)));
    const width = Math.max(0.6, share(endMs(step, nowMs)) - left);
    bar = `<i class="${step.state}" style="left:${left.toFixed(2)}%;width:${width.toFixed(2)}%"></i>`;
  }
  const rows = describeProgress(step);
  const attempts = step.attempt > 1 ? ` · attempt ${step.attempt}` : '';
  const time = tookMs === null ? '' : describeDuration(tookMs);
  const mark = step.state === 'done' ? '' : ` <em class="${step.state}">${step.state}</em>`;
  return `<div class="row"><span>${escape(step.name)}${mark}</span><div class="track">${bar}</div><span>${time}${rows}${attempts}</span></div>`;
}

// Of a step that isn't over the total shows how much is left.
function describeProgress({ state, rows, rowsTotal }: AnyStep): string {
  if (state === 'running' && rowsTotal) return ` · ${describeCount(rows ?? 0)} of ${describeRows(rowsTotal)}`;
  return rows ? ` · ${describeRows(rows)}` : '';
}

function endMs(step: AnyStep, nowMs: number): number {
  return step.finishedAt ? Date.parse(step.finishedAt) : nowMs;
}

function clock(ms: number): string {
  return new Date(ms).toISOString().slice(11, 19);
}
