/** A Tumiki plan whose copies stop at a gate: one table, before and after. */
import { query, schemaWith } from '../../lab/stage';
import { onServer, type TestDatabase } from './environment';
import { gateOfBackupSql, gateSql } from './gate';
import { changePlan, layOutMigration, type Migration, type PlanChange } from './migration';
import { makeTumikiTemplate } from './tumiki-template';

const gatedTable = 'Vote';

/** A filled template whose table has the gate. */
export async function makeGatedTemplate(users: number): Promise<TestDatabase> {
  const template = await makeTumikiTemplate(users);
  await query(template.url, gateSql(gatedTable));
  return template;
}

/** A plan around a copy of the template; the new schema has the gate too, and the backup's database is there already. */
export async function layOutGated(template: string, change?: PlanChange): Promise<Migration> {
  const migration = await layOutMigration(template, change);
  const dir = schemaWith(migration, gateSql(gatedTable));
  changePlan(migration, (plan) => (plan.schema = { kind: 'sql', dir }));
  await onServer(`create database "${migration.production.name}_backup" template template0`);
  await query(migration.urls.backup, gateOfBackupSql(gatedTable));
  return migration;
}
