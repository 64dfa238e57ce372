/** Runs a command in a process group of its own, with a time limit, and ends one that an earlier attempt left behind. */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { KirikaeError } from '../errors';
import { baseEnvironment } from '../settings/environment';

export interface Command {
  run: readonly string[];
  cwd: string;
  /** Variables besides PATH, HOME, LANG and TMPDIR. */
  env: NodeJS.ProcessEnv;
  timeoutMs: number;
  /** The same for every attempt: an attempt first ends the process group its predecessor left running. */
  key: string;
  signal?: AbortSignal;
  onLine?: (line: string) => void;
}

const keptLines = 20;

/**
 * Runs a command to its end.
 * @returns its last lines of output
 * @throws KirikaeError StepFailed when it can't be started, exits non-zero or takes longer than its limit (its whole
 * process group is then ended)
 */
export async function runCommand(command: Command): Promise<string[]> {
  endPredecessor(command.key);
  const [program = '', ...args] = command.run;
  const shown = command.run.join(' ');
  const child = spawn(program, args, {
    cwd: command.cwd,
    env: baseEnvironment(command.env),
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (child.pid !== undefined) remember(command.key, child.pid);
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      const parts = (rest + chunk).split('\n');
      rest = (parts.pop() ?? '').slice(-4000);
      for (const line of parts) keep(line);
    });
    stream.on('end', () => keep(rest));
  }
  const keep = (line: string) => {
    if (!line.trim()) return;
    lines.push(line.slice(0, 500));
    if (lines.length > keptLines) lines.shift();
    command.onLine?.(line);
  };
  try {
    return await new Promise<string[]>((resolve, reject) => {
      let ended: Error | undefined;
      const end = (error: Error) => {
        ended ??= error;
        if (child.pid !== undefined) killGroup(child.pid);
      };
      const timer = setTimeout(
        () =>
          end(
            new KirikaeError(
              'StepFailed',
              `The command "${shown}" was still running after its limit of ${Math.round(command.timeoutMs / 1000)} s and was ended. A time-out is a failure: find out why it hangs, or raise its timeout.`,
            ),
          ),
        command.timeoutMs,
      );
      const onAbort = () => end(asError(command.signal?.reason));
      if (command.signal?.aborted) onAbort();
      command.signal?.addEventListener('abort', onAbort);
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        command.signal?.removeEventListener('abort', onAbort);
        settle();
      };
      child.on('error', (error: NodeJS.ErrnoException) =>
        finish(() =>
          reject(
            new KirikaeError(
              'StepFailed',
              error.code === 'ENOENT'
                ? `The command "${shown}" can't be started: there is no program ${program} on PATH (or no folder ${command.cwd}). Install it where the worker runs.`
                : `The command "${shown}" can't be started: ${error.message}`,
            ),
          ),
        ),
      );
      child.on('close', (code, signal) =>
        finish(() => {
          if (ended) reject(ended);
          else if (code === 0) resolve(lines);
          else reject(new KirikaeError('StepFailed', failed(shown, code ?? signal ?? 'a signal', lines)));
        }),
      );
    });
  } finally {
    rmSync(pidFile(command.key), { force: true });
  }
}

function failed(shown: string, end: number | string, lines: string[]): string {
  const how = typeof end === 'string' ? `was ended by ${end}` : `exited with code ${end}`;
  const last = lines.slice(-5).join(' | ');
  return `The command "${shown}" ${how}${last ? `; its last output: ${last}` : ''}`;
}

// A worker that was killed leaves its command running: the next attempt on the same host ends it first.
function endPredecessor(key: string): void {
  const file = pidFile(key);
  if (!existsSync(file)) return;
  const [pid, started] = readFileSync(file, 'utf8').split('\n');
  if (pid && started && startOf(Number(pid)) === started) killGroup(Number(pid));
  rmSync(file, { force: true });
}

function remember(key: string, pid: number): void {
  const file = pidFile(key);
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, `${pid}\n${startOf(pid)}`);
}

function pidFile(key: string): string {
  const user = os.userInfo().username;
  return path.join(
    os.tmpdir(),
    `kirikae-${user}`,
    `${createHash('sha256').update(key).digest('hex').slice(0, 32)}.pid`,
  );
}

// Start time beside the pid: a reused pid is another process.
function startOf(pid: number): string {
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return startFromProc(pid);
  }
}

function startFromProc(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').pop()?.split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('The command was cancelled.');
}
