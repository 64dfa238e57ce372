/** A worker process: serves the workflow and the activities of the plans whose variables are set. */
import path from 'node:path';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import {
  DefaultLogger,
  NativeConnection,
  Runtime,
  Worker,
  type LogEntry,
  type WorkerOptions as TemporalWorkerOptions,
} from '@temporalio/worker';
import pino from 'pino';
import { createActivities } from '../activities';
import { copyRowsActivities } from '../activities/copy-rows';
import { guardActivities } from '../activities/guard';
import { TASK_QUEUE, copyQueueOf } from '../src/contract';
import { missingVariables, type Settings } from '../src/settings/read';
import { milliseconds } from '../src/settings/schema';
import { redactor } from '../src/host/secrets';
import { lanesOfHost } from '../src/postgres/lanes';

export interface WorkerOptions {
  settings: Settings;
  /** Bundle of the workflows; default the one that the build made. */
  workflowBundle?: string;
  /** Groups of parts copied at a time on this host; default by its cores. */
  lanes?: number;
  /** Logs of this level and above go to standard error as JSON lines. */
  logLevel?: 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
}

/** Where workers are opened: a connection of Temporal's and what they serve. */
export interface WorkerPlace extends Pick<WorkerOptions, 'settings' | 'workflowBundle' | 'lanes'> {
  connection: NativeConnection;
  namespace: string;
  /** Shown in histories as who did something; default process and host. */
  identity?: string | undefined;
  /** How long activities get to stop, e.g. `10s`. */
  shutdownGraceTime?: `${number}s`;
}

const pinoLevels = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/** Runs until SIGTERM or SIGINT, then drains: activities get a while to stop and are taken up by another worker. */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const { settings } = options;
  const redact = redactor(settings);
  const level = options.logLevel ?? 'INFO';
  const log = pino({ level: pinoLevels[level] }, pino.destination(2));
  Runtime.install({
    logger: new DefaultLogger(level, (entry) => logEntry(log, entry, redact)),
    shutdownSignals: ['SIGTERM', 'SIGINT'],
  });
  for (const plan of Object.values(settings.plans)) {
    for (const problem of missingVariables(plan))
      log.warn(`${problem} Until then runs of this plan are refused; the other plans are served.`);
  }
  const { connectionOptions, namespace } = loadClientConnectConfig();
  const connection = await NativeConnection.connect(connectionOptions);
  try {
    const workers = await createWorkers({ ...options, connection, namespace: namespace ?? 'default' });
    await Promise.all(workers.map((worker) => worker.run()));
  } finally {
    await connection.close();
  }
}

/** A worker for each queue that the settings call for; they run in this process and end together. */
export async function createWorkers(place: WorkerPlace): Promise<Worker[]> {
  const { settings, connection, namespace, identity, lanes = lanesOfHost() } = place;
  const activities = createActivities(settings);
  const common: Omit<TemporalWorkerOptions, 'taskQueue'> = {
    connection,
    namespace,
    ...(identity === undefined ? {} : { identity }),
    interceptors: { activity: [guardActivities(redactor(settings), patienceOf(settings))] },
    maxHeartbeatThrottleInterval: '1s',
    defaultHeartbeatThrottleInterval: '1s',
    shutdownGraceTime: place.shutdownGraceTime ?? '10s',
  };
  const codePath = place.workflowBundle ?? path.join(__dirname, '..', 'workflow-bundle.js');
  return Promise.all([
    ...queuesOf(settings).map((taskQueue) =>
      Worker.create({
        ...common,
        taskQueue,
        workflowBundle: { codePath },
        activities,
        maxConcurrentActivityTaskExecutions: 20,
      }),
    ),
    Worker.create({
      ...common,
      taskQueue: copyQueueOf(TASK_QUEUE),
      activities: copyRowsActivities(settings),
      maxConcurrentActivityTaskExecutions: lanes,
    }),
  ]);
}

// A plan that is gone from the settings parks its run by itself.
function patienceOf(settings: Settings): (plan: string) => number {
  return (plan) =>
    Object.hasOwn(settings.plans, plan) ? milliseconds(settings.plans[plan]?.patience ?? '0s') : Infinity;
}

function queuesOf(settings: Settings): string[] {
  const hosts = Object.values(settings.plans).flatMap((plan) => plan.hostQueue ?? []);
  return [...new Set([TASK_QUEUE, ...hosts])];
}

function logEntry(log: pino.Logger, entry: LogEntry, redact: (text: string) => string): void {
  const meta = JSON.parse(redact(JSON.stringify(entry.meta ?? {}, plainErrors))) as object;
  log[pinoLevels[entry.level]](meta, redact(entry.message));
}

// JSON leaves out what an error says.
function plainErrors(_key: string, value: unknown): unknown {
  if (value instanceof Error) return { name: value.name, message: value.message, cause: value.cause };
  return typeof value === 'bigint' ? value.toString() : value;
}
