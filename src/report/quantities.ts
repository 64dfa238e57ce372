/** How durations, sizes, counts and times are written for people. */

const second = 1000;
const minute = 60 * second;

/** `0.4s`, `12s`, `3m 04s`, `2h 05m`. */
export function describeDuration(durationMs: number): string {
  const ms = Math.max(0, durationMs);
  if (ms < 9_950) return `${(ms / second).toFixed(1)}s`;
  const seconds = Math.round(ms / second);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${pad(seconds % 60)}s`;
  const minutes = Math.round(ms / minute);
  return `${Math.floor(minutes / 60)}h ${pad(minutes % 60)}m`;
}

/** `1,234,567`. */
export function describeCount(count: number): string {
  return count.toLocaleString('en-US');
}

/** `1 row`, `42 rows`. */
export function describeRows(rowCount: number): string {
  return `${describeCount(rowCount)} ${rowCount === 1 ? 'row' : 'rows'}`;
}

/** `1,234`, or `about 1,234` for a count that is an estimate. */
export function describeAbout(count: number, isEstimate: boolean): string {
  return `${isEstimate ? 'about ' : ''}${describeCount(count)}`;
}

/** Decimal units: `512 B`, `1.4 MB`, `3.0 GB`. */
export function describeBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let size = bytes;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}

/** `2026-05-01 02:14:05 UTC`; text that is no time comes back as it is. */
export function describeTime(iso: string): string {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return iso;
  return `${time.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** Milliseconds a step took, or has taken so far; null before it began. */
export function elapsedMs(
  step: { startedAt: string | null; finishedAt: string | null },
  nowMs: number,
): number | null {
  if (!step.startedAt) return null;
  const end = step.finishedAt ? Date.parse(step.finishedAt) : nowMs;
  return Math.max(0, end - Date.parse(step.startedAt));
}

/** Time from now until a moment: `in 12m 00s`, or `overdue by 40s`. */
export function describeUntil(iso: string, nowMs: number): string {
  const leftMs = Date.parse(iso) - nowMs;
  return leftMs >= 0 ? `in ${describeDuration(leftMs)}` : `overdue by ${describeDuration(-leftMs)}`;
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}
