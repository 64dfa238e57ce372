/** PostgreSQL clusters for tests and demo: made, started, killed, restarted and removed. Never for production. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from 'pg';
import { sentence } from '../src/errors';
import { endChild, endOfLog, hasEnded } from './child';
import { startGuard, type Guard } from './guard';
import { freePort } from './ports';
import { makeReachable, makeServerFolder, serverUser, type ServerUser } from './postgres-user';
import { findPostgres } from './postgres-tools';

const startTimeoutMs = 30_000;
const userName = 'postgres';

export interface PostgresOptions {
  /** Where the cluster lives; kept by `stop`, and an existing one is started again. Default: a temporary folder. */
  dir?: string;
  /** Server settings, e.g. `{ max_connections: 200 }`. */
  settings?: Record<string, string | number>;
}

export interface PostgresServer {
  host: '127.0.0.1';
  port: number;
  user: 'postgres';
  password: string;
  /** Folder of the client programs of the same version. */
  bin: string;
  /** The server's log file. */
  log: string;
  /** Connection URL of a database; holds the password. */
  url: (database: string) => string;
  /** Ends the server at once and for good; a temporary cluster is removed. */
  stop: () => Promise<void>;
  /** SIGKILL to the postmaster, as a crash would; the data stays. */
  kill: () => Promise<void>;
  /** Fast shutdown, as an administrator would; the data stays. */
  shutDown: () => Promise<void>;
  /** Immediate shutdown (`pg_ctl stop -m immediate`): the next start is a recovery; the data stays. */
  stopAtOnce: () => Promise<void>;
  /** Starts it again on the same port after one of these. */
  start: () => Promise<void>;
}

interface Cluster {
  bin: string;
  data: string;
  log: string;
  port: number;
  password: string;
  settings: Record<string, string | number>;
  runAs: ServerUser | undefined;
}

/**
 * Makes (if need be) and starts a cluster on a free port of 127.0.0.1. Ends with this process, however that ends.
 * @throws UsageError when PostgreSQL's programs are missing; Error with the end of the server's log when it doesn't start
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const bin = await findPostgres();
  const runAs = serverUser();
  const home = makeServerFolder(runAs);
  const dir = path.resolve(options.dir ?? home);
  const guard = startGuard('QUIT', home);
  try {
    mkdirSync(dir, { recursive: true });
    if (runAs) chownSync(dir, runAs.uid, runAs.gid);
    const cluster: Cluster = {
      bin: makeReachable({ bin, dir, home, runAs }),
      data: path.join(dir, 'data'),
      log: path.join(dir, 'server.log'),
      port: 0,
      password: readPassword(path.join(dir, 'password')),
      settings: { ...defaultSettings, ...options.settings },
      runAs,
    };
    if (!existsSync(path.join(cluster.data, 'PG_VERSION')))
      initializeCluster(cluster, path.join(dir, 'password'));
    return await serve(cluster, { bin, home, guard });
  } catch (error) {
    rmSync(home, { recursive: true, force: true });
    guard.dismiss();
    throw error;
  }
}

const defaultSettings = {
  max_connections: 100,
  fsync: 'off',
  log_min_messages: 'warning',
  // Only 127.0.0.1 is served: no socket in a folder that others share.
  unix_socket_directories: '',
};

// What a crash leaves behind for a moment. The port is the cluster's own, once it has one: who holds it is waited for.
const passes = /pre-existing shared memory|lock file .* already exists/;
const passesOnRestart = new RegExp(`${passes.source}|could not create any TCP/IP sockets`);

async function serve(
  cluster: Cluster,
  place: { bin: string; home: string; guard: Guard },
): Promise<PostgresServer> {
  let child: ChildProcess | undefined;
  const start = async () => {
    if (child) return;
    child = await launch(cluster, place.guard, passesOnRestart);
  };
  const end = async (signal: NodeJS.Signals) => {
    if (child) await endChild(child, signal);
    child = undefined;
  };
  // Between finding a port and listening on it, somebody else may take it.
  for (let attempt = 1; !child; attempt++) {
    cluster.port = await freePort();
    try {
      child = await launch(cluster, place.guard, passes);
    } catch (error) {
      if (attempt === 3 || !/could not create any TCP\/IP sockets/.test(sentence(error))) throw error;
    }
  }
  return {
    host: '127.0.0.1',
    port: cluster.port,
    user: userName,
    password: cluster.password,
    bin: place.bin,
    log: cluster.log,
    url: (database) => urlOf(cluster, database),
    start,
    kill: () => end('SIGKILL'),
    shutDown: () => end('SIGINT'),
    stopAtOnce: () => end('SIGQUIT'),
    stop: async () => {
      await end('SIGQUIT');
      rmSync(place.home, { recursive: true, force: true });
      place.guard.dismiss();
    },
  };
}

// After a crash the old backends need a moment to notice, and the server refuses to start until they have gone: what
// `passing` matches is waited for.
async function launch(cluster: Cluster, guard: Guard, passing: RegExp): Promise<ChildProcess> {
  const deadlineMs = Date.now() + startTimeoutMs;
  for (;;) {
    const child = spawnServer(cluster);
    if (child.pid !== undefined) guard.watch(child.pid);
    const problem = await waitUntilReady(cluster, child, deadlineMs);
    if (problem === undefined) return child;
    await endChild(child, 'SIGQUIT');
    if (!passing.test(problem) || Date.now() > deadlineMs)
      throw new Error(`PostgreSQL did not start. Its log ends: ${problem}`);
    await wait(200);
  }
}

function spawnServer(cluster: Cluster): ChildProcess {
  const settings = Object.entries(cluster.settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const args = [
    '-D',
    cluster.data,
    '-p',
    String(cluster.port),
    '-c',
    'listen_addresses=127.0.0.1',
    ...settings,
  ];
  const log = openSync(cluster.log, 'w');
  try {
    // A process group of its own, so that Ctrl-C in a terminal doesn't end the server before its user.
    const child = spawn(path.join(cluster.bin, 'postgres'), args, {
      ...cluster.runAs,
      cwd: cluster.data,
      env: serverEnvironment(cluster.data),
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

/** Undefined once the server answers, else what its log says. */
async function waitUntilReady(
  cluster: Cluster,
  child: ChildProcess,
  deadlineMs: number,
): Promise<string | undefined> {
  while (Date.now() < deadlineMs) {
    if (hasEnded(child)) return endOfLog(cluster.log);
    const client = new Client({
      connectionString: urlOf(cluster, 'postgres'),
      connectionTimeoutMillis: 2_000,
    });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.end();
      return undefined;
    } catch {
      await wait(50);
    }
  }
  return `no answer within ${startTimeoutMs / 1_000} s. ${endOfLog(cluster.log)}`;
}

function initializeCluster(cluster: Cluster, passwordFile: string): void {
  writeFileSync(passwordFile, cluster.password, { mode: 0o600 });
  if (cluster.runAs) chownSync(passwordFile, cluster.runAs.uid, cluster.runAs.gid);
  const args = [
    '-D',
    cluster.data,
    '-U',
    userName,
    '--auth=scram-sha-256',
    `--pwfile=${passwordFile}`,
    '--encoding=UTF8',
    '--no-sync',
  ];
  const problems: string[] = [];
  for (const locale of ['C.UTF-8', 'C']) {
    rmSync(cluster.data, { recursive: true, force: true });
    const result = spawnSync(path.join(cluster.bin, 'initdb'), [...args, `--locale=${locale}`], {
      ...cluster.runAs,
      cwd: path.dirname(cluster.data),
      env: serverEnvironment(path.dirname(cluster.data)),
      encoding: 'utf8',
    });
    if (result.status === 0) return;
    problems.push(result.error ? sentence(result.error) : result.stderr.trim());
  }
  throw new Error(`initdb could not make a cluster in ${cluster.data}: ${problems.at(-1)}`);
}

// Nothing of the caller's environment (PGDATA, PGPORT, LC_*) may change what the server does.
function serverEnvironment(home: string): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, HOME: home, LC_ALL: 'C', TZ: 'UTC' };
}

function readPassword(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : randomBytes(12).toString('hex');
}

function urlOf(cluster: Cluster, database: string): string {
  return `postgres://${userName}:${cluster.password}@127.0.0.1:${cluster.port}/${encodeURIComponent(database)}`;
}
