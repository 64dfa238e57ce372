/** Notes of running commands on this host: which process group is whose, so that a later process can end what a dead one left. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { codeOf } from '../errors';

/** Where the process id of a running command is noted. */
export function pidFile(key: string): string {
  return path.join(folder(), `${createHash('sha256').update(key).digest('hex').slice(0, 32)}.pid`);
}

/** Makes the note's place, still empty. @throws the system's error when it can't be written */
export function reservePid(key: string): void {
  mkdirSync(folder(), { recursive: true, mode: 0o700 });
  writeFileSync(pidFile(key), '');
}

/** Notes a process that leads a group, a line each: its id, when it started, the key, the command. */
export function notePid(key: string, pid: number, shown: string): void {
  writeFileSync(pidFile(key), [pid, startOf(pid), JSON.stringify(key), JSON.stringify(shown)].join('\n'));
}

/** Takes the note away when it is of this process, or of none yet: another attempt may have put its own there. */
export function forgetPid(key: string, pid: number | undefined): void {
  try {
    if (readNote(pidFile(key)).pid === (pid ?? 0)) remove(pidFile(key));
  } catch {
    // There is none, or it can't be read; how the command ended counts more.
  }
}

/** Ends the process group that a command with this key left running on this host, if there is one. */
export function endCommandOf(key: string): void {
  const file = pidFile(key);
  if (existsSync(file)) endNoted(readNote(file));
}

/**
 * Ends every command that a workflow left running on this host, whichever of its Temporal runs started it. Only commands
 * that this user started, with the same TMPDIR, are noted where it looks.
 * @param workflow what its commands' keys begin with, before the Temporal run id
 * @returns a sentence for each command that was ended
 */
export function endCommandsOf(workflow: string): string[] {
  return filesIn(folder()).flatMap((file) => {
    const note = noteIfThere(file);
    if (note === null || !isOf(workflow, note.key)) return [];
    const hasEnded = endNoted(note);
    remove(file);
    return hasEnded
      ? [
          `The command "${note.shown}" of workflow ${workflow} was still running on this host and was ended (process group ${note.pid}).`,
        ]
      : [];
  });
}

/** Ends a process and all that it has in its group. */
export function killGroup({ pid }: { pid?: number | undefined }): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

interface Note {
  pid: number;
  started: string;
  key: string;
  shown: string;
}

function readNote(file: string): Note {
  const [pid, started = '', key, shown] = readFileSync(file, 'utf8').split('\n');
  return { pid: Number(pid), started, key: textIn(key), shown: textIn(shown) };
}

// A command that ends by itself takes its note away.
function noteIfThere(file: string): Note | null {
  return ifThere(() => readNote(file), null);
}

// A line is missing, or half written, when whoever wrote it died.
function textIn(line: string | undefined): string {
  try {
    return String(JSON.parse(line ?? '""'));
  } catch {
    return '';
  }
}

/**
 * Ends a process with all that it has in its group, if it is the one that was noted and not another with its id.
 * @returns false when it had ended by itself
 */
export function endNoted({ pid, started }: Pick<Note, 'pid' | 'started'>): boolean {
  if (!(pid > 0) || !started || startOf(pid) !== started) return false;
  killGroup({ pid });
  return true;
}

// The run id in between keeps "nightly" from ending what "nightly two" runs.
function isOf(workflow: string, key: string): boolean {
  return (
    key.startsWith(`${workflow} `) &&
    /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12} /.test(key.slice(workflow.length + 1))
  );
}

function filesIn(place: string): string[] {
  const entries = ifThere(() => readdirSync(place, { withFileTypes: true }), []);
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.pid'))
    .map(({ name }) => path.join(place, name));
}

function ifThere<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return otherwise;
    throw error;
  }
}

function remove(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // What stays names a process that has ended; how the command ended counts more.
  }
}

function folder(): string {
  return path.join(os.tmpdir(), `kirikae-${os.userInfo().username}`);
}

/**
 * When a process started, to be noted beside its id: one that is used again is another process. Empty when it has ended. Whoever
 * reads it may have another time zone and language.
 */
export function startOf(pid: number): string {
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' },
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
