/** A worker as a process of its own, that a test can kill, freeze and wake. */
import path from 'node:path';
import { startWorker, type WorkerProcess } from '../../lab/stage';
import { testTemporal } from './environment';
import type { Migration } from './migration';
import { workerLogFile } from './test-log';

/** The command of a worker from the sources for a settings file. */
export function sourceWorkerCommand(settingsFile: string): string[] {
  const register = path.join(__dirname, 'swc-register.js');
  return [process.execPath, '--require', register, path.join(__dirname, 'worker-main.ts'), settingsFile];
}

/** Starts a worker for a migration's settings and waits until it polls. */
export function startWorkerProcess(
  { settingsFile, env: urls }: Migration,
  namespace: string,
  env: NodeJS.ProcessEnv = {},
): Promise<WorkerProcess> {
  const temporal = { TEMPORAL_ADDRESS: testTemporal().address, TEMPORAL_NAMESPACE: namespace };
  return startWorker(sourceWorkerCommand(settingsFile), { ...urls, ...temporal, ...env }, workerLogFile());
}
