/** Running pg_dump, and finding the program. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { KirikaeError, failureTypeOfText } from '../errors';
import { drain, exitOf } from '../exit';
import { baseEnvironment } from '../settings/environment';
import { withoutPassword } from './url';

export async function runPgDump(
  url: string,
  schemas: readonly string[],
  { section, owners }: { section: 'pre-data' | 'post-data'; owners: boolean },
): Promise<string> {
  const { url: place, password } = withoutPassword(url);
  const args = [
    '--schema-only',
    `--section=${section}`,
    '--quote-all-identifiers',
    ...(owners ? [] : ['--no-owner', '--no-privileges', '--no-tablespaces']),
    ...schemas.map((schema) => `--schema="${schema.replaceAll('"', '""')}"`),
    `--dbname=${place}`,
  ];
  return runClientTool('pg_dump', args, {
    ...(password === undefined ? {} : { PGPASSWORD: password }),
    PGCONNECT_TIMEOUT: '10',
    // Its own words are judged, so they must be in one language.
    LC_MESSAGES: 'C',
    PGAPPNAME: 'kirikae pg_dump',
    PGOPTIONS: '-c statement_timeout=0 -c lock_timeout=0',
  });
}

/** The major version of the pg_dump that would run. */
export async function pgDumpVersion(): Promise<number> {
  const output = await runClientTool('pg_dump', ['--version'], {});
  return Number(/(\d+)/.exec(output.replace(/^.*\) /, ''))?.[1]);
}

async function runClientTool(
  name: 'pg_dump',
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const child = spawn(clientTool(name), args, {
    env: baseEnvironment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
  const { code, signal } = await exitOf(child);
  await drain(child);
  if (code === 0) return Buffer.concat(output).toString('utf8');
  const text = Buffer.concat(errors).toString('utf8').trim();
  const how = code === null ? `it was ended by ${signal ?? 'a signal'}` : `it exited with code ${code}`;
  const message = text.split('\n').slice(-3).join(' ') || how;
  // Of a lost connection the first lines tell; the last ones quote the query that met it.
  throw new KirikaeError(failureTypeOfText(text), `${name} failed: ${message}`);
}

const usualFolders = [
  '/usr/lib/postgresql',
  '/opt/homebrew/opt',
  '/usr/local/opt',
  '/usr/local/pgsql',
  '/usr',
];

/**
 * Path of one of PostgreSQL's client programs: `KIRIKAE_PG_BIN`, else PATH, else the usual folders.
 * @throws KirikaeError with what to install
 */
export function clientTool(name: 'pg_dump'): string {
  const folders = process.env.KIRIKAE_PG_BIN
    ? [process.env.KIRIKAE_PG_BIN]
    : [...(process.env.PATH ?? '').split(path.delimiter), ...installed()];
  const found = folders.map((folder) => path.join(folder, name)).find((file) => existsSync(file));
  if (found) return found;
  throw new KirikaeError(
    'StepFailed',
    `${name} was not found (KIRIKAE_PG_BIN, PATH and the usual folders were searched). Install PostgreSQL's client tools, of the server's version or newer, where the worker runs.`,
  );
}

function installed(): string[] {
  return usualFolders.flatMap((folder) => {
    if (!existsSync(folder)) return [];
    const versions = readdirSync(folder).sort(
      (a, b) => Number(b.replace(/\D/g, '')) - Number(a.replace(/\D/g, '')),
    );
    return [path.join(folder, 'bin'), ...versions.map((version) => path.join(folder, version, 'bin'))];
  });
}
