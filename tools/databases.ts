/** `npm run databases`: drawn databases, or the profiles of owners and hosts, on PostgreSQL of one version or several. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { sentence } from '../src/errors';
import { knownMajors, providePostgres } from './postgres-versions';
import { profilesTable, withProfilesTable, type ProfileResult } from './profiles-table';
import { packageRoot, toolsFolder } from './provide';

interface Options {
  draws: number;
  seed: number;
  only?: number;
  profiles?: true;
  versions?: number[];
}

const results = path.join(toolsFolder, 'databases', 'profiles.jsonl');

new Command('npm run databases --')
  .description(
    'Draws databases and takes each through check, a run that fails after the reset, and the way back: what check lets pass must come ' +
      'back equal. With --profiles: the profiles of owners and hosts instead, each in both ways.',
  )
  .option('--draws <number>', 'how many databases are drawn', wholeNumber, 200)
  .option('--seed <number>', 'the seed that they are drawn from', wholeNumber, 1)
  .option(
    '--only <number>',
    'the one draw of that number, with the statements that the server refused',
    wholeNumber,
  )
  .option(
    '--profiles',
    'the profiles instead of draws; of all versions the table goes into docs/what-is-carried.md',
  )
  .option(
    '--versions <list>',
    `PostgreSQL's major versions (${knownMajors.join(',')}); without it the machine's own`,
    majors,
  )
  .action(async (options: Options) => {
    try {
      process.exitCode = await main(options);
    } catch (error) {
      process.stderr.write(`${sentence(error)}\n`);
      process.exitCode = 1;
    }
  })
  .parseAsync()
  .catch(() => {
    process.exitCode = 1;
  });

async function main(options: Options): Promise<number> {
  const found: ProfileResult[] = [];
  const failed: string[] = [];
  for (const major of options.versions ?? [null]) {
    const version = major === null ? 'own' : String(major);
    if (major !== null) {
      process.env.KIRIKAE_PG_BIN = await providePostgres(major);
      process.stdout.write(`PostgreSQL ${major}\n`);
    }
    if (runTests(options) !== 0) failed.push(version);
    if (options.profiles) found.push(...readResults(version));
  }
  if (options.profiles) {
    const table = profilesTable(found);
    process.stdout.write(`\n${table}\n`);
    for (const { version, profile, way, problem } of found)
      if (problem !== null) process.stdout.write(`\n${version}, ${profile}, ${way}: ${problem}\n`);
    if (knownMajors.every((major) => options.versions?.includes(major))) writeTable(table);
  }
  if (failed.length > 0) process.stderr.write(`Something is wrong with PostgreSQL ${failed.join(', ')}.\n`);
  return failed.length > 0 ? 1 : 0;
}

function runTests({ draws, seed, only, profiles }: Options): number {
  rmSync(results, { force: true });
  mkdirSync(path.dirname(results), { recursive: true });
  const handed = profiles
    ? { KIRIKAE_DATABASES_RESULTS: results }
    : {
        KIRIKAE_DATABASES_DRAWS: String(draws),
        KIRIKAE_DATABASES_SEED: String(seed),
        ...(only === undefined ? {} : { KIRIKAE_DATABASES_ONLY: String(only) }),
      };
  const test = profiles ? 'test/profiles.long.test.ts' : 'test/drawn-databases.test.ts';
  const jest = path.join(packageRoot, 'node_modules', 'jest', 'bin', 'jest.js');
  const env = { ...process.env, ...handed };
  return spawnSync(process.execPath, [jest, test], { cwd: packageRoot, env, stdio: 'inherit' }).status ?? 1;
}

function readResults(version: string): ProfileResult[] {
  if (!existsSync(results)) return [];
  const lines = readFileSync(results, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => ({ ...(JSON.parse(line) as Omit<ProfileResult, 'version'>), version }));
}

function writeTable(table: string): void {
  const page = path.join(packageRoot, 'docs', 'what-is-carried.md');
  writeFileSync(page, withProfilesTable(readFileSync(page, 'utf8'), table));
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 1_000_000)
    throw new InvalidArgumentError('Expected a whole number from 1 to 1000000.');
  return value;
}

function majors(text: string): number[] {
  const list = text.split(',').map(Number);
  if (list.some((major) => !knownMajors.includes(major)))
    throw new InvalidArgumentError(`Expected some of ${knownMajors.join(',')}.`);
  return list;
}
