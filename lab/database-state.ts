/** A database as a person would compare it before and after a run: rows, definition, and what a run may have left. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { findPostgres } from '../tools/postgres-tools';
import { query, until, withDatabase } from './stage';
import { checkTumikiMigration, hashDatabase } from './tumiki-checker';

export interface DatabaseState {
  /** Hash and row count of every table, state of every sequence. */
  rows: Record<string, string>;
  /** What `pg_dump --schema-only --create` says of the whole database: objects, owners, grants, database settings. */
  definition: string[];
}

/** Where a run migrated. */
export interface Place {
  urls: { production: string; backup: string };
  flagFile: string;
  pageUrl: string;
  /** application_name of a session that is the caller's own. */
  ignoring?: string;
}

export interface Verdict {
  rowsJudged: number;
  /** One sentence or phrase each; empty when all is well. */
  problems: string[];
}

/** Rows and definition of a database, all schemas included. */
export async function stateOf(url: string): Promise<DatabaseState> {
  const schemas = await query<{ name: string }>(
    url,
    `select nspname as name from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'`,
  );
  const rows = await contentOf(
    url,
    schemas.map(({ name }) => name),
  );
  return { rows, definition: await definitionOf(url) };
}

/** Hash and row count of every table, state of every sequence. */
export async function contentOf(url: string, schemas = ['public']): Promise<Record<string, string>> {
  return withDatabase(url, (client) => hashDatabase(client, schemas));
}

/** The lines of `pg_dump --schema-only`, without comments and the random word of newer versions. */
export async function definitionOf(url: string, options = ['--create']): Promise<string[]> {
  const { stdout } = await promisify(execFile)(
    path.join(await findPostgres(), 'pg_dump'),
    ['--schema-only', '--encoding=UTF8', ...options, url],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  return stdout
    .split('\n')
    .filter((line) => line.trim() && !line.startsWith('--') && !/^\\(un)?restrict /.test(line));
}

/** A migrated production against the backup that was kept, by rules that share nothing with the product, and what is left behind. */
export async function judgeMigrated(place: Place): Promise<Verdict> {
  const { rowsJudged, problems } = await withDatabase(place.urls.backup, (before) =>
    withDatabase(place.urls.production, (after) => checkTumikiMigration(before, after)),
  );
  if (rowsJudged === 0) problems.push('No row was judged.');
  return { rowsJudged, problems: [...problems, ...(await leftovers(place))] };
}

/** What a run left behind, one phrase each; empty when users can work as before. Sessions get a moment to end. */
export async function leftovers(place: Place): Promise<string[]> {
  const url = place.urls.production;
  let found: string[] = [];
  await until(async () => {
    found = (await sessionsAndLocks(url)).filter((what) => what !== `the session ${place.ignoring}`);
    return found.length === 0;
  }, 10_000);
  if (existsSync(place.flagFile)) found.push('the maintenance flag');
  const page = await fetch(place.pageUrl);
  if (page.status !== 200) found.push(`the page answers ${page.status}`);
  const rows = await query<{ what: string }>(
    url,
    `select 'the shadow database' as what from pg_database where datname = current_database() || '_shadow'
     union all select 'the database setting ' || unnest(setconfig) from pg_db_role_setting s
       join pg_database d on d.oid = s.setdatabase where d.datname = current_database()
     union all select 'the schema kirikae' from pg_namespace where nspname = 'kirikae'`,
  );
  found.push(...rows.map(({ what }) => what));
  await query(url, 'begin; create table public.proof_of_writing (); rollback').catch((error: unknown) =>
    found.push(`a plain session can't write: ${(error as Error).message}`),
  );
  return found;
}

async function sessionsAndLocks(url: string): Promise<string[]> {
  const rows = await query<{ what: string }>(
    url,
    `select 'the session ' || application_name as what from pg_stat_activity
       where datname = current_database() and (application_name like 'kirikae %' or application_name like 'pg\\_%')
     union all select 'an advisory lock' from pg_locks
       where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`,
  );
  return rows.map(({ what }) => what);
}
