/** The objects of the managed schemas: listing them, and dropping all that isn't an extension's. */
import type { Client } from 'pg';
import { LEDGER_SCHEMA } from '../contract';
import { KirikaeError } from '../errors';
import { all, one } from './connect';
import { qualified, type TableName } from './sql';

/** Catalogues whose objects live in the schemas `:ns`; pg_identify_object names each as DROP and ALTER want it. */
export const schemaCatalogues = `
  select 'pg_class'::regclass::oid as classid, oid as objid, 1 as rank from pg_class
    where relnamespace = any(:ns) and relkind in ('r', 'p', 'v', 'm', 'S', 'f')
  union all select 'pg_proc'::regclass, oid, 2 from pg_proc where pronamespace = any(:ns)
  union all select 'pg_operator'::regclass, oid, 3 from pg_operator where oprnamespace = any(:ns)
  union all select 'pg_opclass'::regclass, oid, 4 from pg_opclass where opcnamespace = any(:ns)
  union all select 'pg_opfamily'::regclass, oid, 5 from pg_opfamily where opfnamespace = any(:ns)
  union all select 'pg_type'::regclass, t.oid, 6 from pg_type t where typnamespace = any(:ns)
    and (typrelid = 0 or exists (select from pg_class c where c.oid = typrelid and relkind = 'c'))
  union all select 'pg_collation'::regclass, oid, 7 from pg_collation where collnamespace = any(:ns)
  union all select 'pg_conversion'::regclass, oid, 7 from pg_conversion where connamespace = any(:ns)
  union all select 'pg_ts_config'::regclass, oid, 7 from pg_ts_config where cfgnamespace = any(:ns)
  union all select 'pg_ts_dict'::regclass, oid, 8 from pg_ts_dict where dictnamespace = any(:ns)
  union all select 'pg_ts_template'::regclass, oid, 9 from pg_ts_template where tmplnamespace = any(:ns)
  union all select 'pg_ts_parser'::regclass, oid, 9 from pg_ts_parser where prsnamespace = any(:ns)
  union all select 'pg_statistic_ext'::regclass, oid, 9 from pg_statistic_ext where stxnamespace = any(:ns)`;

/**
 * Objects of the schemas that a drop has to name: neither an extension's nor part of another object. (A partition key's column
 * hangs on its own table, which is no reason to leave that table out.)
 */
export async function listObjects(
  client: Client,
  schemas: readonly string[],
): Promise<{ type: string; identity: string }[]> {
  return all<{ type: string; identity: string }>(
    client,
    `with objects as (${schemaCatalogues.replaceAll(':ns', `(select array_agg(oid) from pg_namespace where nspname = any($1))::oid[]`)})
     select case i.type when 'statistics object' then 'statistics' else i.type end as type, i.identity from objects o, pg_identify_object(o.classid, o.objid, 0) i
     where not exists (select from pg_depend d where d.classid = o.classid and d.objid = o.objid and d.deptype in ('e', 'i')
       -- a partitioned table depends on its own key that way
       and not (d.refclassid = d.classid and d.refobjid = d.objid))
     order by o.rank, o.objid`,
    [schemas],
  );
}

/** Locks tables in the given order, for the caller's transaction. @throws an outage after the session's lock_timeout */
export async function lockTables(
  client: Client,
  tables: readonly TableName[],
  mode: 'share' | 'access exclusive',
): Promise<void> {
  for (const table of tables) await client.query(`lock table only ${qualified(table)} in ${mode} mode`);
}

/**
 * Drops everything in the schemas that isn't an extension's; schemas, their grants and default privileges stay.
 * Runs in the caller's transaction. @throws KirikaeError when something outside the schemas would go too
 */
export async function emptySchemas(client: Client, schemas: readonly string[]): Promise<void> {
  if (schemas.includes(LEDGER_SCHEMA))
    throw new KirikaeError('StepFailed', `The schema ${LEDGER_SCHEMA} is the ledger's and can't be managed.`);
  await client.query('set local client_min_messages = error');
  const before = await countOutside(client, schemas);
  for (const object of await listObjects(client, schemas)) {
    // An object that went with another by cascade is skipped by "if exists".
    await client.query(`drop ${object.type} if exists ${object.identity} cascade`);
  }
  const after = await countOutside(client, schemas);
  if (before !== after) {
    throw new KirikaeError(
      'StepFailed',
      `Dropping the schemas ${schemas.join(', ')} would also drop objects outside them that depend on them. Nothing was dropped. Run kirikae check, which names them.`,
    );
  }
}

async function countOutside(client: Client, schemas: readonly string[]): Promise<string> {
  const { count } = await one<{ count: string }>(
    client,
    `with inside as (select oid from pg_namespace where nspname = any($1) or nspname like 'pg_toast%' or nspname like 'pg_temp%')
     select concat_ws(' ', (select count(*) from pg_class where relnamespace not in (select oid from inside)),
       (select count(*) from pg_proc where pronamespace not in (select oid from inside)),
       (select count(*) from pg_type where typnamespace not in (select oid from inside)),
       (select count(*) from pg_constraint where connamespace not in (select oid from inside)),
       (select count(*) from pg_attrdef a join pg_class c on c.oid = a.adrelid where c.relnamespace not in (select oid from inside)),
       (select count(*) from pg_attribute a join pg_class c on c.oid = a.attrelid where not attisdropped and c.relnamespace not in (select oid from inside)),
       (select count(*) from pg_trigger g join pg_class c on c.oid = g.tgrelid where c.relnamespace not in (select oid from inside))) as count`,
    [schemas],
  );
  return count;
}
