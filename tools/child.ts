/** The end of a server process that was started here: noticed, brought about, explained. */
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

/** Sends the signal and waits for the end; SIGKILL follows after 15 s. */
export async function endChild(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (hasEnded(child)) return;
  child.ref();
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  const last = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await ended;
  clearTimeout(last);
}

/** True also for a process that could not be started. */
export function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

/** The last lines of a log file on one line. */
export function endOfLog(file: string): string {
  if (!existsSync(file)) return 'nothing';
  return readFileSync(file, 'utf8').trim().split('\n').slice(-5).join(' ') || 'nothing';
}
