/** Materialized views: which hold rows, and filling them after the tables. */
import type { Client } from 'pg';
import { failWith } from '../errors';
import { all } from './connect';
import { readOwnSettings, settingOwn } from './own-settings';
import { identifiers, qualified, readable, type TableName } from './sql';

/** The materialized views that hold rows, each after those it reads: directly or through other views. */
export async function filledViews(client: Client, schemas: readonly string[]): Promise<TableName[]> {
  return all<TableName>(
    client,
    `with recursive reads (view, used) as (
       select r.ev_class, d.refobjid from pg_rewrite r join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
       where d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class),
     reach (view, used) as (select view, used from reads
       union select reach.view, reads.used from reach join reads on reads.view = reach.used)
     select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any($1) and c.relkind = 'm' and c.relispopulated
     order by (select count(*) from reach where reach.view = c.oid), c.oid`,
    [schemas],
  );
}

/** Refreshes materialized views in the order given, in the caller's transaction, as production's applications would. */
export async function refreshViews(
  client: Client,
  schemas: readonly string[],
  views: readonly TableName[],
): Promise<void> {
  const own = settingOwn(await readOwnSettings(client), 'local');
  await client.query(`${own} set local search_path = ${identifiers(schemas)}`);
  for (const view of views)
    await client
      .query(`refresh materialized view ${qualified(view)}`)
      .catch((error: unknown) =>
        failWith(error, (why) => `The materialized view ${readable(view)} can't be filled: ${why}.`),
      );
}
