/** What global-setup.ts started, as the suites use it; and a database of its own for each test. */
import { randomBytes } from 'node:crypto';
import { query } from '../../lab/stage';
import { codeOf } from '../../src/errors';
import { identifier } from '../../src/postgres/sql';

export interface TestPostgres {
  host: '127.0.0.1';
  port: number;
  user: 'postgres';
  password: string;
  /** Folder of the client programs of the server's version. */
  bin: string;
  url: (database: string) => string;
}

export interface TestDatabase {
  name: string;
  url: string;
  /** Removes it, open sessions included; harmless when repeated. */
  drop: () => Promise<void>;
}

/** The PostgreSQL cluster that all suites share. */
export function testPostgres(): TestPostgres {
  const port = Number(handed('KIRIKAE_TEST_POSTGRES_PORT'));
  const password = handed('KIRIKAE_TEST_POSTGRES_PASSWORD');
  return {
    host: '127.0.0.1',
    port,
    user: 'postgres',
    password,
    bin: handed('KIRIKAE_TEST_POSTGRES_BIN'),
    url: (database) => `postgres://postgres:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`,
  };
}

/** The Temporal development server that all suites share. */
export function testTemporal(): { address: string; namespace: 'default'; cli: string } {
  return {
    address: handed('KIRIKAE_TEST_TEMPORAL_ADDRESS'),
    namespace: 'default',
    cli: handed('KIRIKAE_TEST_TEMPORAL_CLI'),
  };
}

/** The workflows, bundled once for the whole run: for `workflowBundle: { codePath }`. */
export function workflowBundlePath(): string {
  return handed('KIRIKAE_TEST_WORKFLOW_BUNDLE');
}

/** The time-skipping server: for `server: { executable: { type: 'existing-path', path } }`. */
export function timeSkippingServerPath(): string {
  return handed('KIRIKAE_TEST_TIME_SKIPPING_SERVER');
}

/** Makes a database with a name nobody else has; a copy of `template` if that is given (nobody may be connected to it). */
export async function createDatabase(prefix: string, template?: string): Promise<TestDatabase> {
  const name = `${prefix}_${randomBytes(6).toString('hex')}`;
  const from = template === undefined ? '' : ` template ${identifier(template)}`;
  await onServer(`create database ${identifier(name)}${from}`);
  return {
    name,
    url: testPostgres().url(name),
    drop: () => onServer(`drop database if exists ${identifier(name)} with (force)`),
  };
}

/** Runs a statement in the cluster's database `postgres`. */
export async function onServer(sql: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await query(testPostgres().url('postgres'), sql);
      return;
    } catch (error) {
      // Another suite that is just copying the same template passes in a moment (55006 object_in_use).
      if (codeOf(error) !== '55006' || attempt === 5) throw error;
    }
  }
}

/** True while a database of that name exists. */
export async function hasDatabase(name: string): Promise<boolean> {
  const sql = 'select 1 from pg_database where datname = $1';
  return (await query(testPostgres().url('postgres'), sql, [name])).length > 0;
}

function handed(variable: string): string {
  const value = process.env[variable];
  if (value) return value;
  throw new Error(
    `${variable} is empty: it is set by test/support/global-setup.ts. Run the tests with npm test.`,
  );
}
