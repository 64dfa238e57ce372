/** Databases as a whole: making one like another, emptying managed schemas, telling whose a scratch database is. */
import type { Client } from 'pg';
import { KirikaeError, sentence } from './errors';
import { LEDGER_SCHEMA } from './ledger';
import { all, inTransaction, one, withClient } from './postgres/connect';
import { dumpSchema } from './postgres/dump';
import { identifier, literal } from './postgres/sql';
import { databaseOf, otherDatabase } from './postgres/url';

/** True when the URL's server has the database (asked through the database `postgres`). */
export async function databaseExists(url: string, label: string): Promise<boolean> {
  return withClient(otherDatabase(url, 'postgres'), label, async (client) => {
    const rows = await all(client, 'select 1 from pg_database where datname = $1', [databaseOf(url)]);
    return rows.length > 0;
  });
}

/** Creates the URL's database with the encoding and locale of `like`; false when it was there. */
export async function createDatabase(url: string, like: Client, label: string): Promise<boolean> {
  if (await databaseExists(url, label)) return false;
  // What older versions don't have is null.
  const model = await one<
    Record<'encoding' | 'collate' | 'ctype', string> & Record<'provider' | 'locale' | 'rules', string | null>
  >(
    like,
    `select pg_encoding_to_char(encoding) as encoding, datcollate as collate, datctype as ctype, d->>'datlocprovider' as provider,
       coalesce(d->>'datlocale', d->>'daticulocale') as locale, d->>'daticurules' as rules
     from pg_database, to_jsonb(pg_database) d where datname = current_database()`,
  );
  const provider = model.provider === 'i' ? 'icu' : model.provider === 'b' ? 'builtin' : null;
  const locale =
    provider && model.locale
      ? ` locale_provider ${provider} ${provider}_locale ${literal(model.locale)}`
      : '';
  const rules = model.rules ? ` icu_rules ${literal(model.rules)}` : '';
  await withClient(otherDatabase(url, 'postgres'), label, (client) =>
    client.query(
      `create database ${identifier(databaseOf(url))} template template0 encoding ${literal(model.encoding)}
       lc_collate ${literal(model.collate)} lc_ctype ${literal(model.ctype)}${locale}${rules}`,
    ),
  );
  return true;
}

/** Drops the URL's database and ends its sessions; nothing when it isn't there. */
export async function dropDatabase(url: string, label: string): Promise<void> {
  await withClient(otherDatabase(url, 'postgres'), label, (client) =>
    client.query(`drop database if exists ${identifier(databaseOf(url))} with (force)`),
  );
}

/**
 * Gives a database the extensions and managed schemas of production, and, where roles exist, their grants and default
 * privileges. @returns sentences about grants that could not be given
 */
export async function prepareLike(
  target: Client,
  production: { client: Client; url: string },
  schemas: readonly string[],
  grants: boolean,
): Promise<string[]> {
  await target.query('set client_min_messages = warning');
  for (const schema of schemas) await target.query(`create schema if not exists ${identifier(schema)}`);
  const extensions = await all<{ name: string; schema: string; version: string }>(
    production.client,
    `select extname as name, nspname as schema, extversion as version
     from pg_extension e join pg_namespace n on n.oid = e.extnamespace order by e.oid`,
  );
  for (const { name, schema, version } of extensions) {
    const there = await all(target, 'select 1 from pg_extension where extname = $1', [name]);
    if (there.length > 0) continue;
    await target.query(`create schema if not exists ${identifier(schema)}`);
    await target.query(
      `create extension ${identifier(name)} schema ${identifier(schema)} version ${literal(version)} cascade`,
    );
  }
  if (!grants) return [];
  const dump = await dumpSchema(production.url, schemas, { owners: true });
  const wanted = dump.pre
    .concat(dump.post)
    .filter(
      (entry) =>
        entry.type === 'DEFAULT ACL' || (/^(ACL|COMMENT)$/.test(entry.type) && /^SCHEMA /.test(entry.name)),
    );
  const notes: string[] = [];
  for (const entry of wanted) {
    await target
      .query(entry.sql)
      .catch((error: unknown) =>
        notes.push(`Left out on the shadow database: ${entry.type} ${entry.name}: ${sentence(error)}.`),
      );
  }
  return notes;
}

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

/** What a scratch database (backup, shadow) holds: nothing, our marker, or something foreign. */
export async function describeScratch(
  client: Client,
): Promise<{ kind: 'empty' } | { kind: 'ours' } | { kind: 'foreign'; objects: string[] }> {
  const { marked } = await one<{ marked: boolean }>(
    client,
    `select to_regclass('kirikae.backup') is not null or to_regclass('kirikae.shadow') is not null as marked`,
  );
  if (marked) return { kind: 'ours' };
  const rows = await all<{ name: string }>(
    client,
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
       and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
     order by 1 limit 5`,
  );
  return rows.length === 0 ? { kind: 'empty' } : { kind: 'foreign', objects: rows.map((row) => row.name) };
}

/** Removes marker and managed objects from a scratch database that stays. */
export async function emptyScratch(client: Client, schemas: readonly string[]): Promise<void> {
  await inTransaction(client, async () => {
    await client.query('set local client_min_messages = warning');
    await client.query(`drop schema if exists ${LEDGER_SCHEMA} cascade`);
    await emptySchemas(client, schemas);
  });
}

/** Applies DDL entries as one query, hence in one transaction. */
export async function applyDdl(client: Client, sql: string, what: string): Promise<void> {
  try {
    await client.query(`set client_min_messages = warning;\n${sql}`);
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code && /^(08|57P|53)/.test(code)) throw error;
    throw new KirikaeError(
      'StepFailed',
      `The ${what} can't be applied to database ${client.database ?? ''}: ${sentence(error)}.`,
      {
        cause: error,
      },
    );
  } finally {
    // A dump's prelude leaves its own session settings behind.
    await client
      .query(
        `set client_min_messages = warning; set row_security = off; set check_function_bodies = on; set search_path = ''`,
      )
      .catch(() => undefined);
  }
}
