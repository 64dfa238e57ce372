/** A worker: serves the workflow and the activities of the plans whose variables are set. */
import path from 'node:path';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { DefaultLogger, NativeConnection, Runtime, Worker, type LogEntry } from '@temporalio/worker';
import pino from 'pino';
import { createActivities } from '../activities/index';
import { TASK_QUEUE } from '../src/contract';
import { redactor } from '../src/settings/secrets';
import { missingVariables, type Settings } from '../src/settings/read';
import { guardActivities } from '../activities/guard';

export interface WorkerOptions {
  settings: Settings;
  /** Bundle of the workflows; default the one that the build made. */
  workflowBundle?: string;
  /** Logs of this level and above go to standard error as JSON lines. */
  logLevel?: 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
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
    const workers = await Promise.all(
      queuesOf(settings).map((taskQueue) =>
        Worker.create({
          connection,
          namespace: namespace ?? 'default',
          taskQueue,
          workflowBundle: {
            codePath: options.workflowBundle ?? path.join(__dirname, '..', 'workflow-bundle.js'),
          },
          activities: createActivities(settings),
          interceptors: { activity: [guardActivities(redact)] },
          maxHeartbeatThrottleInterval: '1s',
          defaultHeartbeatThrottleInterval: '1s',
          maxConcurrentActivityTaskExecutions: 20,
          shutdownGraceTime: '10s',
        }),
      ),
    );
    await Promise.all(workers.map((worker) => worker.run()));
  } finally {
    await connection.close();
  }
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
