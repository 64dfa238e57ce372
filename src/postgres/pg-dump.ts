/** Running pg_dump, and finding the program. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { KirikaeError, failureTypeOfText } from '../errors';
import { drain, exitOf, type Child } from '../exit';
import { baseEnvironment } from '../settings/environment';
import { pinOptions } from './pinned-settings';
import { withOptions, withoutPassword } from './url';

export async function runPgDump(
  url: string,
  schemas: readonly string[],
  { owners }: { owners: boolean },
): Promise<string> {
  const { url: place, password } = withoutPassword(withOptions(url, pinOptions()));
  const args = [
    '--schema-only',
    '--quote-all-identifiers',
    // The text is read as UTF-8 here, and its first line says so to whoever applies it.
    '--encoding=UTF8',
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
  const output = new Kept(child, child.stdout, outputLimitBytes);
  const errors = new Kept(child, child.stderr, errorsLimitBytes);
  const { code, signal } = await exitOf(child);
  await drain(child);
  if (output.isOver || errors.isOver) {
    throw new KirikaeError(
      'StepFailed',
      `${name} wrote more than ${output.isOver ? `${outputLimitBytes / megabyte} MB, which is no definition that could be compared` : `${errorsLimitBytes / megabyte} MB of complaints, the first ones: ${errors.text().slice(0, 500)}`}. It was ended.`,
    );
  }
  if (code === 0) return output.text();
  const text = errors.text().trim();
  const how = code === null ? `it was ended by ${signal ?? 'a signal'}` : `it exited with code ${code}`;
  const message = text.split('\n').slice(-3).join(' ') || how;
  // Of a lost connection the first lines tell; the last ones quote the query that met it.
  throw new KirikaeError(failureTypeOfText(text), `${name} failed: ${message}`);
}

const megabyte = 1024 * 1024;
const outputLimitBytes = 256 * megabyte;
const errorsLimitBytes = megabyte;

/** What a child writes to one pipe, up to a limit; a child that writes more is ended. */
class Kept {
  isOver = false;
  private readonly chunks: Buffer[] = [];
  private bytes = 0;

  constructor(child: Child, pipe: Readable, limitBytes: number) {
    pipe.on('data', (chunk: Buffer) => {
      this.bytes += chunk.length;
      if (this.bytes <= limitBytes) this.chunks.push(chunk);
      else {
        this.isOver = true;
        child.kill('SIGKILL');
      }
    });
  }

  text(): string {
    return Buffer.concat(this.chunks).toString('utf8');
  }
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
