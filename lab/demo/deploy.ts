/** The demo's deploy command: starts a version of the application, points the proxy at it, stops the one before. */
import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { sentence } from '../../src/errors';
import { freePort } from '../../tools/ports';
import type { DemoVersion } from './pages';

interface RunningApp {
  pid: number;
  port: number;
}

const startLimitMs = 30_000;
const stopLimitMs = 5_000;

/** Where a deploy writes the application's port: the proxy's `targetPortFile`. */
export function targetPortFile(stateDir: string): string {
  return path.join(stateDir, 'port');
}

/**
 * Starts the application as a process of its own, over the database of DATABASE_URL, and waits until it listens, healthy or not.
 * @throws when it doesn't listen within 30 s; the previous application then stays
 */
export async function deployDemoApp(stateDir: string, version: DemoVersion): Promise<RunningApp> {
  mkdirSync(stateDir, { recursive: true });
  const previous = readApp(stateDir);
  const app = await startApp(stateDir, version);
  writeWhole(pidFile(stateDir), JSON.stringify(app));
  writeWhole(targetPortFile(stateDir), `${app.port}\n`);
  if (previous) await stopApp(previous);
  return app;
}

/** Stops the application that the last deploy into this folder started, if it still runs. */
export async function stopDemoApp(stateDir: string): Promise<void> {
  const app = readApp(stateDir);
  if (app) await stopApp(app);
  rmSync(targetPortFile(stateDir), { force: true });
  rmSync(pidFile(stateDir), { force: true });
}

async function startApp(stateDir: string, version: DemoVersion): Promise<RunningApp> {
  const port = await freePort();
  const log = openSync(path.join(stateDir, 'app.log'), 'a');
  const program = path.join(__dirname, 'app.js');
  const child = spawn(process.execPath, [program, '--version', version, '--port', String(port)], {
    // Its own process group and no pipe of ours: it outlives this command, and whoever waits for the command's output.
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  let ended = false;
  child.once('error', () => (ended = true)).once('exit', () => (ended = true));
  const pid = child.pid ?? 0;
  const deadline = Date.now() + startLimitMs;
  while (!ended && Date.now() < deadline) {
    if ((await pidOn(port)) === pid) {
      child.unref();
      return { pid, port };
    }
    await sleep(50);
  }
  child.kill('SIGKILL');
  throw new Error(
    `The ${version} version did not listen on port ${port}${ended ? '; it ended at once' : ` within ${startLimitMs / 1000} s`}. Read ${path.join(stateDir, 'app.log')}.`,
  );
}

async function stopApp({ pid, port }: RunningApp): Promise<void> {
  // The process id alone may be somebody else's by now.
  if ((await pidOn(port)) !== pid) return;
  signal(pid, 'SIGTERM');
  const deadline = Date.now() + stopLimitMs;
  while ((await pidOn(port)) === pid && Date.now() < deadline) await sleep(50);
  if ((await pidOn(port)) === pid) signal(pid, 'SIGKILL');
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The process id of the demo application that listens there; undefined when none does. */
async function pidOn(port: number): Promise<number | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/api/version`, {
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(2000),
    });
    return ((await response.json()) as { pid?: number }).pid;
  } catch {
    return undefined;
  }
}

function pidFile(stateDir: string): string {
  return path.join(stateDir, 'app.json');
}

function readApp(stateDir: string): RunningApp | undefined {
  const file = pidFile(stateDir);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as RunningApp) : undefined;
}

// The proxy reads at any moment: it must never see half a file.
function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { version: { type: 'string' }, state: { type: 'string' }, fail: { type: 'boolean' } },
  });
  const { version, state, fail } = values;
  if ((version !== 'old' && version !== 'new') || !state) {
    throw new Error('Usage: node dist/demo/deploy.js --version old|new --state DIR [--fail]');
  }
  if (fail)
    throw new Error(`Deploying the ${version} version failed, as --fail asked. Leave --fail out to deploy.`);
  if (!process.env.DATABASE_URL)
    throw new Error('DATABASE_URL is not set. Set it to the URL of the database to show.');
  const app = await deployDemoApp(state, version);
  console.log(`The ${version} version answers on http://127.0.0.1:${app.port}/`);
}

if (require.main === module) {
  main().catch((error: unknown) => {
    console.error(sentence(error));
    process.exitCode = 1;
  });
}
