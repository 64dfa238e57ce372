/** The stage of the demo: servers, a filled Tumiki database, the old application behind a proxy, settings, a worker. */
import { spawnSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { startPostgres } from '../../tools/postgres';
import { startTemporal, type TemporalServer } from '../../tools/temporal';
import {
  brokenByRows,
  build,
  fillTumiki,
  healthCheck,
  planUrls,
  query,
  schemaWith,
  startWorker,
  tumikiPlan,
  workerCommand,
  writeSettings,
  type Built,
} from '../stage';
import { stopDemoApp, targetPortFile } from './deploy';
import { startProxy } from './proxy';

export type FailingStep = 'migrate' | 'smoke';

interface Pieces {
  productionUrl: string;
  temporal: TemporalServer;
  pageUrl: string;
  settingsFile: string;
  workerLog: string;
  worker: ChildProcess;
  rows: number;
}
export type Stage = Built<Pieces>;

/** Builds the stage in `folder`, which is emptied first. @param say called with a line a step */
export function buildStage(
  folder: string,
  options: { users: number; fail: FailingStep | null },
  say: (line: string) => void,
): Promise<Stage> {
  const state = path.join(folder, 'run');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(state, { recursive: true });
  return build<Pieces>(async (later) => {
    say('PostgreSQL and Temporal are being started …');
    const postgres = await startPostgres();
    later(() => postgres.stop());
    const temporal = await startTemporal({ ui: true });
    later(() => temporal.stop());
    say(`A Tumiki database with ${options.users} users is being filled …`);
    await query(postgres.url('postgres'), 'create database tumiki');
    const { urls, env } = planUrls(postgres.url, 'tumiki');
    const rows = await fillTumiki(urls.production, options.users);
    // The command line that drives the run reads them too.
    Object.assign(process.env, env, {
      TEMPORAL_ADDRESS: temporal.address,
      TEMPORAL_NAMESPACE: temporal.namespace,
      KIRIKAE_PG_BIN: postgres.bin,
    });

    later(() => stopDemoApp(state));
    const [program = '', ...args] = deployCommand(state, 'old');
    const first = spawnSync(program, args, { encoding: 'utf8' });
    if (first.status !== 0) throw new Error(`The old application does not start: ${first.stderr}`);
    const front = (flagFile: string) =>
      startProxy({ port: 0, flagFile, targetPortFile: targetPortFile(state) });
    const proxy = await front(path.join(state, 'maintenance.on'));
    later(() => proxy.stop());
    const bypass = await front(path.join(state, 'never'));
    later(() => bypass.stop());

    const pageUrl = `http://127.0.0.1:${proxy.port}/`;
    const healthUrl = `http://127.0.0.1:${bypass.port}/api/health`;
    const plan = demoPlan(folder, options.fail, { pageUrl, healthUrl });
    const settingsFile = writeSettings(folder, { tumiki: plan });
    const workerLog = path.join(folder, 'worker.log');
    const worker = await startWorker(workerCommand(settingsFile), {}, workerLog);
    later(() => worker.stop());
    return {
      productionUrl: urls.production,
      temporal,
      pageUrl,
      settingsFile,
      workerLog,
      worker: worker.child,
      rows,
    };
  });
}

function demoPlan(
  folder: string,
  fail: FailingStep | null,
  { pageUrl, healthUrl }: { pageUrl: string; healthUrl: string },
): object {
  const state = path.join(folder, 'run');
  const plan = tumikiPlan({ flagFile: './run/maintenance.on', pageUrl });
  const health = healthCheck(healthUrl, '10s');
  const broken = { name: 'A check that fails on purpose', kind: 'sql', sql: 'select 1' };
  return {
    ...plan,
    checklist: ['Maintenance window announced', 'Stakeholders contacted'],
    schema: fail === 'migrate' ? { kind: 'sql', dir: schemaWith({ folder }, brokenByRows) } : plan.schema,
    deploy: [
      {
        name: 'application',
        run: deployCommand(state, 'new'),
        rollback: deployCommand(state, 'old'),
        timeout: '1m',
        env: ['DATABASE_URL'],
      },
    ],
    smoke: fail === 'smoke' ? [health, broken] : [health],
    rollbackSmoke: [health],
    monitor: { for: '5s', every: '2s' },
  };
}

function deployCommand(state: string, version: 'old' | 'new'): string[] {
  return [process.execPath, path.join(__dirname, 'deploy.js'), '--version', version, '--state', state];
}
