/** `reset.mode: keep`: the old objects wait in schemas of their own, and are moved back in one transaction. */
import type { Client } from 'pg';
import { KirikaeError } from '../errors';
import { keptDdl } from '../ledger/tables';
import { all } from '../postgres/connect';
import { emptySchemas, schemaCatalogues } from '../postgres/managed-schemas';
import { identifier } from '../postgres/sql';

/** A managed schema and the one its old objects wait in. */
export interface KeptSchema {
  home: string;
  schema: string;
}

/** The schema in which the objects of the n-th managed schema wait, counted from 1. */
export function keptName(n: number): string {
  return `kirikae_old_${n}`;
}

/** Where old objects wait, in the order of the plan's schemas; empty when nothing was set aside (any more). */
export async function keptSchemas(client: Client): Promise<KeptSchema[]> {
  const [found] = await all<{ there: boolean }>(
    client,
    `select to_regclass('kirikae.kept') is not null as there`,
  );
  if (!found?.there) return [];
  return all<KeptSchema>(client, 'select home, schema from kirikae.kept order by position');
}

/**
 * Moves everything in the schemas that isn't an extension's into schemas that only their owner may use, noted in the ledger.
 * Schemas, their grants and default privileges stay, as after dropping. Runs in the caller's transaction.
 * @throws KirikaeError naming what can't be moved
 */
export async function setAside(client: Client, schemas: readonly string[]): Promise<void> {
  await client.query(keptDdl);
  for (const [index, home] of schemas.entries()) {
    const schema = keptName(index + 1);
    await client.query(`create schema ${identifier(schema)}`);
    await moveObjects(client, home, schema);
    await client.query('insert into kirikae.kept (position, home, schema) values ($1, $2, $3)', [
      index + 1,
      home,
      schema,
    ]);
  }
}

/** Drops what stands in the managed schemas now and moves the old objects back. Runs in the caller's transaction. */
export async function moveBack(client: Client, schemas: readonly string[]): Promise<void> {
  await emptySchemas(client, schemas);
  for (const { home, schema } of await keptSchemas(client)) {
    await moveObjects(client, schema, home);
    await client.query(`drop schema ${identifier(schema)}`);
  }
  await client.query('delete from kirikae.kept');
}

/** Drops the old objects for good. Runs in the caller's transaction. @returns the schemas that went */
export async function dropKept(client: Client): Promise<string[]> {
  const kept = await keptSchemas(client);
  if (kept.length === 0) return [];
  const names = kept.map(({ schema }) => schema);
  await emptySchemas(client, names);
  for (const name of names) await client.query(`drop schema ${identifier(name)}`);
  await client.query('delete from kirikae.kept');
  return names;
}

// Objects of schema $1 that aren't an extension's, with what hangs on them: a range type's constructors and multirange have
// to be moved by name, arrays and row types go with their type or table, an owned sequence with its table.
const own = `
  with recursive extensions as (
    select classid, objid from pg_depend where deptype = 'e'
    union select d.classid, d.objid from pg_depend d join extensions e on d.refclassid = e.classid and d.refobjid = e.objid
      where d.deptype in ('a', 'i')
  ), objects as (
    select * from (${schemaCatalogues.replaceAll(':ns', `(select array_agg(oid) from pg_namespace where nspname = $1)::oid[]`)}) o
    where not exists (select from extensions e where e.classid = o.classid and e.objid = o.objid)
  )`;

// Names of types stand in those of routines and operators, so that these go first.
const moves = `${own}
  select format('alter %s %s set schema %I', case when o.classid = 'pg_proc'::regclass then 'routine'
      when i.type = 'statistics object' then 'statistics' else i.type end, i.identity, $2::text) as sql
  from objects o, pg_identify_object(o.classid, o.objid, 0) i
  where not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.classid = o.classid and d.objid = o.objid
      and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0 and d.deptype in ('a', 'i'))
    and not exists (select from pg_type t where o.classid = 'pg_type'::regclass and t.oid = o.objid and t.typtype <> 'm'
      and exists (select from pg_depend d where d.classid = o.classid and d.objid = o.objid and d.deptype = 'i'))
  order by o.classid not in ('pg_proc'::regclass, 'pg_operator'::regclass), o.rank, o.objid`;

async function moveObjects(client: Client, from: string, to: string): Promise<void> {
  const statements = await all<{ sql: string }>(client, moves, [from, to]);
  if (statements.length > 0) await client.query(statements.map(({ sql }) => sql).join(';\n'));
  const left = await all<{ name: string }>(
    client,
    `${own} select pg_describe_object(classid, objid, 0) as name from objects limit 5`,
    [from],
  );
  if (left.length === 0) return;
  throw new KirikaeError(
    'StepFailed',
    `These objects can't be moved from schema ${from} to ${to}: ${left.map(({ name }) => name).join(', ')}. Nothing was dropped. Set reset.mode to drop.`,
  );
}
