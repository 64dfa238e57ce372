/** What a lane of cells runs on: a PostgreSQL cluster behind a proxy, a Tumiki template, one plan, a worker that can be killed. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Client as TemporalClient } from '@temporalio/client';
import { identifier } from '../../src/postgres/sql';
import { findPlan, readSettings, type Plan } from '../../src/settings/read';
import { startPostgres } from '../../tools/postgres';
import { startSoakProxy } from '../soak/proxy';
import {
  build,
  fillTumiki,
  healthCheck,
  planUrls,
  query,
  startPage,
  startWorker,
  tumikiPlan,
  workerCommand,
  writeSettings,
  type Built,
  type WorkerProcess,
} from '../stage';

export const planName = 'tumiki';
const production = 'tumiki';
const template = 'template_of_cells';

export interface LaneOptions {
  /** Tells the lanes of a process apart. */
  name: string;
  /** For settings and logs; exists and is empty. */
  folder: string;
  users: number;
  temporal: { address: string; namespace: string; client: TemporalClient };
  /** Program and arguments of a worker for a settings file; default the built one. */
  workerCommand?: (settingsFile: string) => readonly string[];
  /** Where the worker's log goes; default the folder. */
  workerLog?: string;
}

interface Pieces {
  client: TemporalClient;
  plan: Plan;
  /** Past the proxy. */
  urls: { production: string; backup: string; shadow: string };
  adminUrl: string;
  templateUrl: string;
  flagFile: string;
  pageUrl: string;
  workerLog: string;
  /** Status the smoke check is answered with. */
  health: { status: number };
  /** What the deploy and its rollback have said, a word each. */
  deployed: () => string[];
  /** A fresh production from the template, a page that is off; what the cell before left is dropped. */
  layOut: () => Promise<void>;
  killWorker: () => Promise<void>;
  /** Starts one unless one runs. */
  startWorker: () => Promise<void>;
  cutConnections: () => void;
  /** Cuts the connection of the next COMMIT, between its answer and who waits for it. */
  cutAfterCommit: () => void;
  /** Stops PostgreSQL at once and starts it again. */
  crashPostgres: () => Promise<void>;
}
export type Lane = Built<Pieces>;

/** Builds a lane; its worker runs. */
export function buildLane(options: LaneOptions): Promise<Lane> {
  return build<Pieces>(async (later) => {
    const postgres = await startPostgres();
    later(() => postgres.stop());
    const adminUrl = postgres.url('postgres');
    await query(adminUrl, `create database ${template}`);
    const templateUrl = postgres.url(template);
    await fillTumiki(templateUrl, options.users);
    await query(adminUrl, 'checkpoint');
    let cutsAtCommit = false;
    const proxy = await startSoakProxy(postgres.port, (type, text) => {
      if (!cutsAtCommit || type !== 'Q' || !/^\s*commit\b/i.test(text)) return 'pass';
      cutsAtCommit = false;
      return 'cut after';
    });
    later(() => proxy.close());
    const flagFile = path.join(options.folder, 'maintenance.on');
    const deployLog = path.join(options.folder, 'deployed.log');
    const page = await startPage(flagFile);
    later(() => page.stop());
    const suffix = options.name.toUpperCase();
    const variables = {
      production: `PRODUCTION_OF_${suffix}`,
      backup: `BACKUP_OF_${suffix}`,
      shadow: `SHADOW_OF_${suffix}`,
    };
    const through = planUrls((database) => proxy.through(postgres.url(database)), production).urls;
    const env: NodeJS.ProcessEnv = {
      [variables.production]: through.production,
      [variables.backup]: through.backup,
      [variables.shadow]: through.shadow,
      TEMPORAL_ADDRESS: options.temporal.address,
      TEMPORAL_NAMESPACE: options.temporal.namespace,
      KIRIKAE_PG_BIN: postgres.bin,
    };
    // `recover` runs in this process.
    Object.assign(process.env, { ...env, TEMPORAL_ADDRESS: undefined, TEMPORAL_NAMESPACE: undefined });
    const say = (word: string) => ['sh', '-c', `echo ${word} >> '${deployLog}'`];
    const settingsFile = writeSettings(options.folder, {
      [planName]: {
        ...tumikiPlan({ flagFile, pageUrl: page.url, within: '5s', variables }),
        deploy: [{ name: 'manager', run: say('new'), rollback: say('old') }],
        smoke: [healthCheck(`${page.url}health`, '1s')],
        rollbackSmoke: [],
        monitor: { for: '3s', every: '1s' },
        patience: '20s',
        report: { dir: path.join(options.folder, 'reports') },
      },
    });
    const workerLog = options.workerLog ?? path.join(options.folder, 'worker.log');
    let worker: WorkerProcess | null = null;
    const lane: Pieces = {
      client: options.temporal.client,
      plan: findPlan(readSettings(settingsFile), planName),
      urls: planUrls(postgres.url, production).urls,
      adminUrl,
      templateUrl,
      flagFile,
      pageUrl: page.url,
      workerLog,
      health: page.health,
      deployed: () =>
        existsSync(deployLog) ? readFileSync(deployLog, 'utf8').trim().split('\n').filter(Boolean) : [],
      layOut: async () => {
        cutsAtCommit = false;
        page.health.status = 200;
        rmSync(flagFile, { force: true });
        rmSync(deployLog, { force: true });
        const own = `select datname as name from pg_database where datname = $1 or starts_with(datname, $1 || '_')`;
        for (const { name } of await query<{ name: string }>(adminUrl, own, [production]))
          await query(adminUrl, `drop database if exists ${identifier(name)} with (force)`);
        await query(adminUrl, `create database ${production} template ${template}`);
      },
      killWorker: async () => {
        await worker?.kill();
        worker = null;
      },
      startWorker: async () => {
        worker ??= await startWorker((options.workerCommand ?? workerCommand)(settingsFile), env, workerLog);
      },
      cutConnections: proxy.cut,
      cutAfterCommit: () => (cutsAtCommit = true),
      crashPostgres: async () => {
        await postgres.stopAtOnce();
        await postgres.start();
      },
    };
    later(() => lane.killWorker());
    await lane.startWorker();
    return lane;
  });
}
