/** Production as a person would compare it before and after a run: rows, definitions, settings, and what a run may have left. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { testPostgres } from './environment';
import { until, withDatabase, type Migration } from './migration';
import { hashDatabase } from '../../lab/tumiki-checker';

export interface DatabaseState {
  /** Hash and row count of every table, state of every sequence. */
  rows: Record<string, string>;
  /** What `pg_dump --schema-only --create` says of the whole database: objects, owners, grants, database settings. */
  definition: string[];
}

/** Rows and definition of a database, all schemas included. */
export async function stateOf(url: string): Promise<DatabaseState> {
  const rows = await withDatabase(url, async (client) => {
    const schemas = await client.query<{ name: string }>(
      `select nspname as name from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'`,
    );
    return hashDatabase(
      client,
      schemas.rows.map((row) => row.name),
    );
  });
  return { rows, definition: await definitionOf(url) };
}

/** The lines of `pg_dump --schema-only --create`, without comments. */
export async function definitionOf(url: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)(
    path.join(testPostgres().bin, 'pg_dump'),
    ['--schema-only', '--create', url],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  return stdout
    .split('\n')
    .filter((line) => line.trim() && !line.startsWith('--') && !/^\\(un)?restrict /.test(line));
}

/** True while a database of that name exists. */
export async function hasDatabase(name: string): Promise<boolean> {
  return withDatabase(testPostgres().url('postgres'), async (client) => {
    const { rows } = await client.query('select 1 from pg_database where datname = $1', [name]);
    return rows.length > 0;
  });
}

/** What a run left behind, one sentence each; empty when users can work as before. Sessions get a moment to end. */
export async function leftovers(migration: Migration): Promise<string[]> {
  const { production } = migration;
  await waitFor(async () => (await sessionsAndLocks(production.url)).length === 0);
  const found = await sessionsAndLocks(production.url);
  if (existsSync(migration.flagFile)) found.push('the maintenance flag');
  const page = await fetch(migration.pageUrl);
  if (page.status !== 200) found.push(`the page answers ${page.status}`);
  if (await hasDatabase(`${production.name}_shadow`)) found.push('the shadow database');
  await withDatabase(production.url, async (client) => {
    const settings = await client.query<{ name: string }>(
      `select unnest(setconfig) as name from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase
       where d.datname = current_database()`,
    );
    for (const { name } of settings.rows) found.push(`the database setting ${name}`);
    const schemas = await client.query(`select 1 from pg_namespace where nspname = 'kirikae'`);
    if (schemas.rows.length > 0) found.push('the schema kirikae');
    await client
      .query('begin; create table public.proof_of_writing (); rollback')
      .catch((error: unknown) => found.push(`a plain session can't write: ${(error as Error).message}`));
  });
  return found;
}

async function sessionsAndLocks(url: string): Promise<string[]> {
  return withDatabase(url, async (client) => {
    const { rows } = await client.query<{ what: string }>(
      `select 'the session ' || application_name as what from pg_stat_activity
         where datname = current_database() and application_name like 'kirikae %'
       union all select 'an advisory lock' from pg_locks
         where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`,
    );
    return rows.map((row) => row.what);
  });
}

// Unlike `until`, gives up after ten seconds: what is still there then is reported.
async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  await until(async () => Date.now() > deadline || condition());
}
