/** `@temporalio/worker` as tests get it (jest.config.js): what workers and the SDK's core log goes to the test file's log, not to the terminal. */
import { appendFileSync } from 'node:fs';
import * as sdk from '../../node_modules/@temporalio/worker';
import { testLogFile } from './test-log';

// Unlike Runtime.install these are in force again after a runtime has ended because nobody used it any more.
sdk.Runtime.defaultOptions = {
  logger: new sdk.DefaultLogger('DEBUG', (entry) => appendFileSync(testLogFile(), lineOf(entry))),
  telemetryOptions: {
    logging: { filter: sdk.makeTelemetryFilterString({ core: 'WARN', other: 'WARN' }), forward: {} },
  },
};

// They would bury what is said.
const alwaysTheSame = new Set(
  'sdkComponent taskToken namespace isLocal workflowType workflowRunId runId taskQueue'.split(' '),
);

function lineOf({ level, timestampNanos, message, meta }: sdk.LogEntry): string {
  const time = new Date(Number(timestampNanos / 1_000_000n)).toISOString().slice(11);
  const said = Object.entries(meta ?? {}).filter(([name]) => !alwaysTheSame.has(name));
  return `${time} ${level} ${message} ${JSON.stringify(Object.fromEntries(said), plain)}\n`;
}

// JSON leaves out what an error says, and knows no bigint.
function plain(_key: string, value: unknown): unknown {
  if (value instanceof Error) return { name: value.name, message: value.message, cause: value.cause };
  return typeof value === 'bigint' ? value.toString() : value;
}

export = sdk;
