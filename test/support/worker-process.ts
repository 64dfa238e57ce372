/** A worker as a process of its own, that a test can kill, freeze and wake. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { testTemporal } from './environment';
import { until, type Migration } from './migration';

export interface WorkerProcess {
  /** Everything it has written to standard error: its log. */
  log: () => string;
  /** SIGKILL, as by the kernel: nothing is tidied up. */
  kill: () => Promise<void>;
  /** SIGSTOP: connections stay open, heartbeats stop. */
  freeze: () => void;
  /** SIGCONT. */
  wake: () => void;
  /** SIGTERM and its end. */
  stop: () => Promise<void>;
}

/** Starts a worker for a migration's settings and waits until it polls. */
export async function startWorkerProcess(
  migration: Migration,
  namespace: string,
  env: NodeJS.ProcessEnv = {},
): Promise<WorkerProcess> {
  const register = path.join(__dirname, 'swc-register.js');
  const main = path.join(__dirname, 'worker-main.ts');
  const child = spawn(process.execPath, ['--require', register, main, migration.settingsFile], {
    env: {
      ...process.env,
      ...migration.env,
      TEMPORAL_ADDRESS: testTemporal().address,
      TEMPORAL_NAMESPACE: namespace,
      ...env,
    },
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  process.once('exit', () => child.kill('SIGKILL'));
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  const end = async (signal: NodeJS.Signals) => {
    child.kill('SIGCONT');
    child.kill(signal);
    await ended;
  };
  await until(() => {
    if (child.exitCode !== null) throw new Error(`The worker process ended: ${text}`);
    return Promise.resolve(text.includes('"state":"RUNNING"'));
  });
  return {
    log: () => text,
    kill: () => end('SIGKILL'),
    freeze: () => void child.kill('SIGSTOP'),
    wake: () => void child.kill('SIGCONT'),
    stop: () => end('SIGTERM'),
  };
}
