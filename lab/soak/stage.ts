/** What the soak runs on: a PostgreSQL cluster behind a proxy, a Tumiki template, settings with three plans, a worker that can be killed. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { startPostgres } from '../../tools/postgres';
import {
  brokenByRows,
  build,
  fillTumiki,
  healthCheck,
  planUrls,
  query,
  schemaWith,
  startPage,
  startWorker,
  tumikiPlan,
  workerCommand,
  writeSettings,
  type Built,
  type PlanPlace,
} from '../stage';
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
  /** Program and arguments of a worker for a settings file; default the built one. */
  workerCommand?: (settingsFile: string) => readonly string[];
  /** Where the worker's log goes; default the folder. */
  workerLog?: string;
}

interface Pieces {
  urls: { production: string; backup: string; shadow: string };
  adminUrl: string;
  flagFile: string;
  pageUrl: string;
  workerLog: string;
  /** Sees every message that a worker sends to PostgreSQL. */
  watch: (watch: Watch) => void;
  /** A fresh production from the template; what the run before left is dropped. */
  layOutProduction: () => Promise<void>;
  /** Kills the worker with SIGKILL and starts another. */
  replaceWorker: () => Promise<void>;
  /** Kills the postmaster with SIGKILL and starts it again. */
  crashPostgres: () => Promise<void>;
}
export type Stage = Built<Pieces>;

export function buildStage(options: StageOptions): Promise<Stage> {
  return build<Pieces>(async (later) => {
    const postgres = await startPostgres();
    later(() => postgres.stop());
    const adminUrl = postgres.url('postgres');
    await query(adminUrl, 'create database soak_template');
    await fillTumiki(postgres.url('soak_template'), options.users);
    // A crash between the copy of a template and the next checkpoint would cost time, not rows.
    await query(adminUrl, 'checkpoint');
    let watching: Watch = () => 'pass';
    const proxy = await startSoakProxy(postgres.port, (type, text) => watching(type, text));
    later(() => proxy.close());
    const flagFile = path.join(options.folder, 'maintenance.on');
    const page = await startPage(flagFile);
    later(() => page.stop());
    const settingsFile = writeSettings(
      options.folder,
      soakPlans(options.folder, { flagFile, pageUrl: page.url, within: '5s' }),
    );
    const workerLog = options.workerLog ?? path.join(options.folder, 'worker.log');
    const env = {
      ...planUrls((database) => proxy.through(postgres.url(database)), 'soak').env,
      TEMPORAL_ADDRESS: options.temporal.address,
      TEMPORAL_NAMESPACE: options.temporal.namespace,
      KIRIKAE_PG_BIN: postgres.bin,
    };
    const start = () => startWorker((options.workerCommand ?? workerCommand)(settingsFile), env, workerLog);
    let worker = await start();
    later(() => worker.kill());
    return {
      urls: planUrls(postgres.url, 'soak').urls,
      adminUrl,
      flagFile,
      pageUrl: page.url,
      workerLog,
      watch: (watch) => (watching = watch),
      layOutProduction: async () => {
        rmSync(flagFile, { force: true });
        for (const name of ['soak', 'soak_backup', 'soak_shadow'])
          await query(adminUrl, `drop database if exists ${name} with (force)`);
        await query(adminUrl, 'create database soak template soak_template');
      },
      replaceWorker: async () => {
        await worker.kill();
        worker = await start();
      },
      crashPostgres: async () => {
        await postgres.kill();
        await postgres.start();
      },
    };
  });
}

// A check that fails on purpose: in the copied rows' constraints, or as a smoke check.
function soakPlans(folder: string, place: PlanPlace): Record<PlanName, object> {
  const healthUrl = `${place.pageUrl}health`;
  const health = healthCheck(healthUrl, place.within);
  const plan = {
    ...tumikiPlan(place),
    rollbackSmoke: [health],
    report: { dir: path.join(folder, 'reports') },
  };
  const broken = {
    ...healthCheck(healthUrl, '1s'),
    name: 'Fails on purpose',
    expect: { status: 418 },
  };
  return {
    migrates: plan,
    'fails-in-migrate': { ...plan, schema: { kind: 'sql', dir: schemaWith({ folder }, brokenByRows) } },
    'fails-in-smoke': { ...plan, smoke: [health, broken] },
  };
}
