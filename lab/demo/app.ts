/** The demo's application, in its old and its new version: healthy only over the schema it was written for. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { Pool } from 'pg';
import { sentence } from '../../src/errors';
import { applicationPage, failurePage, type DemoVersion } from './pages';

export interface DemoApp {
  port: number;
  stop(): Promise<void>;
}

interface Options {
  version: DemoVersion;
  /** A secret: never shown in an answer. */
  databaseUrl: string;
  /** 0 picks a free one. */
  port: number;
}

/** Starts the application on 127.0.0.1; it listens whether or not the database answers. @throws when the port is taken */
export async function startDemoApp({ version, databaseUrl, port }: Options): Promise<DemoApp> {
  const pool = new Pool({
    connectionString: databaseUrl,
    max: 3,
    connectionTimeoutMillis: 3000,
    query_timeout: 5000,
    application_name: `tumiki demo (${version})`,
  });
  // A migration ends the application's sessions; the pool opens new ones when they are needed.
  pool.on('error', () => undefined);
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://app');
    respond(pathname, response, version, pool).catch(() => response.destroy());
  });
  await listen(server, port);
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      await close(server);
      await pool.end();
    },
  };
}

async function respond(
  path: string,
  response: ServerResponse,
  version: DemoVersion,
  pool: Pool,
): Promise<void> {
  try {
    if (path === '/api/version') {
      sendJson(response, 200, { version, pid: process.pid });
    } else if (path === '/api/health') {
      const problem = await findProblem(version, pool);
      sendJson(
        response,
        problem ? 500 : 200,
        problem ? { healthy: false, problem } : { healthy: true, version },
      );
    } else if (path === '/') {
      send(response, 200, applicationPage({ version, ...(await countRows(version, pool)) }));
    } else {
      send(response, 404, failurePage(`There is no page ${path}.`));
    }
  } catch (error) {
    send(response, 500, failurePage(`The ${version} version can't read its database: ${sentence(error)}.`));
  }
}

/** Why this version can't work with the database, or null. */
async function findProblem(version: DemoVersion, pool: Pool): Promise<string | null> {
  try {
    if (version === 'old') {
      await pool.query(`select "hasCompletedOnboarding" from "User" limit 1`);
      return null;
    }
    const { rowCount } = await pool.query(`
      select u.id
        from "User" u left join "Organization" o on o.id = u."defaultOrganizationId" and o."isPersonal"
       where o.id is null limit 1`);
    return rowCount === 0 ? null : 'Some users have no personal organization. Migrate the rows first.';
  } catch (error) {
    return `The ${version} version can't work with this database: ${sentence(error)}.`;
  }
}

async function countRows(
  version: DemoVersion,
  pool: Pool,
): Promise<{ users: number; teams: number; personal: number | null }> {
  const teams = version === 'old' ? 'true' : 'not "isPersonal"';
  const { rows } = await pool.query<{ users: number; teams: number; all: number }>(`
    select (select count(*)::int from "User") as users,
           (select count(*)::int from "Organization" where ${teams}) as teams,
           (select count(*)::int from "Organization") as "all"`);
  const { users = 0, teams: teamCount = 0, all = 0 } = rows[0] ?? {};
  return { users, teams: teamCount, personal: version === 'old' ? null : all - teamCount };
}

function send(response: ServerResponse, status: number, html: string): void {
  response
    .writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' })
    .end(html);
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response
    .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(`${JSON.stringify(body)}\n`);
}

/** Listens on 127.0.0.1. @throws when the port is taken */
export function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
}

/** Stops listening and ends what is still open. */
export function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { version: { type: 'string' }, port: { type: 'string' } } });
  const { version, port = '0' } = values;
  const databaseUrl = process.env.DATABASE_URL;
  if ((version !== 'old' && version !== 'new') || !/^\d{1,5}$/.test(port)) {
    throw new Error('Usage: node dist/demo/app.js --version old|new --port PORT');
  }
  if (!databaseUrl) throw new Error('DATABASE_URL is not set. Set it to the URL of the database to show.');
  const app = await startDemoApp({ version, databaseUrl, port: Number(port) });
  console.log(`The ${version} version answers on http://127.0.0.1:${app.port}/`);
  const stop = () => {
    app.stop().catch(() => process.exit(1));
  };
  process.once('SIGTERM', stop).once('SIGINT', stop);
}

if (require.main === module) {
  main().catch((error: unknown) => {
    console.error(sentence(error));
    process.exitCode = 1;
  });
}
