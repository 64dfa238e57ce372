/** `reset.mode: keep`: the old objects wait in schemas of their own, and are moved back in one transaction. */
import type { Client } from 'pg';
import { noteWitnesses } from '../backup/witness';
import { readStoredTables } from '../engine/tables';
import { KirikaeError } from '../errors';
import { keptDdl } from '../ledger/tables';
import { emptyAndUndo } from '../new-schema/undo-outside';
import { all, hasRelation, inTransaction, one } from '../postgres/connect';
import type { MayWrite, Note } from '../postgres/endpoint';
import { emptySchemas, lockTables, schemaCatalogues } from '../postgres/managed-schemas';
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
  if (!(await hasRelation(client, 'kirikae.kept'))) return [];
  return all<KeptSchema>(client, 'select home, schema from kirikae.kept order by position');
}

/**
 * Moves everything in the schemas that isn't an extension's into schemas that only their owner may use, noted in the ledger with
 * witnesses of what it is then: to be called when rows have been compared under lock. Schemas, their grants and default privileges stay, as after dropping. Runs in the caller's transaction.
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
  // When all are moved: moving the objects of one schema rewrites entries of another that leans on it.
  for (const { schema } of await keptSchemas(client)) {
    const definition = await definitionWitness(client, schema);
    await client.query('update kirikae.kept set definition = $2 where schema = $1', [schema, definition]);
  }
  await noteWitnesses(
    client,
    'kirikae.kept_table',
    schemas.map((_, index) => keptName(index + 1)),
  );
}

// Catalogues whose entries belong to a relation, type or schema; a column for each that says to which.
const entries = [
  ...[
    'pg_attribute.attrelid',
    'pg_attrdef.adrelid',
    'pg_trigger.tgrelid',
    'pg_rewrite.ev_class',
    'pg_policy.polrelid',
  ],
  ...['pg_index.indrelid', 'pg_inherits.inhrelid', 'pg_partitioned_table.partrelid', 'pg_sequence.seqrelid'],
  ...[
    'pg_statistic_ext.stxrelid',
    'pg_publication_rel.prrelid',
    'pg_foreign_table.ftrelid',
    'pg_constraint.conrelid',
  ],
  ...['pg_class.oid', 'pg_enum.enumtypid', 'pg_range.rngtypid', 'pg_type.oid', 'pg_constraint.contypid'],
  ...['pg_proc.oid', 'pg_aggregate.aggfnoid', 'pg_operator.oid', 'pg_opclass.oid', 'pg_opfamily.oid'],
  ...[
    'pg_collation.oid',
    'pg_conversion.oid',
    'pg_ts_config.oid',
    'pg_ts_config_map.mapcfg',
    'pg_ts_dict.oid',
  ],
  ...['pg_description.objoid', 'pg_seclabel.objoid', 'pg_namespace.oid'],
].map((entry) => entry.split('.') as [string, string]);

/**
 * A text that stays the same as long as nobody changes an entry of the catalogues about a schema's objects: of each entry which
 * transaction wrote it. (A dump would not do: another session doesn't see what isn't committed yet.)
 */
export async function definitionWitness(client: Client, schema: string): Promise<string> {
  const union = entries.map(
    ([catalogue, owner]) =>
      `select '${catalogue}' as catalogue, c.${owner}::oid as owner, c.xmin::text as xmin
       from pg_catalog.${catalogue} c where c.${owner}::oid in (select oid from objects)`,
  );
  const { witness } = await one<{ witness: string }>(
    client,
    `with namespace as (select oid from pg_namespace where nspname = $1),
     objects as (
       select oid from namespace
       union all select oid from pg_class where relnamespace in (select oid from namespace)
       union all select oid from pg_type where typnamespace in (select oid from namespace)
       union all select oid from pg_proc where pronamespace in (select oid from namespace)
       union all select oid from pg_operator where oprnamespace in (select oid from namespace)
       union all select oid from pg_opclass where opcnamespace in (select oid from namespace)
       union all select oid from pg_opfamily where opfnamespace in (select oid from namespace)
       union all select oid from pg_collation where collnamespace in (select oid from namespace)
       union all select oid from pg_conversion where connamespace in (select oid from namespace)
       union all select oid from pg_ts_config where cfgnamespace in (select oid from namespace)
       union all select oid from pg_ts_dict where dictnamespace in (select oid from namespace))
     select md5(coalesce(string_agg(concat_ws(' ', catalogue, owner, xmin), ',' order by catalogue, owner, xmin), '')) as witness
     from (${union.join(' union all ')}) entries`,
    [schema],
  );
  return witness;
}

/**
 * Brings the old objects home in one short transaction, whatever their size.
 * @param hooks.mayEmpty called when what stands now can't be read or written, and what was kept can't be written
 * @param hooks.note writes what the ledger is to know of it, in that transaction
 * @throws an outage when somebody doesn't let go of the new objects within 20 s, and what the hooks throw
 */
export async function moveHome(
  client: Client,
  schemas: readonly string[],
  { mayEmpty, note, mayWrite }: { mayEmpty: () => Promise<void>; note: Note; mayWrite: MayWrite },
): Promise<void> {
  await inTransaction(client, async () => {
    await client.query(`set local lock_timeout = '20s'`);
    await lockTables(client, await readStoredTables(client, schemas), 'access exclusive');
    const kept = (await keptSchemas(client)).map(({ schema }) => schema);
    await lockTables(client, await readStoredTables(client, kept), 'share');
    await mayEmpty();
    await moveBack(client, schemas);
    await note(client);
    await mayWrite(client);
  });
}

/** Drops what stands in the managed schemas now and moves the old objects back. Runs in the caller's transaction. */
export async function moveBack(client: Client, schemas: readonly string[]): Promise<void> {
  const kept = await keptSchemas(client);
  if (kept.length === 0)
    throw new KirikaeError(
      'StepFailed',
      'Nothing was kept that could be moved back, so nothing was dropped.',
    );
  await emptyAndUndo(client, schemas);
  for (const { home, schema } of kept) {
    await moveObjects(client, schema, home);
    await client.query(`drop schema ${identifier(schema)}`);
  }
  await client.query(
    'delete from kirikae.kept; delete from kirikae.kept_table; delete from kirikae.kept_manifest',
  );
}

/** Drops the old objects for good. Runs in the caller's transaction. @returns the schemas that went */
export async function dropKept(client: Client): Promise<string[]> {
  const kept = await keptSchemas(client);
  if (kept.length === 0) return [];
  const names = kept.map(({ schema }) => schema);
  await emptySchemas(client, names);
  for (const name of names) await client.query(`drop schema ${identifier(name)}`);
  await client.query(
    'delete from kirikae.kept; delete from kirikae.kept_table; delete from kirikae.kept_manifest',
  );
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
