/** A whole plan for tests: a Tumiki database, settings, a page, deploy commands, and a worker in this process. */
import { createServer, type Server } from 'node:http';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { AddressInfo } from 'node:net';
import { Client as TemporalClient, Connection, type WorkflowHandle } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { NativeConnection, type Worker } from '@temporalio/worker';
import { Client } from 'pg';
import { stringify } from 'yaml';
import { createWorkers } from '../../cli/temporal-worker';
import { TASK_QUEUE, type MigrationInput, type Status } from '../../src/contract';
import { readSettings } from '../../src/settings/read';
import {
  createDatabase,
  testPostgres,
  testTemporal,
  workflowBundlePath,
  type TestDatabase,
} from './environment';
import { tumikiFolder } from './tumiki-database';

export interface Migration {
  folder: string;
  settingsFile: string;
  production: TestDatabase;
  urls: { production: string; backup: string; shadow: string };
  flagFile: string;
  /** Commands append a line here. */
  log: () => string[];
  /** Status the health check answers with. */
  health: { status: number };
  pageUrl: string;
  env: NodeJS.ProcessEnv;
  drop: () => Promise<void>;
}

export type PlanChange = (plan: Record<string, unknown>) => void;

/** Lays out a plan `tumiki` around a copy of the template database. */
export async function layOutMigration(
  template: string,
  change: PlanChange = () => undefined,
): Promise<Migration> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-plan-'));
  const production = await createDatabase('prod', template);
  const urls = {
    production: production.url,
    backup: testPostgres().url(`${production.name}_backup`),
    shadow: testPostgres().url(`${production.name}_shadow`),
  };
  const flagFile = path.join(folder, 'run', 'maintenance.on');
  mkdirSync(path.dirname(flagFile));
  const logFile = path.join(folder, 'commands.log');
  const health = { status: 200 };
  const page = createServer((request, response) => {
    const on = existsSync(flagFile);
    response.statusCode = request.url === '/health' ? health.status : on ? 503 : 200;
    response.end(on ? 'maintenance' : 'hello');
  });
  const port = await listen(page);
  const say = (text: string) => [
    'node',
    '-e',
    `require('fs').appendFileSync(${JSON.stringify(logFile)}, ${JSON.stringify(`${text}\n`)})`,
  ];
  const suffix = production.name.toUpperCase();
  const names = { production: `URL_${suffix}`, backup: `BACKUP_${suffix}`, shadow: `SHADOW_${suffix}` };
  const plan: Record<string, unknown> = {
    databases: {
      production: { urlEnv: names.production },
      backup: { urlEnv: names.backup, create: true },
      shadow: { urlEnv: names.shadow, create: true },
    },
    checklist: ['Window announced'],
    maintenance: {
      kind: 'nginx',
      flagFile: './run/maintenance.on',
      probe: { url: `http://127.0.0.1:${port}/`, within: '3s' },
    },
    approval: { timeout: '10m' },
    schema: { kind: 'sql', dir: path.join(tumikiFolder, 'schema', 'after') },
    mapping: path.join(tumikiFolder, 'mapping.yaml'),
    deploy: [
      { name: 'manager', run: say('manager new'), rollback: say('manager old') },
      { name: 'proxy', run: say('proxy new'), rollback: say('proxy old') },
    ],
    smoke: [{ name: 'API answers', kind: 'http', url: `http://127.0.0.1:${port}/health`, within: '1s' }],
    monitor: { for: '1s', every: '1s' },
    retireBackup: { after: 'never' },
  };
  change(plan);
  const settingsFile = path.join(folder, 'kirikae.yaml');
  writeFileSync(settingsFile, stringify({ plans: { tumiki: plan } }));
  const env = {
    [names.production]: urls.production,
    [names.backup]: urls.backup,
    [names.shadow]: urls.shadow,
  };
  Object.assign(process.env, env);
  return {
    folder,
    settingsFile,
    production,
    urls,
    flagFile,
    log: () => (existsSync(logFile) ? readFileSync(logFile, 'utf8').trim().split('\n').filter(Boolean) : []),
    health,
    pageUrl: `http://127.0.0.1:${port}/`,
    env,
    drop: async () => {
      await new Promise((resolve) => page.close(resolve));
      await production.drop();
      for (const suffixName of ['_backup', '_shadow', '_abandoned']) {
        await onServer(`drop database if exists "${production.name}${suffixName}" with (force)`);
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

async function onServer(sql: string): Promise<void> {
  await withDatabase(testPostgres().url('postgres'), (client) => client.query(sql));
}

/** Runs `work` on a plain session, as another program would. */
export async function withDatabase<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** A Temporal namespace of the suite's own and a client for it, so that suites beside each other don't share a queue. */
export async function openNamespace(name: string): Promise<{
  client: TemporalClient;
  connection: Connection;
  namespace: string;
  close: () => Promise<void>;
}> {
  const { address } = testTemporal();
  const connection = await Connection.connect({ address });
  const namespace = `${name}-${process.pid}-${Date.now().toString(36)}`;
  await connection.workflowService.registerNamespace({
    namespace,
    workflowExecutionRetentionPeriod: msToTs('1 day'),
  });
  const client = new TemporalClient({ connection, namespace });
  await until(async () => {
    try {
      await client.workflow.count();
      return true;
    } catch {
      return false;
    }
  });
  return { client, connection, namespace, close: () => connection.close() };
}

/** Runs workers while `work` runs; one that fails ends the wait. */
export async function runUntil<T>(workers: readonly Worker[], work: () => Promise<T>): Promise<T> {
  const running = workers.map((worker) => worker.run());
  const failed = Promise.all(running).then(() => {
    throw new Error('The workers ended before the work was done.');
  });
  try {
    return await Promise.race([work(), failed]);
  } finally {
    failed.catch(() => undefined);
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
    await Promise.all(running);
  }
}

/** Runs a worker for a migration's settings while `work` runs; one for each host, by its name, where several are given. */
export async function withWorker<T>(
  migration: Migration,
  namespace: string,
  work: () => Promise<T>,
  hosts: readonly (string | undefined)[] = [undefined],
): Promise<T> {
  const settings = readSettings(migration.settingsFile);
  // A host has a connection of its own: Temporal takes one worker for a queue on each.
  const connections = await Promise.all(
    hosts.map(() => NativeConnection.connect({ address: testTemporal().address })),
  );
  try {
    const workers = await Promise.all(
      connections.map((connection, index) =>
        createWorkers({
          settings,
          connection,
          namespace,
          workflowBundle: workflowBundlePath(),
          shutdownGraceTime: '1s',
          identity: hosts[index],
        }),
      ),
    );
    return await runUntil(workers.flat(), work);
  } finally {
    await Promise.all(connections.map((connection) => connection.close()));
  }
}

let started = 0;

/** Starts a run and returns its handle. */
export async function startRun(
  client: TemporalClient,
  input: Partial<MigrationInput> = {},
  workflowId?: string,
): Promise<WorkflowHandle> {
  started += 1;
  return client.workflow.start('offlineMigration', {
    taskQueue: TASK_QUEUE,
    workflowId: workflowId ?? `run-${process.pid}-${started}-${Date.now()}`,
    args: [{ plan: 'tumiki', requestedBy: 'alice', checklist: ['Window announced'], ...input }],
  });
}

export async function statusOf(handle: WorkflowHandle): Promise<Status> {
  return handle.query<Status>('status');
}

/** Waits until the status satisfies; fails early when the run has ended otherwise. */
export async function untilStatus(
  handle: WorkflowHandle,
  wanted: (status: Status) => boolean,
): Promise<Status> {
  let last: Status | undefined;
  await until(async () => {
    last = await statusOf(handle);
    if (wanted(last)) return true;
    if (last.outcome !== null)
      throw new Error(`The run ended as ${last.outcome}: ${JSON.stringify(last.notes)}`);
    return false;
  });
  return last as Status;
}

/** Waits for the approval step and approves with the status's fingerprint. */
export async function approve(handle: WorkflowHandle, by = 'bob'): Promise<Status> {
  const status = await untilStatus(handle, (s) => s.step === 'approval' && s.waitingFor !== null);
  await handle.executeUpdate('approve', { args: [{ by, fingerprint: status.backup?.fingerprint }] });
  return status;
}

/** The final status of a run, however it closed. */
export async function ending(handle: WorkflowHandle): Promise<Status> {
  await handle.result().catch(() => undefined);
  return statusOf(handle);
}

/** Waits for a condition; a test's time limit ends a wait in vain. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 100));
}
