/** Running pg_dump: finding the program, and telling an outage from a refusal by its words. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { KirikaeError } from '../errors';
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
  const child = spawn(clientTool('pg_dump'), args, {
    env: baseEnvironment({
      ...(password === undefined ? {} : { PGPASSWORD: password }),
      PGCONNECT_TIMEOUT: '10',
      PGAPPNAME: 'kirikae pg_dump',
      PGOPTIONS: '-c statement_timeout=0 -c lock_timeout=0',
    }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code === 0) return Buffer.concat(output).toString('utf8');
  const text = Buffer.concat(errors).toString('utf8').trim();
  const message = text.split('\n').slice(-3).join(' ');
  // Of a lost connection the first lines tell; the last ones quote the query that met it.
  throw new KirikaeError(outage.test(text) ? 'Outage' : 'StepFailed', `pg_dump failed: ${message}`);
}

const outage =
  /connection to server .* failed|could not connect|server closed the connection|no connection to the server|could not (receive|send) .*(data|server)|SSL SYSCALL|terminating connection|terminated abnormally|recovery mode|not (yet )?accepting connections|starting up|shutting down|too many clients|remaining connection slots|could not translate host/i;

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
