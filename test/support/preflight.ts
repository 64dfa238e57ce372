/** Preflight as a test sees it: its findings, and the proof that it changed nothing and left nothing behind. */
import { preflight } from '../../src/preflight/preflight';
import type { PreflightResult } from '../../src/preflight/result';
import { findPlan, readSettings } from '../../src/settings/read';
import { definitionOf } from '../../lab/database-state';
import { query, withDatabase } from '../../lab/stage';
import { testPostgres } from './environment';
import type { Migration } from './migration';

type Role = keyof Migration['urls'];

/** Gives a plan's variable another URL. */
export function pointTo(migration: Migration, role: Role, url: string): void {
  const index = (['production', 'backup', 'shadow'] as const).indexOf(role);
  const name = Object.keys(migration.env)[index];
  if (name === undefined) throw new Error(`The plan has no variable for ${role}.`);
  process.env[name] = url;
}

/** Runs preflight and compares production, the server's databases and its sessions with what they were before. */
export async function checkHarmlessly(migration: Migration): Promise<PreflightResult> {
  const before = await look(migration);
  const result = await preflight(findPlan(readSettings(migration.settingsFile), 'tumiki'));
  const after = await look(migration);
  expect(after).toEqual(before);
  return result;
}

/** The same, for what must be refused. @returns the findings as one text, a line each */
export async function refusalOf(migration: Migration): Promise<string> {
  const { findings } = await checkHarmlessly(migration);
  return findings.join('\n');
}

/** Production's definition and row counts, the databases that belong to the test, and the sessions left open. */
async function look({ production }: Migration) {
  const rows = await withDatabase(production.url, async (client) => {
    const { rows: tables } = await client.query<{ name: string }>(
      `select oid::regclass::text as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by 1`,
    );
    const counts: Record<string, string> = {};
    for (const { name } of tables) {
      const { rows: counted } = await client.query<{ n: string }>(`select count(*) as n from ${name}`);
      counts[name] = counted[0]?.n ?? '';
    }
    return counts;
  });
  return { rows, definition: await definitionOf(production.url), ...(await lookAtServer(production.name)) };
}

async function lookAtServer(name: string) {
  const ask = async (sql: string, value: string) =>
    (await query<{ name: string }>(testPostgres().url('postgres'), sql, [value])).map((row) => row.name);
  return {
    databases: await ask(
      'select datname as name from pg_database where starts_with(datname, $1) order by 1',
      name,
    ),
    sessions: await ask(
      `select application_name as name from pg_stat_activity where datname like $1 and application_name like 'kirikae%'`,
      `${name}%`,
    ),
    settings: await ask(
      `select unnest(setconfig) as name from pg_db_role_setting where setdatabase = (select oid from pg_database where datname = $1)`,
      name,
    ),
  };
}
