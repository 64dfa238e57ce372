/** PostgreSQL refuses to run as root: which user it runs as then, and whether that user reaches its files. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { UsageError } from '../src/errors';
import { isProvided } from './postgres-tools';

export interface ServerUser {
  uid: number;
  gid: number;
}

/**
 * The user the server must run as: undefined for the present one, `postgres` or `nobody` when that is root.
 * @throws UsageError when root has neither
 */
export function serverUser(): ServerUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    const uid = idOf(name, '-u');
    const gid = idOf(name, '-g');
    if (uid !== undefined && gid !== undefined) return { uid, gid };
  }
  throw new UsageError([
    'PostgreSQL refuses to run as root, and there is no user postgres or nobody. Repeat as another user.',
  ]);
}

/**
 * A new temporary folder that belongs to the server's user and that it can reach.
 * @throws UsageError when the server's user reaches no folder for temporary files
 */
export function makeServerFolder(runAs: ServerUser | undefined): string {
  for (const parent of new Set([os.tmpdir(), '/tmp', '/var/tmp'])) {
    const folder = mkdtempSync(path.join(realpathSync(parent), 'kirikae-postgres-'));
    if (!runAs) return folder;
    chownSync(folder, runAs.uid, runAs.gid);
    if (canEnter(folder, runAs)) return folder;
    rmSync(folder, { recursive: true, force: true });
  }
  throw new UsageError([
    'The user PostgreSQL runs as reaches no folder for temporary files. Set TMPDIR to one it may enter.',
  ]);
}

/**
 * The bin folder as the server's user can use it: our own download is copied to `home` when it lies where that user can't go.
 * @throws UsageError when installed programs or the cluster's folder are out of that user's reach
 */
export function makeReachable(place: {
  bin: string;
  dir: string;
  home: string;
  runAs: ServerUser | undefined;
}): string {
  const { bin, dir, home, runAs } = place;
  if (!runAs) return bin;
  if (!canEnter(dir, runAs)) {
    throw new UsageError([
      `PostgreSQL runs as user id ${runAs.uid}, which cannot enter ${dir}. Choose a folder it may enter, or repeat as another user than root.`,
    ]);
  }
  if (canRun(bin, runAs)) return bin;
  if (!isProvided(bin)) {
    throw new UsageError([
      `PostgreSQL runs as user id ${runAs.uid}, which cannot execute the programs in ${bin}. Set KIRIKAE_PG_BIN to another bin folder.`,
    ]);
  }
  const copy = path.join(home, 'programs');
  cpSync(path.dirname(bin), copy, { recursive: true, verbatimSymlinks: true });
  spawnSync('chmod', ['-R', 'a+rX', copy]);
  chmodSync(copy, 0o755);
  return path.join(copy, 'bin');
}

function canEnter(folder: string, runAs: ServerUser): boolean {
  return (
    spawnSync('/bin/sh', ['-c', 'cd "$1" && test -w .', 'sh', folder], { ...runAs, cwd: '/' }).status === 0
  );
}

function canRun(bin: string, runAs: ServerUser): boolean {
  return spawnSync(path.join(bin, 'initdb'), ['--version'], { ...runAs, cwd: '/' }).status === 0;
}

function idOf(name: string, option: '-u' | '-g'): number | undefined {
  const result = spawnSync('id', [option, name], { encoding: 'utf8' });
  return result.status === 0 ? Number(result.stdout) : undefined;
}
