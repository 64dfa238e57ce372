/** `kirikae worker`: reads the settings and serves their plans until it is told to stop. */
import { type Settings, readSettings, settingsFile } from '../src/settings/read';
import { askServer, withTemporal } from './connection';
import type { CommonOptions, Io } from './terminal';

/**
 * Runs a worker until SIGTERM or SIGINT has drained it.
 * @returns 0
 * @throws UsageError with every problem of the settings, Unanswered when no server is there
 */
export async function serve(
  io: Io,
  options: CommonOptions & { config?: string; lanes?: number },
): Promise<number> {
  const settings = readSettings(settingsFile(options.config, io.env));
  await withTemporal(io, (temporal) =>
    askServer(temporal, () => temporal.client.workflowService.getSystemInfo({})),
  );
  // Loaded on demand: the worker's native part would slow every other command.
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const { runWorker } = require('./temporal-worker') as {
    runWorker: (options: { settings: Settings; lanes?: number }) => Promise<void>;
  };
  await runWorker({ settings, ...(options.lanes === undefined ? {} : { lanes: options.lanes }) });
  return 0;
}
