/** A Tumiki plan whose copies stop at a gate (one table, before and after), and the judgement of its end. */
import { cpSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { testPostgres, type TestDatabase } from './environment';
import { gateSql } from './gate';
import { layOutMigration, withDatabase, type Migration, type PlanChange } from './migration';
import { checkTumikiMigration, hashDatabase } from '../../lab/tumiki-checker';
import { tumikiFolder } from './tumiki-database';
import { makeTumikiTemplate } from './tumiki-template';

const gatedTable = 'Vote';

/** A filled template whose table has the gate. */
export async function makeGatedTemplate(users: number): Promise<TestDatabase> {
  const template = await makeTumikiTemplate(users);
  await withDatabase(template.url, (client) => client.query(gateSql(gatedTable)));
  return template;
}

/** A plan around a copy of the template; the new schema has the gate too, and the backup's database is there already. */
export async function layOutGated(template: string, change?: PlanChange): Promise<Migration> {
  const migration = await layOutMigration(template, change);
  const after = path.join(migration.folder, 'after');
  cpSync(path.join(tumikiFolder, 'schema', 'after'), after, { recursive: true });
  writeFileSync(path.join(after, '999_gate.sql'), gateSql(gatedTable));
  changePlan(migration, (plan) => (plan.schema = { kind: 'sql', dir: after }));
  await onServer(`create database "${migration.production.name}_backup" template template0`);
  return migration;
}

/** Changes the plan in a migration's settings file. */
export function changePlan(migration: Migration, change: PlanChange): void {
  const settings = parse(readFileSync(migration.settingsFile, 'utf8')) as {
    plans: { tumiki: Record<string, unknown> };
  };
  change(settings.plans.tumiki);
  writeFileSync(migration.settingsFile, stringify(settings));
}

/** Runs a statement in the database `postgres` of the cluster. */
export async function onServer(sql: string): Promise<void> {
  await withDatabase(testPostgres().url('postgres'), (client) => client.query(sql));
}

/** What is wrong with a migrated production, against the backup that was kept; empty when all is well. */
export async function problemsOf(migration: Migration): Promise<string[]> {
  return withDatabase(migration.urls.backup, (before) =>
    withDatabase(migration.urls.production, async (after) => {
      const { rowsJudged, problems } = await checkTumikiMigration(before, after);
      if (rowsJudged === 0) problems.push('No row was judged.');
      return [...problems, ...(await leftBehind(migration))];
    }),
  );
}

/** What of a run is left in production: the ledger, settings, sessions, locks, the shadow. */
export async function leftBehind({ urls, production }: Migration): Promise<string[]> {
  return withDatabase(urls.production, async (client) => {
    const { rows } = await client.query<{ left: string }>(
      `select 'schema kirikae' as left from pg_namespace where nspname = 'kirikae'
       union all select 'setting ' || array_to_string(setconfig, ',') from pg_db_role_setting s
         join pg_database d on d.oid = s.setdatabase where d.datname = current_database()
       union all select 'session ' || application_name from pg_stat_activity
         where datname = current_database() and application_name like 'kirikae %'
       union all select 'database ' || datname from pg_database where datname = $1`,
      [`${production.name}_shadow`],
    );
    return rows.map((row) => row.left);
  });
}

/** Content of a database as one value, for "identical to before". */
export async function contentOf(url: string): Promise<Record<string, string>> {
  return withDatabase(url, (client) => hashDatabase(client));
}
