/** A whole plan for tests: a Tumiki database, settings, a page, deploy commands, and a worker in this process. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Client as TemporalClient, WorkflowHandle } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { parse, stringify } from 'yaml';
import { createWorkers } from '../../cli/temporal-worker';
import { judgeMigrated } from '../../lab/database-state';
import { healthCheck, planUrls, query, startPage, tumikiPlan, writeSettings } from '../../lab/stage';
import { TASK_QUEUE, type MigrationInput } from '../../src/contract';
import { identifier } from '../../src/postgres/sql';
import { databaseOf } from '../../src/postgres/url';
import { readSettings } from '../../src/settings/read';
import { asidePrefix } from '../../src/way-back/aside';
import {
  createDatabase,
  onServer,
  testPostgres,
  testTemporal,
  workflowBundlePath,
  type TestDatabase,
} from './environment';
import { runUntil } from './talk';

export { approve, ending, runUntil, statusOf, untilStatus } from './talk';

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
  /** Statuses that the page answers with while its flag is there, and while it isn't. */
  shown: { on: number; off: number };
  pageUrl: string;
  env: NodeJS.ProcessEnv;
  drop: () => Promise<void>;
}

export type PlanChange = (plan: Record<string, unknown>) => void;

/** Lays out a plan `tumiki` around a copy of the template database. */
export async function layOutMigration(
  template: string,
  change: PlanChange = () => undefined,
  prefix = 'prod',
): Promise<Migration> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-plan-'));
  const production = await createDatabase(prefix, template);
  const { urls } = planUrls(testPostgres().url, production.name);
  const flagFile = path.join(folder, 'run', 'maintenance.on');
  mkdirSync(path.dirname(flagFile));
  const logFile = path.join(folder, 'commands.log');
  const page = await startPage(flagFile);
  const say = (text: string) => [
    'node',
    '-e',
    `require('fs').appendFileSync(${JSON.stringify(logFile)}, ${JSON.stringify(`${text}\n`)})`,
  ];
  const suffix = production.name.toUpperCase().replace(/\W/g, '_');
  const names = { production: `URL_${suffix}`, backup: `BACKUP_${suffix}`, shadow: `SHADOW_${suffix}` };
  const plan: Record<string, unknown> = {
    ...tumikiPlan({
      flagFile: './run/maintenance.on',
      pageUrl: page.url,
      within: '3s',
      variables: names,
    }),
    checklist: ['Window announced'],
    approval: { timeout: '10m' },
    deploy: [
      { name: 'manager', run: say('manager new'), rollback: say('manager old') },
      { name: 'proxy', run: say('proxy new'), rollback: say('proxy old') },
    ],
    smoke: [healthCheck(`${page.url}health`, '1s')],
  };
  change(plan);
  const settingsFile = writeSettings(folder, { tumiki: plan });
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
    health: page.health,
    shown: page.shown,
    pageUrl: page.url,
    env,
    drop: async () => {
      await page.stop();
      await production.drop();
      // Backup and shadow, and what a way back has set aside.
      const own = `select datname as name from pg_database where starts_with(datname, $1 || '_') or starts_with(datname, $2)`;
      for (const { name } of await query<{ name: string }>(testPostgres().url('postgres'), own, [
        production.name,
        asidePrefix(databaseOf(urls.backup)),
      ])) {
        await onServer(`drop database if exists ${identifier(name)} with (force)`);
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The name of a migration's backup. */
export function backupOf({ production }: Migration): string {
  return `${production.name}_backup`;
}

/** Changes the plan in a migration's settings file. */
export function changePlan({ settingsFile }: Migration, change: PlanChange): void {
  const settings = parse(readFileSync(settingsFile, 'utf8')) as {
    plans: { tumiki: Record<string, unknown> };
  };
  change(settings.plans.tumiki);
  writeFileSync(settingsFile, stringify(settings));
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

/** What is wrong with a migrated production, against the backup that was kept; empty when all is well. */
export async function problemsOf(migration: Migration): Promise<string[]> {
  return (await judgeMigrated(migration)).problems;
}
