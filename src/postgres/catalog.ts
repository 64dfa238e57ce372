/** Tables, columns, keys, enums and sequences of the managed schemas, read from PostgreSQL's catalogues as plain data. */
import type { ClientBase } from 'pg';
import { readColumnTypes, type ColumnShape, type EnumUse } from './column-types';
import { notOfExtension } from './extensions';
import type { TableName } from './sql';

export type { EnumUse };

export interface Column extends ColumnShape {
  name: string;
  /** By the column, its domain or the primary key. */
  notNull: boolean;
  /** A default of the column, its domain, or an identity. */
  hasDefault: boolean;
  /** The default as SQL under an empty search_path; null for none and for an identity. */
  default: string | null;
  generated: boolean;
  identity: boolean;
}

/** `partition-leaf` holds the rows of the partitioned table above it; a `foreign-leaf` keeps them on another server. */
export type TableKind = 'table' | 'partitioned' | 'partition-leaf' | 'foreign-leaf';

export interface UniqueKey {
  name: string;
  columns: string[];
  nullsNotDistinct: boolean;
}

export interface Table extends TableName {
  oid: number;
  kind: TableKind;
  /** The table this one is a partition of. */
  parent: TableName | null;
  columns: Column[];
  primaryKey: string[] | null;
  /** Unique keys over plain columns and all rows, the primary key included. */
  uniqueKeys: UniqueKey[];
  pages: number;
  /** With TOAST, without indexes. */
  bytes: number;
}

export interface EnumType extends TableName {
  labels: string[];
}

export interface Sequence extends TableName {
  type: string;
  /** As text, since they may be larger than a number of JavaScript. */
  increment: string;
  min: string;
  max: string;
  cycles: boolean;
  ownedBy: { table: TableName; column: string } | null;
  /** Columns that take their values from it: owned, identity, or by a default. */
  fills: { table: TableName; column: string }[];
}

export interface Catalog {
  tables: Table[];
  enums: EnumType[];
  sequences: Sequence[];
}

/**
 * Reads what the schemas hold; objects of extensions, views and free-standing foreign tables are left out.
 * The session's search_path is emptied meanwhile, so that every type is written with its schema.
 */
export async function readCatalog(client: ClientBase, schemas: readonly string[]): Promise<Catalog> {
  const path = await client.query<{ path: string }>(
    `select pg_catalog.current_setting('search_path') as path, pg_catalog.set_config('search_path', '', false)`,
  );
  try {
    return {
      tables: await readTableDefinitions(client, schemas),
      enums: await readEnums(client, schemas),
      sequences: await readSequenceDefinitions(client, schemas),
    };
  } finally {
    // In a failed transaction this fails too; the first error is the one to report.
    await client
      .query(`select pg_catalog.set_config('search_path', $1, false)`, [path.rows[0]?.path])
      .catch(() => undefined);
  }
}

/** The leaves that hold a partitioned table's rows, or the table itself. */
export function storageOf(catalog: Catalog, table: Table): Table[] {
  if (table.kind !== 'partitioned') return [table];
  return catalog.tables
    .filter((child) => child.parent?.schema === table.schema && child.parent.name === table.name)
    .flatMap((child) => storageOf(catalog, child));
}

/** Column of that name, if the table has it. */
export function columnOf(table: Table, name: string): Column | undefined {
  return table.columns.find((column) => column.name === name);
}

interface ColumnRow {
  oid: number;
  name: string;
  typeOid: number;
  typmod: number;
  notNull: boolean;
  default: string | null;
  generated: boolean;
  identity: boolean;
}

async function readTableDefinitions(client: ClientBase, schemas: readonly string[]): Promise<Table[]> {
  const { rows: tables } = await client.query<Omit<Table, 'columns' | 'primaryKey' | 'uniqueKeys'>>(
    `select c.oid, n.nspname as schema, c.relname as name,
       case when c.relkind = 'p' then 'partitioned' when c.relkind = 'f' then 'foreign-leaf'
            when c.relispartition then 'partition-leaf' else 'table' end as kind,
       case when c.relispartition then json_build_object('schema', pn.nspname, 'name', p.relname) end as parent,
       s.pages::float8 as pages,
       (case when c.relkind = 'r' then pg_table_size(c.oid) else 0 end)::float8 as bytes
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     left join pg_inherits i on i.inhrelid = c.oid and c.relispartition
     left join pg_class p on p.oid = i.inhparent left join pg_namespace pn on pn.oid = p.relnamespace
     cross join lateral (select case when c.relkind = 'r'
       then pg_relation_size(c.oid) / current_setting('block_size')::int else 0 end as pages) s
     where n.nspname = any($1) and (c.relkind in ('r', 'p') or c.relkind = 'f' and c.relispartition)
       and ${notOfExtension('pg_class', 'c.oid')}
     order by n.nspname collate "C", c.relname collate "C"`,
    [schemas],
  );
  const oids = tables.map((table) => table.oid);
  const { rows: columns } = await client.query<ColumnRow>(
    `select a.attrelid as oid, a.attname as name, a.atttypid as "typeOid", a.atttypmod as typmod,
       a.attnotnull or exists (select from pg_index x
         where x.indrelid = a.attrelid and x.indisprimary and a.attnum = any (x.indkey)) as "notNull",
       case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end as default,
       a.attgenerated <> '' as generated, a.attidentity <> '' as identity
     from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where a.attrelid = any($1::oid[]) and a.attnum > 0 and not a.attisdropped
     order by a.attrelid, a.attnum`,
    [oids],
  );
  const shapeOf = await readColumnTypes(client, columns);
  const keys = await readKeys(client, oids);
  return tables.map((table) => ({
    ...table,
    columns: columns
      .filter((column) => column.oid === table.oid)
      .map(({ name, notNull, default: expression, generated, identity, typeOid, typmod }) => {
        const { domainNotNull, domainDefault, ...shape } = shapeOf({ typeOid, typmod });
        const ownDefault = expression ?? (identity ? null : domainDefault);
        return {
          name,
          ...shape,
          notNull: notNull || domainNotNull,
          hasDefault: ownDefault !== null || identity,
          default: ownDefault,
          generated,
          identity,
        };
      }),
    primaryKey: keys.find((key) => key.oid === table.oid && key.primary)?.columns ?? null,
    uniqueKeys: keys
      .filter((key) => key.oid === table.oid)
      .map(({ name, columns: names, nullsNotDistinct }) => ({ name, columns: names, nullsNotDistinct })),
  }));
}

type KeyRow = UniqueKey & { oid: number; primary: boolean };

async function readKeys(client: ClientBase, oids: readonly number[]): Promise<KeyRow[]> {
  // indnullsnotdistinct came with PostgreSQL 15.
  const { rows } = await client.query<KeyRow>(
    `select x.indrelid as oid, c.relname as name, x.indisprimary as primary,
       coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::boolean, false) as "nullsNotDistinct",
       array(select a.attname::text from unnest(x.indkey::int2[]) with ordinality k(attnum, position)
             join pg_attribute a on a.attrelid = x.indrelid and a.attnum = k.attnum
             where k.position <= x.indnkeyatts order by k.position) as columns
     from pg_index x join pg_class c on c.oid = x.indexrelid
     where x.indrelid = any($1::oid[]) and x.indisunique and x.indisvalid
       and x.indpred is null and x.indexprs is null
     order by x.indrelid, x.indisprimary desc, c.relname collate "C"`,
    [oids],
  );
  return rows;
}

async function readEnums(client: ClientBase, schemas: readonly string[]): Promise<EnumType[]> {
  const { rows } = await client.query<EnumType>(
    `select n.nspname as schema, t.typname as name,
       array(select e.enumlabel::text from pg_enum e where e.enumtypid = t.oid order by e.enumsortorder) as labels
     from pg_type t join pg_namespace n on n.oid = t.typnamespace
     where n.nspname = any($1) and t.typtype = 'e' and ${notOfExtension('pg_type', 't.oid')}
     order by n.nspname collate "C", t.typname collate "C"`,
    [schemas],
  );
  return rows;
}

async function readSequenceDefinitions(client: ClientBase, schemas: readonly string[]): Promise<Sequence[]> {
  const { rows } = await client.query<Omit<Sequence, 'ownedBy'> & { owned: Sequence['ownedBy'][] }>(
    `with filled as (
       -- owned by a column, or its identity
       select d.objid as sequence, d.refobjid as relid, d.refobjsubid as attnum, true as owned from pg_depend d
       where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
         and d.deptype in ('a', 'i') and d.refobjsubid > 0
       union all
       -- named by a column's default
       select d.refobjid, f.adrelid, f.adnum, false from pg_depend d join pg_attrdef f on f.oid = d.objid
       where d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass),
     named as (
       select f.sequence, f.owned, json_build_object('table', json_build_object('schema', n.nspname, 'name', c.relname),
         'column', a.attname) as item
       from filled f join pg_class c on c.oid = f.relid join pg_namespace n on n.oid = c.relnamespace
       join pg_attribute a on a.attrelid = f.relid and a.attnum = f.attnum and not a.attisdropped)
     select n.nspname as schema, c.relname as name, format_type(s.seqtypid, null) as type,
       s.seqincrement::text as increment, s.seqmin::text as min, s.seqmax::text as max, s.seqcycle as cycles,
       array(select m.item from named m where m.sequence = c.oid and m.owned) as owned,
       array(select distinct on (m.item::text) m.item from named m where m.sequence = c.oid order by m.item::text) as fills
     from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any($1) and ${notOfExtension('pg_class', 'c.oid')}
     order by n.nspname collate "C", c.relname collate "C"`,
    [schemas],
  );
  return rows.map(({ owned, ...sequence }) => ({ ...sequence, ownedBy: owned[0] ?? null }));
}
