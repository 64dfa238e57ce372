/** Runs a command in a process group of its own, with a time limit, and ends it when the run is overtaken or cancelled. */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { KirikaeError, codeOf, failureType, sentence } from '../errors';
import { baseEnvironment } from '../settings/environment';
import { closePipes, drain, exitOf, type Child, type Exit } from '../exit';
import { actOnFreshLook } from './fresh-look';
import { endCommandOf, forgetPid, killGroup, notePid, pidFile, reservePid } from './pid-file';

export interface Command {
  run: readonly string[];
  cwd: string;
  /** Variables besides PATH, HOME, LANG and TMPDIR. */
  env: NodeJS.ProcessEnv;
  timeoutMs: number;
  /**
   * The same for every attempt: an attempt first ends the process group its predecessor left running. It begins with the
   * workflow's id and a Temporal run id: see `endCommandsOf`.
   */
  key: string;
  signal?: AbortSignal;
  onLine?: (line: string) => void;
  /** Told the process id as soon as the command runs. When it throws, the command is ended and that is thrown. */
  onStart?: (pid: number) => Promise<void>;
  /**
   * Asks the ledger whether this run may run it: before it starts, and again and again while it runs. Whatever it throws
   * before, nothing is started; while the command runs Overtaken alone ends it.
   */
  mayRun?: () => Promise<void>;
  /** How often `mayRun` is asked while the command runs; 10 s by default. */
  mayRunEveryMs?: number;
}

const keptLines = 20;

/**
 * Runs a command until its process has ended. What it leaves running in its process group is ended then; what it leaves
 * in a session of its own is left alone, and not waited for when it holds the command's output.
 * @returns its last lines of output
 * @throws KirikaeError StepFailed when it can't be started, exits non-zero or takes longer than its limit; NeedsOperator
 * when its process id can't be noted (it isn't left running then); Overtaken when `mayRun` says so; what `onStart` throws
 */
export async function runCommand(command: Command): Promise<string[]> {
  let running: Running | undefined;
  try {
    const look = command.mayRun ?? (() => Promise.resolve());
    running = await actOnFreshLook(look, () => start(command));
    const { code, signal } = await withinLimits(command, running);
    await drain(running.child);
    const lines = running.output.end();
    if (code === 0) return lines;
    throw new KirikaeError('StepFailed', failed(command.run.join(' '), code ?? signal ?? 'a signal', lines));
  } finally {
    if (running) end(running.child);
    forgetPid(command.key, running?.child.pid);
  }
}

interface Running {
  child: Child;
  exited: Promise<Exit>;
  output: LastLines;
}

// In one tick: what a predecessor left is ended; what has started is noted, listened to, and ended when it can't be noted.
function start(command: Command): Running {
  throwIfCancelled(command);
  withPidFile(command, 'It was not started', () => {
    endCommandOf(command.key);
    reservePid(command.key);
  });
  const [program = '', ...args] = command.run;
  const child = spawn(program, args, {
    cwd: command.cwd,
    env: baseEnvironment(command.env),
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const running = { child, exited: exitOf(child), output: new LastLines(child, command.onLine) };
  const { pid } = child;
  if (pid === undefined) return running;
  try {
    withPidFile(command, 'It was ended as soon as it had started', () =>
      notePid(command.key, pid, command.run.join(' ')),
    );
    return running;
  } catch (error) {
    end(child);
    throw error;
  }
}

// Whoever is to end a command ends its process group. It has ended when its own process has: no time limit runs after that.
async function withinLimits(command: Command, { child, exited }: Running): Promise<Exit> {
  const { timeoutMs, signal } = command;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    killGroup(child);
  }, timeoutMs);
  const onAbort = () => killGroup(child);
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort);
  const hasEnded = new AbortController();
  let refusal: { error: unknown } | undefined;
  const refuse = (error: unknown) => {
    refusal ??= { error };
    if (!hasEnded.signal.aborted) killGroup(child);
  };
  const noted = child.pid === undefined ? undefined : command.onStart?.(child.pid).catch(refuse);
  if (command.mayRun) untilOvertaken(command, hasEnded.signal).catch(refuse);
  let exit: Exit;
  try {
    exit = await exited;
  } catch (error) {
    throw cannotStart(command, error);
  } finally {
    hasEnded.abort();
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
  await noted;
  throwIfCancelled(command);
  if (refusal) throw refusal.error;
  // A command with an exit code ended by itself: a worker that stood still hears of the limit first.
  if (isLate && exit.code === null) {
    throw new KirikaeError(
      'StepFailed',
      `The command "${command.run.join(' ')}" was still running after its limit of ${Math.round(timeoutMs / 1000)} s and was ended. A time-out is a failure: find out why it hangs, or raise its timeout.`,
    );
  }
  return exit;
}

// What keeps the ledger from answering ends no command halfway: its caller meets it when the command has ended.
async function untilOvertaken(
  { mayRun, mayRunEveryMs = 10_000 }: Command,
  ended: AbortSignal,
): Promise<void> {
  while (!ended.aborted) {
    await wait(mayRunEveryMs, undefined, { signal: ended }).catch(() => undefined);
    if (ended.aborted) return;
    try {
      await mayRun?.();
    } catch (error) {
      if (failureType(error) === 'Overtaken') throw error;
    }
  }
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

// Tried before the command starts, too: a command that nobody could end later must not do a part of its work.
function withPidFile(command: Command, state: string, write: () => void): void {
  try {
    write();
  } catch (error) {
    throw new KirikaeError(
      'NeedsOperator',
      `The command "${command.run.join(' ')}" can't run, because its process id can't be noted in ${pidFile(command.key)}: ${sentence(error)}. ${state}. Let the worker's user write there, or start the worker with TMPDIR set to a folder where it can.`,
      { cause: error },
    );
  }
}

function cannotStart({ run, cwd }: Command, error: unknown): KirikaeError {
  const shown = run.join(' ');
  return new KirikaeError(
    'StepFailed',
    codeOf(error) === 'ENOENT'
      ? `The command "${shown}" can't be started: there is no program ${run[0] ?? ''} on PATH (or no folder ${cwd}). Install it where the worker runs.`
      : `The command "${shown}" can't be started: ${sentence(error)}`,
    { cause: error },
  );
}

function end(child: Child): void {
  killGroup(child);
  closePipes(child);
}

function throwIfCancelled({ signal }: Command): void {
  if (!signal?.aborted) return;
  const reason: unknown = signal.reason;
  throw reason instanceof Error ? reason : new Error('The command was cancelled.');
}
