/** `npm run bench`: our phases and other tools, alternately, on one server and the same rows; ratios, as table, JSON and chart. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import Table from 'cli-table3';
import { Command, InvalidArgumentError } from 'commander';
import { fillTumiki, planUrls, query, tumikiPlan, writeSettings } from '../stage';
import { createDatabase, dropDatabase, prepareLike } from '../../src/postgres/databases';
import { withClient } from '../../src/postgres/connect';
import { runSchemaStep } from '../../src/new-schema/deploy';
import { findPlan, readSettings } from '../../src/settings/read';
import { startPostgres, type PostgresServer } from '../../tools/postgres';
import { packageRoot } from '../../tools/provide';
import { drawChart } from './chart';
import { measureHosts } from './hosts';
import {
  backUp,
  cloneUnverified,
  migrate,
  moveKeptHome,
  resetAndDeploy,
  restore,
  type Bench,
} from './engine';
import { judge, judgeRuns, median, type Result, type Round } from './judge';
import { bareClone, dumpAndRestore, pgcopydb, psqlPipes, upserts } from './others';
import { runWhole, type WholeRun } from './runs';

const smallUsers = 200;

async function main(): Promise<void> {
  const options = new Command('bench')
    .description('Measures backup, migration and restore against other tools, on servers of its own')
    .option('--users <n>', 'users to make up, about 76 rows each', positive, 40_000)
    .option('--rounds <n>', 'how often everything is measured', positive, 3)
    .option('--no-runs', 'without whole runs of a tenth, all and four times the users')
    .option('--hosts <n>', 'instead: one run by one host and by so many, each behind a slow link', positive)
    .option('--out <folder>', 'where results.json and results.svg go', path.join(packageRoot, 'lab', 'bench'))
    .parse()
    .opts<{ users: number; rounds: number; runs: boolean; hosts?: number; out: string }>();
  if (options.hosts !== undefined) return printHosts(options.hosts, options.users);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-bench-'));
  const postgres = await startPostgres({
    settings: { fsync: 'on', shared_buffers: '512MB', max_wal_size: '8GB' },
  });
  process.env.KIRIKAE_PG_BIN = postgres.bin;
  try {
    console.log(`A Tumiki database with ${options.users} users is being filled …`);
    const { bench, rows } = await layOut(postgres, path.join(folder, 'tumiki'), options.users);
    const rounds: Round[] = [];
    for (let round = 1; round <= options.rounds; round++) {
      rounds.push(await measure(bench, postgres));
      console.log(`round ${round}: ${JSON.stringify(rounds.at(-1), rounded)}`);
    }
    const byRow = await measureUpserts(postgres, folder);
    const measured = judge(rounds, byRow);
    const runs = options.runs ? await wholeRuns(options.users) : [];
    const results = runs.length > 0 ? [...measured, ...judgeRuns(runs)] : measured;
    print(results, rows, options.rounds);
    const machine = { cores: os.availableParallelism(), memoryGB: Math.round(os.totalmem() / 2 ** 30) };
    writeFileSync(
      path.join(options.out, 'results.json'),
      `${JSON.stringify({ users: options.users, rows, machine, rounds, runs, results }, rounded, 2)}\n`,
    );
    writeFileSync(path.join(options.out, 'results.svg'), drawChart(measured));
  } finally {
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function printHosts(hosts: number, users: number): Promise<void> {
  const [one, many] = await measureHosts(hosts, users);
  for (const run of [one, many]) console.log(JSON.stringify(run, rounded));
  if (one && many) {
    const gain = { backup: one.backup / many.backup, migrate: one.migrate / many.migrate };
    console.log(`${hosts} hosts are as fast as: ${JSON.stringify(gain, rounded)} of one`);
  }
}

async function wholeRuns(users: number): Promise<WholeRun[]> {
  const runs: WholeRun[] = [];
  for (const size of [Math.ceil(users / 10), users, users * 4]) {
    runs.push(await runWhole(size));
    console.log(`whole run: ${JSON.stringify(runs.at(-1), rounded)}`);
  }
  return runs;
}

/** Fills a database named as the folder, and deploys its new schema to the shadow. */
async function layOut(
  postgres: PostgresServer,
  folder: string,
  users: number,
): Promise<{ bench: Bench; rows: number }> {
  const database = path.basename(folder);
  mkdirSync(folder);
  await query(postgres.url('postgres'), `create database ${database}`);
  const rows = await fillTumiki(postgres.url(database), users);
  const file = writeSettings(folder, {
    tumiki: tumikiPlan({ flagFile: './page', pageUrl: 'http://127.0.0.1:1/' }),
  });
  const { urls } = planUrls(postgres.url, database);
  const bench: Bench = { plan: findPlan(readSettings(file), 'tumiki'), urls };
  await withClient(urls.production, 'bench', async (production) => {
    await createDatabase(urls.shadow, production, 'bench');
    await withClient(urls.shadow, 'bench', async (shadow) => {
      await prepareLike(shadow, production, ['public']);
      await runSchemaStep({ url: urls.shadow, client: shadow }, bench.plan, { key: 'bench' });
    });
  });
  return { bench, rows };
}

async function measure(bench: Bench, postgres: PostgresServer): Promise<Round> {
  const { urls } = bench;
  const dump = await inNewDatabase(postgres, { name: 'bench_dump', like: urls.production }, (url) =>
    dumpAndRestore(postgres.bin, urls.production, url),
  );
  const cloned = await inNewDatabase(postgres, { name: 'bench_pgcopydb', like: urls.production }, (url) =>
    pgcopydb(urls.production, url),
  );
  const clones = await cloneInTurn(bench, postgres);
  await checkpoint(urls.production);
  const times = await backUp(bench);
  const pipes = await inNewDatabase(postgres, { name: 'bench_pipes', like: urls.production }, (url) =>
    psqlPipes(bench, postgres.bin, url),
  );
  const reset = await resetAndDeploy(bench, 'drop');
  await checkpoint(urls.production);
  const migrated = await migrate(bench);
  await checkpoint(urls.production);
  const restored = await restore(bench);
  const movedHome = await moveKeptHome(bench);
  await dropDatabase(urls.backup, 'bench');
  return {
    ...times,
    dump,
    pgcopydb: cloned,
    ...clones,
    pipes,
    reset,
    migrate: migrated.migrate,
    verify: migrated.verify,
    restore: restored,
    movedHome,
    migratedRows: migrated.rows,
  };
}

// Under a second each, so several of each: who comes second finds the disk busy with what the first one wrote.
async function cloneInTurn(
  { plan, urls }: Bench,
  postgres: PostgresServer,
): Promise<Pick<Round, 'bareClone' | 'clone'>> {
  const times = { bareClone: [] as number[], clone: [] as number[] };
  const bare = async () => times.bareClone.push(await bareClone(urls.production, postgres.url('bench_bare')));
  const ours = async () => times.clone.push(await cloneUnverified({ plan, urls }));
  for (const act of [bare, ours, ours, bare, bare, ours]) {
    await checkpoint(urls.production);
    await act();
  }
  return { bareClone: median(times.bareClone), clone: median(times.clone) };
}

async function measureUpserts(postgres: PostgresServer, folder: string): Promise<number> {
  const { bench } = await layOut(postgres, path.join(folder, 'small'), smallUsers);
  await backUp(bench);
  const { rows, seconds } = await inNewDatabase(
    postgres,
    { name: 'bench_upserts', like: bench.urls.production },
    (url) => upserts(bench, url),
  );
  return rows / seconds;
}

async function inNewDatabase<T>(
  postgres: PostgresServer,
  { name, like }: { name: string; like: string },
  work: (url: string) => Promise<T>,
): Promise<T> {
  const url = postgres.url(name);
  await withClient(like, 'bench', (client) => createDatabase(url, client, 'bench'));
  await checkpoint(like);
  try {
    return await work(url);
  } finally {
    await dropDatabase(url, 'bench');
  }
}

// What one tool wrote is not flushed during the next one's time.
function checkpoint(url: string): Promise<unknown> {
  return withClient(url, 'bench', (client) => client.query('checkpoint'));
}

function print(results: Result[], rows: number, rounds: number): void {
  const table = new Table({ head: ['what', 'ours', 'against', 'theirs', 'ratio', 'goal', ''] });
  for (const { what, ours, against, theirs, ratio, goal, reached } of results) {
    const figure = (value: number | null) => {
      if (value === null) return against === '' ? '' : 'not installed';
      return value.toFixed(value < 100 ? 2 : 0);
    };
    table.push([
      what,
      figure(ours),
      against,
      figure(theirs),
      ratio?.toFixed(2) ?? '',
      goal,
      reached === null ? '' : reached ? 'yes' : 'no',
    ]);
  }
  console.log(
    `\n${rows} rows; medians of ${rounds} rounds; seconds where not said otherwise.\n${table.toString()}`,
  );
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value * 100) / 100 : value;
}

function positive(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('Expected a whole number from 1.');
  return Number(text);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
