/** Runs a command in a process group of its own, with a time limit, and ends one that an earlier attempt left behind. */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { KirikaeError, codeOf, sentence } from '../errors';
import { baseEnvironment } from '../settings/environment';
import { closePipes, drain, exitOf, type Child, type Exit } from '../exit';

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
 * Runs a command until its process has ended. What it leaves running in its process group is ended then; what it leaves
 * in a session of its own is left alone, and not waited for when it holds the command's output.
 * @returns its last lines of output
 * @throws KirikaeError StepFailed when it can't be started, exits non-zero or takes longer than its limit; NeedsOperator
 * when its process id can't be noted (it isn't left running then)
 */
export async function runCommand(command: Command): Promise<string[]> {
  const [program = '', ...args] = command.run;
  const shown = command.run.join(' ');
  withPidFile(command, 'It was not started', (file) => {
    endPredecessor(file);
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(file, '');
  });
  const child = spawn(program, args, {
    cwd: command.cwd,
    env: baseEnvironment(command.env),
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = exitOf(child);
  const output = new LastLines(child, command.onLine);
  try {
    const { pid } = child;
    if (pid !== undefined) {
      withPidFile(command, 'It was ended as soon as it had started', (file) =>
        writeFileSync(file, `${pid}\n${startOf(pid)}`),
      );
    }
    const { code, signal } = await withinLimits(command, child, exited);
    await drain(child);
    const lines = output.end();
    if (code === 0) return lines;
    throw new KirikaeError('StepFailed', failed(shown, code ?? signal ?? 'a signal', lines));
  } catch (error) {
    if (child.pid !== undefined) throw error;
    throw new KirikaeError(
      'StepFailed',
      codeOf(error) === 'ENOENT'
        ? `The command "${shown}" can't be started: there is no program ${program} on PATH (or no folder ${command.cwd}). Install it where the worker runs.`
        : `The command "${shown}" can't be started: ${sentence(error)}`,
      { cause: error },
    );
  } finally {
    killGroup(child);
    closePipes(child);
    forget(command.key);
  }
}

// Whoever is to end a command ends its process group. It has ended when its own process has: no time limit runs after that.
async function withinLimits(
  { run, timeoutMs, signal }: Command,
  child: Child,
  exited: Promise<Exit>,
): Promise<Exit> {
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    killGroup(child);
  }, timeoutMs);
  const onAbort = () => killGroup(child);
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort);
  let exit: Exit;
  try {
    exit = await exited;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
  if (signal?.aborted) throw asError(signal.reason);
  // A command with an exit code ended by itself: a worker that stood still hears of the limit first.
  if (isLate && exit.code === null) {
    throw new KirikaeError(
      'StepFailed',
      `The command "${run.join(' ')}" was still running after its limit of ${Math.round(timeoutMs / 1000)} s and was ended. A time-out is a failure: find out why it hangs, or raise its timeout.`,
    );
  }
  return exit;
}

/** The last lines that a child has written. */
class LastLines {
  private readonly lines: string[] = [];
  private readonly unfinished = new Map<Readable, string>();

  constructor(
    child: Child,
    private readonly onLine?: (line: string) => void,
  ) {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        const parts = ((this.unfinished.get(stream) ?? '') + chunk).split('\n');
        this.unfinished.set(stream, (parts.pop() ?? '').slice(-4000));
        for (const line of parts) this.keep(line);
      });
    }
  }

  /** What stands on a last line without an end counts too. */
  end(): string[] {
    for (const line of this.unfinished.values()) this.keep(line);
    this.unfinished.clear();
    return this.lines;
  }

  private keep(line: string): void {
    if (!line.trim()) return;
    this.lines.push(line.slice(0, 500));
    if (this.lines.length > keptLines) this.lines.shift();
    this.onLine?.(line);
  }
}

function failed(shown: string, end: number | string, lines: string[]): string {
  const how = typeof end === 'string' ? `was ended by ${end}` : `exited with code ${end}`;
  const last = lines.slice(-5).join(' | ');
  return `The command "${shown}" ${how}${last ? `; its last output: ${last}` : ''}`;
}

// A worker that was killed leaves its command running: the next attempt on the same host ends it first.
function endPredecessor(file: string): void {
  if (!existsSync(file)) return;
  const [pid, started] = readFileSync(file, 'utf8').split('\n');
  if (pid && started && startOf(Number(pid)) === started) killGroup({ pid: Number(pid) });
}

// Tried before the command starts, too: a command that nobody could end later must not do a part of its work.
function withPidFile(command: Command, state: string, write: (file: string) => void): void {
  const file = pidFile(command.key);
  try {
    write(file);
  } catch (error) {
    throw new KirikaeError(
      'NeedsOperator',
      `The command "${command.run.join(' ')}" can't run, because its process id can't be noted in ${file}: ${sentence(error)}. ${state}. Let the worker's user write there, or start the worker with TMPDIR set to a folder where it can.`,
      { cause: error },
    );
  }
}

function forget(key: string): void {
  try {
    rmSync(pidFile(key), { force: true });
  } catch {
    // What stays names a process that has ended; how the command ended counts more.
  }
}

/** Where the process id of a running command is noted. */
export function pidFile(key: string): string {
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
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      timeout: 5000,
    }).trim();
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

function killGroup({ pid }: { pid?: number | undefined }): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('The command was cancelled.');
}
