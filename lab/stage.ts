/** One stage for demo, bench, soak and tests: sessions and Tumiki databases, plans and their page, workers. Servers are in tools/. */
import { spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Client, type ClientBase } from 'pg';
import { stringify } from 'yaml';
import { generateTumiki } from '../examples/tumiki/generate';
import { clientConfig } from '../src/postgres/url';
import { sqlFiles } from '../src/settings/read';
import { endChild, hasEnded } from '../tools/child';
import { packageRoot } from '../tools/provide';

/** The example that everything is tried on. */
export const tumikiFolder = path.join(packageRoot, 'examples', 'tumiki');

export type TumikiSide = 'before' | 'after';

export type Built<T> = T & {
  /** Ends and removes all that was built, what came last first; harmless when repeated. */
  tearDown: () => Promise<void>;
};

/** Builds something piece by piece. What `later` is given is done by `tearDown`, or at once when the building fails. */
export async function build<T extends object>(
  pieces: (later: (undo: () => unknown) => void) => Promise<T>,
): Promise<Built<T>> {
  const undo: (() => unknown)[] = [];
  const tearDown = async () => {
    for (let act = undo.pop(); act; act = undo.pop()) await act();
  };
  try {
    return { ...(await pieces((act) => undo.push(act))), tearDown };
  } catch (error) {
    await tearDown();
    throw error;
  }
}

/** Waits for a condition, looked at ten times a second. @returns false when it isn't so within that time */
export async function until(
  condition: () => boolean | Promise<boolean>,
  withinMs = Infinity,
): Promise<boolean> {
  const deadline = Date.now() + withinMs;
  while (!(await condition())) {
    if (Date.now() > deadline) return false;
    await wait(100);
  }
  return true;
}

/** Runs `work` on a plain session, as another program would. */
export async function withDatabase<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(clientConfig(url));
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Runs one statement on a plain session. @returns its rows */
export async function query<Row extends object = Record<string, unknown>>(
  url: string,
  sql: string,
  values?: unknown[],
): Promise<Row[]> {
  return withDatabase(url, async (client) => (await client.query<Row>(sql, values)).rows);
}

/** Builds Tumiki's schema of one side in an empty database. */
export async function createTumikiSchema(client: ClientBase, side: TumikiSide): Promise<void> {
  for (const file of sqlFiles(path.join(tumikiFolder, 'schema', side)))
    await client.query(readFileSync(file, 'utf8'));
}

/** Gives an empty database Tumiki's old schema and made-up rows of so many users. @returns its rows */
export async function fillTumiki(url: string, users: number): Promise<number> {
  return withDatabase(url, async (client) => {
    await createTumikiSchema(client, 'before');
    await generateTumiki(client, { users });
    await client.query('analyze');
    const { rows } = await client.query<{ rows: string }>(
      'select sum(n_live_tup) as rows from pg_stat_user_tables',
    );
    return Number(rows[0]?.rows ?? 0);
  });
}

/** Copies Tumiki's new schema into a plan's folder and adds one more SQL file. @returns the copy, for `schema.dir` */
export function schemaWith({ folder }: { folder: string }, sql: string): string {
  const copy = path.join(folder, 'after');
  cpSync(path.join(tumikiFolder, 'schema', 'after'), copy, { recursive: true });
  writeFileSync(path.join(copy, '999_more.sql'), sql);
  return copy;
}

/**
 * A check of the new schema that rows of every made-up database break, and of which nobody knows before they are there: it reads
 * another table.
 */
export const brokenByRows = `
  create function no_users() returns boolean language sql stable as 'select not exists (select from public."User")';
  alter table "McpServerRequestLog" add constraint fails_on_purpose check (no_users());\n`;

export interface PlanPlace {
  flagFile: string;
  /** Base URL of the page, with the slash at its end. */
  pageUrl: string;
  /** How long the page and the application may take to answer; default the product's. */
  within?: string;
  /** What the URLs are in, by role; default DATABASE_URL, BACKUP_DATABASE_URL and SHADOW_DATABASE_URL. */
  variables?: { production: string; backup: string; shadow: string };
}

/** A plan as in a settings file, that migrates a Tumiki database; the caller changes what is its own. */
export function tumikiPlan({ flagFile, pageUrl, within, variables }: PlanPlace): Record<string, unknown> {
  return {
    databases: {
      production: { urlEnv: variables?.production ?? 'DATABASE_URL' },
      backup: { urlEnv: variables?.backup ?? 'BACKUP_DATABASE_URL', create: true },
      shadow: { urlEnv: variables?.shadow ?? 'SHADOW_DATABASE_URL', create: true },
    },
    maintenance: { kind: 'nginx', flagFile, probe: { url: pageUrl, within } },
    schema: { kind: 'sql', dir: path.join(tumikiFolder, 'schema', 'after') },
    mapping: path.join(tumikiFolder, 'mapping.yaml'),
    smoke: [healthCheck(`${pageUrl}health`, within)],
    monitor: { for: '1s', every: '1s' },
    retireBackup: { after: 'never' },
  };
}

/** A smoke check of the application. */
export function healthCheck(url: string, within?: string): object {
  return { name: 'API answers', kind: 'http', url, within };
}

/** Writes a settings file into a folder. @returns its path */
export function writeSettings(folder: string, plans: Record<string, object>): string {
  const file = path.join(folder, 'kirikae.yaml');
  writeFileSync(file, stringify({ plans }));
  return file;
}

/** URLs of a plan's three databases, and the variables that hand them to a worker. */
export function planUrls(url: (database: string) => string, production: string) {
  const urls = {
    production: url(production),
    backup: url(`${production}_backup`),
    shadow: url(`${production}_shadow`),
  };
  const env = {
    DATABASE_URL: urls.production,
    BACKUP_DATABASE_URL: urls.backup,
    SHADOW_DATABASE_URL: urls.shadow,
  };
  return { urls, env };
}

export interface Page {
  /** With the slash at its end. */
  url: string;
  /** Status that `/health` answers with, page or no page. */
  health: { status: number };
  /** Statuses that every other path answers with while the flag is there, and while it isn't. */
  shown: { on: number; off: number };
  stop: () => Promise<void>;
}

/** Serves a page on a port, or a free one: 503 while the flag file exists, else 200. */
export async function startPage(flagFile: string, port = 0): Promise<Page> {
  const health = { status: 200 };
  const shown = { on: 503, off: 200 };
  const server = createServer((request, response) => {
    const on = existsSync(flagFile);
    response.statusCode = request.url === '/health' ? health.status : on ? shown.on : shown.off;
    response.end(on ? 'maintenance' : 'hello');
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    health,
    shown,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export interface WorkerProcess {
  child: ChildProcess;
  /** Everything it has written: its log. */
  log: () => string;
  /** SIGTERM and its end. */
  stop: () => Promise<void>;
  /** SIGKILL, as by the kernel: nothing is tidied up. */
  kill: () => Promise<void>;
  /** SIGSTOP: connections stay open, heartbeats stop. */
  freeze: () => void;
  /** SIGCONT. */
  wake: () => void;
}

/** The built command line's worker for a settings file, started as people start it: its first line has the limits of memory. */
export function workerCommand(settingsFile: string): string[] {
  return [path.join(packageRoot, 'bin', 'kirikae.js'), 'worker', '--config', settingsFile];
}

/** Starts a worker that appends to a log file, and waits until it runs. It ends with this process. @throws when it ends instead */
export async function startWorker(
  [program = '', ...args]: readonly string[],
  env: NodeJS.ProcessEnv,
  logFile: string,
): Promise<WorkerProcess> {
  mkdirSync(path.dirname(logFile), { recursive: true });
  const output = openSync(logFile, 'a');
  const from = statSync(logFile).size;
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', output, output] });
  closeSync(output);
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.removeListener('exit', kill)).on('error', () => undefined);
  const log = () => readFileSync(logFile).subarray(from).toString();
  const end = async (signal: NodeJS.Signals) => {
    child.kill('SIGCONT');
    await endChild(child, signal);
  };
  await until(() => log().includes('"state":"RUNNING"') || hasEnded(child), 60_000);
  if (hasEnded(child) || !log().includes('"state":"RUNNING"')) {
    await end('SIGKILL');
    throw new Error(`The worker did not start; its log is ${logFile}.`);
  }
  return {
    child,
    log,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    freeze: () => void child.kill('SIGSTOP'),
    wake: () => void child.kill('SIGCONT'),
  };
}
