/** What the soak runs on: a PostgreSQL cluster behind a proxy, a Tumiki template, settings with three plans, a worker that can be killed. */
import { spawn, type ChildProcess } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from 'pg';
import { stringify } from 'yaml';
import { generateTumiki } from '../../examples/tumiki/generate';
import { startPostgres, type PostgresServer } from '../../tools/postgres';
import { packageRoot } from '../../tools/provide';
import { startSoakProxy, type Watch } from './proxy';

/** Plans of the settings; how a run of each must end, and in which step it fails on purpose. */
export const plans = {
  migrates: 'migrated',
  'fails-in-migrate': 'rolled-back, failed in migrate',
  'fails-in-smoke': 'rolled-back, failed in smoke',
} as const;
export type PlanName = keyof typeof plans;

export interface StageOptions {
  /** For settings and logs; exists and is empty. */
  folder: string;
  users: number;
  temporal: { address: string; namespace: string };
  /** Program and arguments of a worker; the settings file comes last. */
  workerCommand: readonly string[];
}

export interface Stage {
  postgres: PostgresServer;
  urls: { production: string; backup: string; admin: string };
  flagFile: string;
  workerLog: string;
  /** Sees every message that a worker sends to PostgreSQL. */
  watch: (watch: Watch) => void;
  /** A fresh production from the template; what the run before left is dropped. */
  layOutProduction: () => Promise<void>;
  /** Kills the worker with SIGKILL and starts another. */
  replaceWorker: () => Promise<void>;
  /** Kills the postmaster with SIGKILL and starts it again. */
  crashPostgres: () => Promise<void>;
  tearDown: () => Promise<void>;
}

const example = path.join(packageRoot, 'examples', 'tumiki');
const databases = ['soak', 'soak_backup', 'soak_shadow'];

export async function buildStage(options: StageOptions): Promise<Stage> {
  const undo: (() => Promise<unknown> | void)[] = [];
  const tearDown = async () => {
    for (const act of undo.reverse()) await act();
    undo.length = 0;
  };
  try {
    const postgres = await startPostgres({ settings: { max_connections: 100 } });
    undo.push(() => postgres.stop());
    await fillTemplate(postgres, options.users);
    let watching: Watch = () => 'pass';
    const proxy = await startSoakProxy(postgres.port, (type, text) => watching(type, text));
    undo.push(() => proxy.close());
    const flagFile = path.join(options.folder, 'maintenance.on');
    const page = createServer((request, response) => {
      const on = request.url !== '/health' && existsSync(flagFile);
      response.statusCode = on ? 503 : 200;
      response.end();
    });
    await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve));
    undo.push(() => {
      page.closeAllConnections();
      page.close();
    });
    const settingsFile = path.join(options.folder, 'kirikae.yaml');
    writeFileSync(
      settingsFile,
      stringify(settings(options.folder, flagFile, (page.address() as AddressInfo).port)),
    );
    const through = (database: string) =>
      postgres.url(database).replace(`:${postgres.port}/`, `:${proxy.port}/`);
    const env = {
      ...process.env,
      DATABASE_URL: through('soak'),
      BACKUP_DATABASE_URL: through('soak_backup'),
      SHADOW_DATABASE_URL: through('soak_shadow'),
      TEMPORAL_ADDRESS: options.temporal.address,
      TEMPORAL_NAMESPACE: options.temporal.namespace,
      KIRIKAE_PG_BIN: postgres.bin,
    };
    const workerLog = path.join(options.folder, 'worker.log');
    const start = () => startWorker([...options.workerCommand, settingsFile], env, workerLog);
    let worker = await start();
    undo.push(() => killWorker(worker));
    return {
      postgres,
      urls: {
        production: postgres.url('soak'),
        backup: postgres.url('soak_backup'),
        admin: postgres.url('postgres'),
      },
      flagFile,
      workerLog,
      watch: (watch) => (watching = watch),
      layOutProduction: async () => {
        rmSync(flagFile, { force: true });
        for (const name of databases)
          await query(postgres.url('postgres'), `drop database if exists ${name} with (force)`);
        await query(postgres.url('postgres'), 'create database soak template soak_template');
      },
      replaceWorker: async () => {
        await killWorker(worker);
        worker = await start();
      },
      crashPostgres: async () => {
        await postgres.kill();
        await postgres.start();
      },
      tearDown,
    };
  } catch (error) {
    await tearDown();
    throw error;
  }
}

// A check that fails on purpose: in the copied rows' constraints, or as a smoke check.
function settings(folder: string, flagFile: string, pagePort: number): object {
  const page = `http://127.0.0.1:${pagePort}`;
  const health = { name: 'API answers', kind: 'http', url: `${page}/health`, within: '5s' };
  const after = path.join(example, 'schema', 'after');
  const broken = path.join(folder, 'schema');
  mkdirSync(broken);
  cpSync(after, broken, { recursive: true });
  writeFileSync(
    path.join(broken, '999_fails.sql'),
    'alter table "McpServerRequestLog" add constraint fails_on_purpose check ("durationMs" < 0);\n',
  );
  const plan = (changes: object) => ({
    databases: {
      production: { urlEnv: 'DATABASE_URL' },
      backup: { urlEnv: 'BACKUP_DATABASE_URL', create: true },
      shadow: { urlEnv: 'SHADOW_DATABASE_URL', create: true },
    },
    maintenance: { kind: 'nginx', flagFile, probe: { url: `${page}/`, within: '5s' } },
    schema: { kind: 'sql', dir: after },
    mapping: path.join(example, 'mapping.yaml'),
    smoke: [health],
    rollbackSmoke: [health],
    monitor: { for: '1s', every: '1s' },
    retireBackup: { after: 'never' },
    report: { dir: path.join(folder, 'reports') },
    ...changes,
  });
  const all: Record<PlanName, object> = {
    migrates: plan({}),
    'fails-in-migrate': plan({ schema: { kind: 'sql', dir: broken } }),
    'fails-in-smoke': plan({
      smoke: [
        health,
        {
          name: 'Fails on purpose',
          kind: 'http',
          url: `${page}/health`,
          expect: { status: 418 },
          within: '1s',
        },
      ],
    }),
  };
  return { plans: all };
}

async function fillTemplate(postgres: PostgresServer, users: number): Promise<void> {
  await query(postgres.url('postgres'), 'create database soak_template');
  const client = new Client({ connectionString: postgres.url('soak_template') });
  await client.connect();
  try {
    for (const file of [
      '001_enums',
      '002_organizations',
      '003_mcp',
      '004_chats',
      '005_indexes',
      '006_foreign_keys',
    ])
      await client.query(readFileSync(path.join(example, 'schema', 'before', `${file}.sql`), 'utf8'));
    await generateTumiki(client, { users });
    await client.query('analyze');
    // A crash between the copy of a template and the next checkpoint would cost time, not rows.
    await client.query('checkpoint');
  } finally {
    await client.end();
  }
}

async function query(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function startWorker(
  command: readonly string[],
  env: NodeJS.ProcessEnv,
  log: string,
): Promise<ChildProcess> {
  const [program = '', ...args] = command;
  const output = openSync(log, 'a');
  const from = statSync(log).size;
  const child = spawn(program, args, { env, stdio: ['ignore', output, output] });
  process.once('exit', () => child.kill('SIGKILL'));
  const deadline = Date.now() + 60_000;
  while (!readFileSync(log).subarray(from).includes('"state":"RUNNING"')) {
    if (child.exitCode !== null || Date.now() > deadline)
      throw new Error(`The worker did not start; its log is ${log}.`);
    await wait(50);
  }
  return child;
}

async function killWorker(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}
