/** The judgement of a run that has ended: every row once, or everything as it was, and nothing of the run left. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { checkTumikiMigration, hashDatabase } from '../tumiki-checker';
import type { Stage } from './stage';

export interface Verdict {
  rowsJudged: number;
  problems: string[];
}

/** A database as a person would compare it: hash and count of every table, every sequence, pg_dump's definition. */
export interface Portrait {
  rows: Record<string, string>;
  definition: string;
}

export async function portray(stage: Stage): Promise<Portrait> {
  const rows = await withDatabase(stage.urls.production, (client) => hashDatabase(client));
  const { stdout } = await promisify(execFile)(
    path.join(stage.postgres.bin, 'pg_dump'),
    ['--schema-only', '--create', stage.urls.production],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  const definition = stdout
    .split('\n')
    .filter((line) => !line.startsWith('--') && !/^\\(un)?restrict /.test(line))
    .join('\n');
  return { rows, definition };
}

/** A migrated production against the backup it came from, by rules that share nothing with the product. */
export async function judgeMigrated(stage: Stage): Promise<Verdict> {
  const verdict = await withDatabase(stage.urls.backup, (before) =>
    withDatabase(stage.urls.production, (after) => checkTumikiMigration(before, after)),
  );
  if (verdict.rowsJudged === 0) verdict.problems.push('No row was judged.');
  return { ...verdict, problems: [...verdict.problems, ...(await leftBehind(stage))] };
}

/** A restored production against what it was before. */
export async function judgeRestored(stage: Stage, before: Portrait): Promise<Verdict> {
  const after = await portray(stage);
  const names = new Set([...Object.keys(before.rows), ...Object.keys(after.rows)]);
  const problems = [...names]
    .filter((name) => before.rows[name] !== after.rows[name])
    .map((name) => `${name} was ${before.rows[name] ?? 'not there'} and is ${after.rows[name] ?? 'gone'}.`);
  if (before.definition !== after.definition) problems.push('The definition of the database has changed.');
  // A table's portrait begins with its row count; a sequence's has two words.
  const rowsJudged = Object.values(after.rows)
    .map((content) => content.split(' '))
    .reduce((sum, words) => sum + (words.length === 3 || words.length === 1 ? Number(words[0]) : 0), 0);
  return { rowsJudged, problems: [...problems, ...(await leftBehind(stage))] };
}

// Sessions get a moment to end.
async function leftBehind(stage: Stage): Promise<string[]> {
  const look = () =>
    withDatabase(stage.urls.production, async (client) => {
      const { rows } = await client.query<{ left: string }>(
        `select 'The schema kirikae' as left from pg_namespace where nspname = 'kirikae'
         union all select 'The setting ' || array_to_string(setconfig, ',') from pg_db_role_setting
         union all select 'The session ' || application_name from pg_stat_activity where application_name like 'kirikae %'
         union all select 'The database ' || datname from pg_database where datname = 'soak_shadow'`,
      );
      return rows.map((row) => `${row.left} is left behind.`);
    });
  const deadline = Date.now() + 10_000;
  let left = await look();
  while (left.length > 0 && Date.now() < deadline) {
    await wait(200);
    left = await look();
  }
  if (existsSync(stage.flagFile)) left.push('The maintenance page is left on.');
  return left;
}

async function withDatabase<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
