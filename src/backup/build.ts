/** The backup made ready for the rows: its database's schema, and the plan of the parts. */
import type { Client } from 'pg';
import { planParts, type CopyJob, type PartPlan } from '../engine/parts';
import { readStoredTables, type StoredTable } from '../engine/tables';
import { noteStage, stageDone } from '../ledger/checkpoints';
import { all, inTransaction } from '../postgres/connect';
import { prepareLike } from '../postgres/databases';
import { applyDdl } from '../postgres/ddl';
import { dumpSchema, dumpSql, isOfSchema, type DumpEntry } from '../postgres/dump';
import type { Pair } from '../postgres/endpoint';
import { notOfExtension } from '../postgres/extensions';
import { identifiers, qualified } from '../postgres/sql';
import { majorVersion, sameMajor } from '../postgres/versions';
import { BACKUP_PHASE, markBackup, type BackupOwner } from './manifest';

/**
 * Builds the empty backup and plans its parts; goes on where an earlier attempt for the same claim stopped.
 * @throws KirikaeError when the database holds another claim's backup or foreign tables
 */
export async function beginBackup(
  { production, backup }: Pair,
  { schemas, owner }: { schemas: readonly string[]; owner: BackupOwner },
): Promise<PartPlan> {
  await markBackup(backup, owner, 'none');
  if (!(await stageDone(backup.client, BACKUP_PHASE, 'schema'))) {
    await prepareLike(backup.client, production.client, schemas);
    const plain = await dumpSchema(production.url, schemas, { owners: false });
    const version = Math.min(await majorVersion(production.client), await majorVersion(backup.client));
    await inTransaction(backup.client, async () => {
      // What is said of the schemas themselves serves no reading, and before PostgreSQL 15 public is the superuser's in every database.
      const pre = plain.pre.filter((entry) => !isOfSchema(entry));
      await applyDdl(backup.client, dumpSql(plain, pre, version), "production's schema");
      await dropChecks(backup.client, schemas);
      const post = dumpSql(plain, withoutComputed(plain.post.filter(servesReading)), version);
      await backup.client.query('update kirikae.backup set ddl_post_plain = $1', [post]);
      await noteStage(backup.client, BACKUP_PHASE, 'schema');
    });
  }
  const tables = await readStoredTables(production.client, schemas);
  return planParts(backup.client, BACKUP_PHASE, {
    jobs: tables.map(plainCopy),
    sameMajor: await sameMajor(production.client, backup.client),
  });
}

// What is stored counts, whatever a CHECK makes of it today: production has taken it once. Those of a parent go first, with what it gave its children.
async function dropChecks(backup: Client, schemas: readonly string[]): Promise<void> {
  const drops = await all<{ sql: string }>(
    backup,
    `with ns as (select oid from pg_namespace where nspname = any($1))
     select format('alter table %s drop constraint if exists %I', conrelid::regclass, conname) as sql from pg_constraint
       join pg_class c on c.oid = conrelid
       where contype = 'c' and conislocal and relnamespace in (select oid from ns) and ${notOfExtension('pg_class', 'c.oid')}
     union all select format('alter domain %s drop constraint if exists %I', contypid::regtype, conname) from pg_constraint
       join pg_type t on t.oid = contypid
       where contype = 'c' and typnamespace in (select oid from ns) and ${notOfExtension('pg_type', 't.oid')}`,
    [schemas],
  );
  for (const { sql } of drops) await backup.query(sql);
}

// The backup is only read. Its row security could hide rows from their reader, and policies name roles that its server may lack.
function servesReading({ type, name }: DumpEntry): boolean {
  const guards = /^(TRIGGER|RULE|POLICY|ROW SECURITY)\b/;
  return !guards.test(type) && !(type === 'COMMENT' && guards.test(name));
}

// Without the indexes of expressions or with a condition, which call functions, and without what is said about them.
function withoutComputed(entries: readonly DumpEntry[]): DumpEntry[] {
  const computes = ({ type, sql }: DumpEntry) =>
    type === 'INDEX' && /\bUSING "?\w+"? \(.*(\(|\) WHERE )/s.test(sql);
  const names = entries.filter(computes).map(({ schema, name }) => qualified({ schema, name }));
  return entries.filter((entry) => !computes(entry) && !names.some((name) => entry.sql.includes(name)));
}

/** A table copied as it is, into the table of the same name. */
export function plainCopy(table: StoredTable): CopyJob {
  const list = table.columns.map((column) => column.name);
  return {
    source: table,
    target: table,
    columns: table.columns,
    select: (range) =>
      `select ${identifiers(list)} from only ${qualified(table)} as source${range ? ` where ${range}` : ''}`,
  };
}
