/** The stage of the demo: servers, a filled Tumiki database, the old application behind a proxy, settings, a worker. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { cpSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Client } from 'pg';
import { stringify } from 'yaml';
import { generateTumiki } from '../../examples/tumiki/generate';
import { sqlFiles } from '../../src/settings/read';
import { startPostgres, type PostgresServer } from '../../tools/postgres';
import { packageRoot } from '../../tools/provide';
import { startTemporal, type TemporalServer } from '../../tools/temporal';
import { stopDemoApp } from './deploy';
import { startProxy } from './proxy';

export type FailingStep = 'migrate' | 'smoke';

export interface Stage {
  productionUrl: string;
  backupUrl: string;
  temporal: TemporalServer;
  pageUrl: string;
  settingsFile: string;
  workerLog: string;
  worker: ChildProcess;
  rows: number;
  tearDown: () => Promise<void>;
}

const example = path.join(packageRoot, 'examples', 'tumiki');

/** Builds the stage in `folder`, which is emptied first. @param say called with a line a step */
export async function buildStage(
  folder: string,
  options: { users: number; fail: FailingStep | null },
  say: (line: string) => void,
): Promise<Stage> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(path.join(folder, 'run'), { recursive: true });
  const undo: (() => Promise<void> | void)[] = [];
  const tearDown = async () => {
    for (const act of undo.reverse()) await act();
    undo.length = 0;
  };
  try {
    say('PostgreSQL and Temporal are being started …');
    const postgres = await startPostgres();
    undo.push(() => postgres.stop());
    const temporal = await startTemporal({ ui: true });
    undo.push(() => temporal.stop());
    say(`A Tumiki database with ${options.users} users is being filled …`);
    const rows = await fillTumiki(postgres, options.users);
    const env = environmentFor(postgres, temporal);
    Object.assign(process.env, env);

    const flagFile = path.join(folder, 'run', 'maintenance.on');
    const targetPortFile = path.join(folder, 'run', 'port');
    undo.push(() => stopDemoApp(path.join(folder, 'run')));
    const first = spawnSync(process.execPath, deployCommand(folder, 'old').slice(1), {
      env: { ...process.env, ...env },
      encoding: 'utf8',
    });
    if (first.status !== 0) throw new Error(`The old application does not start: ${first.stderr}`);
    const proxy = await startProxy({ port: 0, flagFile, targetPortFile });
    undo.push(() => proxy.stop());
    const bypass = await startProxy({
      port: 0,
      flagFile: path.join(folder, 'run', 'never'),
      targetPortFile,
    });
    undo.push(() => bypass.stop());

    const settingsFile = path.join(folder, 'kirikae.yaml');
    writeFileSync(
      settingsFile,
      stringify({ plans: { tumiki: demoPlan(folder, options.fail, proxy.port, bypass.port) } }),
    );
    const workerLog = path.join(folder, 'worker.log');
    const worker = spawn(path.join(packageRoot, 'bin', 'kirikae.js'), ['worker', '--config', settingsFile], {
      env: { ...process.env, ...env },
      stdio: ['ignore', openSync(workerLog, 'a'), openSync(workerLog, 'a')],
    });
    undo.push(() => endWorker(worker));
    return {
      productionUrl: postgres.url('tumiki'),
      backupUrl: postgres.url('tumiki_backup'),
      temporal,
      pageUrl: `http://127.0.0.1:${proxy.port}/`,
      settingsFile,
      workerLog,
      worker,
      rows,
      tearDown,
    };
  } catch (error) {
    await tearDown();
    throw error;
  }
}

function demoPlan(folder: string, fail: FailingStep | null, pagePort: number, bypassPort: number): object {
  const health = {
    name: 'API answers',
    kind: 'http',
    url: `http://127.0.0.1:${bypassPort}/api/health`,
    within: '10s',
  };
  const broken = { name: 'A check that fails on purpose', kind: 'sql', sql: 'select 1' };
  return {
    databases: {
      production: { urlEnv: 'DATABASE_URL', schemas: ['public'] },
      backup: { urlEnv: 'BACKUP_DATABASE_URL', create: true },
      shadow: { urlEnv: 'SHADOW_DATABASE_URL', create: true },
    },
    checklist: ['Maintenance window announced', 'Stakeholders contacted'],
    maintenance: {
      kind: 'nginx',
      flagFile: './run/maintenance.on',
      probe: { url: `http://127.0.0.1:${pagePort}/`, on: 503, off: 200 },
    },
    schema: { kind: 'sql', dir: schemaFolder(folder, fail) },
    mapping: path.join(example, 'mapping.yaml'),
    deploy: [
      {
        name: 'application',
        run: deployCommand(folder, 'new'),
        rollback: deployCommand(folder, 'old'),
        timeout: '1m',
        env: ['DATABASE_URL'],
      },
    ],
    smoke: fail === 'smoke' ? [health, broken] : [health],
    rollbackSmoke: [health],
    monitor: { for: '5s', every: '2s' },
    retireBackup: { after: 'never' },
    report: { dir: './reports' },
  };
}

// For --fail migrate the new schema gets a check that some of the generated rows break.
function schemaFolder(folder: string, fail: FailingStep | null): string {
  const after = path.join(example, 'schema', 'after');
  if (fail !== 'migrate') return after;
  const copy = path.join(folder, 'schema');
  cpSync(after, copy, { recursive: true });
  writeFileSync(
    path.join(copy, '999_demo.sql'),
    'alter table "McpServerRequestLog" add constraint demo_breaks check ("durationMs" < 0);\n',
  );
  return copy;
}

function deployCommand(folder: string, version: 'old' | 'new'): string[] {
  return [
    process.execPath,
    path.join(__dirname, 'deploy.js'),
    '--version',
    version,
    '--state',
    path.join(folder, 'run'),
  ];
}

function environmentFor(postgres: PostgresServer, temporal: TemporalServer): Record<string, string> {
  return {
    DATABASE_URL: postgres.url('tumiki'),
    BACKUP_DATABASE_URL: postgres.url('tumiki_backup'),
    SHADOW_DATABASE_URL: postgres.url('tumiki_shadow'),
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
    KIRIKAE_PG_BIN: postgres.bin,
  };
}

/** Creates and fills a Tumiki database in the old schema. @returns its rows */
export async function fillTumiki(
  postgres: PostgresServer,
  users: number,
  database = 'tumiki',
): Promise<number> {
  const admin = new Client({ connectionString: postgres.url('postgres') });
  await admin.connect();
  await admin.query(`create database ${database}`);
  await admin.end();
  const client = new Client({ connectionString: postgres.url(database) });
  await client.connect();
  try {
    for (const file of sqlFiles(path.join(example, 'schema', 'before')))
      await client.query(readFileSync(file, 'utf8'));
    await generateTumiki(client, { users });
    await client.query('analyze');
    const { rows } = await client.query<{ rows: string }>(
      `select sum(n_live_tup) as rows from pg_stat_user_tables`,
    );
    return Number(rows[0]?.rows ?? 0);
  } finally {
    await client.end();
  }
}

async function endWorker(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  worker.kill('SIGTERM');
  const timer = setTimeout(() => worker.kill('SIGKILL'), 15_000);
  await ended;
  clearTimeout(timer);
}
