/** What a schema demands of rows beyond their columns: checks, domains, partitions, keys on expressions, exclusions, foreign keys. */
import type { Client } from 'pg';
import { all } from '../postgres/connect';
import type { Catalog } from '../postgres/catalog';
import { notOfExtension } from '../postgres/extensions';
import { identifier, identifiers, qualified } from '../postgres/sql';

interface Rule {
  /** The table whose rows it is about: the topmost one of partitions. */
  table: number;
  /** The table that has it. */
  holder: number;
  name: string;
  /** Columns that it reads. */
  columns: string[];
  /** As PostgreSQL prints it. */
  definition: string;
  /** Calls nothing that somebody could have written otherwise. */
  isPure: boolean;
  /** A partition's own: the condition for being one of its rows. */
  within: string | null;
}

/** What each row must fulfil by itself. */
export interface RowRule extends Rule {
  kind: 'check' | 'domain' | 'partition' | 'not null';
  /** SQL over the row's columns: true for a row that breaks it. */
  broken: string;
  /** It calls a function that may read other tables: while these are empty its answer says nothing. */
  readsOthers: boolean;
}

/** What rows must fulfil together: no two of them may be alike in all parts, by these operators. */
export interface SetRule extends Rule {
  kind: 'unique' | 'exclusion';
  parts: string[];
  operators: string[];
  method: string;
  where: string | null;
  nullsEqual: boolean;
  /** Over plain columns and all rows. */
  isPlain: boolean;
}

export interface ForeignKey {
  name: string;
  table: number;
  columns: string[];
  parent: number;
  parentColumns: string[];
  isFull: boolean;
  /** Why it can't be counted; null as a rule. */
  obstacle: string | null;
}

export interface Rules {
  rows: RowRule[];
  sets: SetRule[];
  foreignKeys: ForeignKey[];
  /** `column` of table `oid` has a domain deep inside a composite or a range. */
  deep: { table: number; column: string }[];
}

/** Reads what is enforced for rows that are written anew: constraints that aren't validated are left out. */
export async function readRules(
  client: Client,
  catalog: Catalog,
  schemas: readonly string[],
): Promise<Rules> {
  const read = <T>(sql: string) => all<T>(client, sql, [schemas]);
  const checks = (await read<Check>(checksSql)).map((check) => checkRule(catalog, check));
  const partitions = await read<Partitioning>(partitionsSql);
  const generated = await read<{ table: number; name: string }>(generatedSql);
  const domains = (await read<DomainUse>(domainsSql)).map((use) => domainRule(catalog, use));
  return {
    rows: [...checks, ...domains, ...partitions.map(partitionRule), ...generated.map(notNullRule)],
    sets: await read<SetRule>(setsSql),
    foreignKeys: await read<ForeignKey>(foreignKeysSql),
    deep: await read<Rules['deep'][number]>(deepSql),
  };
}

// Nothing of an extension's, and only tables that hold rows or whose partitions do.
const managed = `c.relnamespace in (select oid from pg_namespace where nspname = any($1)) and c.relkind in ('r', 'p')
  and ${notOfExtension('pg_class', 'c.oid')}`;
const root = `coalesce(pg_partition_root(c.oid)::oid, c.oid)`;
const within = `case when c.relispartition then pg_get_partition_constraintdef(c.oid) end`;
const callsNothing = (objects: string) => `not exists (select from pg_depend d
  where (d.classid, d.objid) in (${objects}) and d.refclassid in ('pg_proc'::regclass, 'pg_operator'::regclass))`;
const readsOthers = (object: string) => `exists (select from pg_depend d join pg_proc p on p.oid = d.refobjid
  where (d.classid, d.objid) = (${object}) and d.refclassid = 'pg_proc'::regclass and p.provolatile <> 'i' and ${notOfExtension('pg_proc', 'p.oid')})`;
// A partition key's column hangs on its own table.
const keysOfPartitions = `select a.attname::text from pg_partition_tree(${root}) t
  join pg_depend d on d.classid = 'pg_class'::regclass and d.refclassid = d.classid and d.objid = t.relid and d.refobjid = d.objid
  join pg_attribute a on a.attrelid = d.objid and a.attnum = d.objsubid and d.refobjsubid = 0 and d.objsubid > 0
  where c.relispartition or c.relkind = 'p'`;

type Check = Rule & {
  readsOthers: boolean;
  /** It reads the row as a whole, under the table's name. */
  isOfRow: boolean;
};

const checksSql = `
  select ${root} as table, c.oid as holder, k.conname as name, pg_get_expr(k.conbin, k.conrelid) as definition, ${within} as within,
    coalesce(0 = any (k.conkey), false) as "isOfRow",
    array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum = any (k.conkey)
      union ${keysOfPartitions} and c.relispartition) as columns,
    ${callsNothing(`('pg_constraint'::regclass, k.oid)`)} as "isPure", ${readsOthers(`'pg_constraint'::regclass, k.oid`)} as "readsOthers"
  from pg_constraint k join pg_class c on c.oid = k.conrelid
  where ${managed} and k.contype = 'c' and k.convalidated and (not c.relispartition or k.coninhcount = 0)
  order by c.oid::regclass::text collate "C", k.conname collate "C"`;

function checkRule(catalog: Catalog, { isOfRow, ...rule }: Check): RowRule {
  const broken = `not (${rule.definition})`;
  const holder = catalog.tables.find(({ oid }) => oid === rule.holder);
  if (!isOfRow || !holder) return { ...rule, kind: 'check', broken };
  // A row of the table's own type under its name, made of what is at hand.
  const columns = holder.columns.map(({ name }) => name);
  const row = `unnest(array[row(${identifiers(columns)})::${qualified(holder)}]) as ${identifier(holder.name)}`;
  return { ...rule, kind: 'check', columns, broken: `(select ${broken} from ${row})` };
}

interface Partitioning {
  table: number;
  columns: string[];
  places: string[];
  definition: string;
}

const partitionsSql = `
  select c.oid as table, array(${keysOfPartitions}) as columns,
    array(select coalesce(pg_get_partition_constraintdef(t.relid), 'true') from pg_partition_tree(c.oid) t
      where t.isleaf and t.relid <> c.oid::regclass) as places,
    concat_ws('; ', pg_get_partkeydef(c.oid), (select string_agg(concat_ws(' ', pg_get_partkeydef(p.oid), pg_get_expr(p.relpartbound, p.oid)), '; ' order by t.level, pg_get_expr(p.relpartbound, p.oid))
      from pg_partition_tree(c.oid) t join pg_class p on p.oid = t.relid where t.level > 0)) as definition
  from pg_class c where ${managed} and c.relkind = 'p' and not c.relispartition
  order by c.oid::regclass::text collate "C"`;

function partitionRule({ table, columns, places, definition }: Partitioning): RowRule {
  const fits = ['false', ...places.map((place) => `coalesce(${place}, false)`)].join(' or ');
  const rule = { table, holder: table, name: definition, columns, definition, isPure: true, within: null };
  return { ...rule, kind: 'partition', broken: `not (${fits})`, readsOthers: false };
}

const generatedSql = `
  select c.oid as table, a.attname as name from pg_attribute a join pg_class c on c.oid = a.attrelid
  where ${managed} and not c.relispartition and a.attgenerated <> '' and a.attnotnull and not a.attisdropped
  order by c.oid, a.attnum`;

function notNullRule({ table, name }: { table: number; name: string }): RowRule {
  const broken = `${identifier(name)} is not distinct from null`;
  const rule = { table, holder: table, name, columns: [name], definition: 'not null', isPure: true };
  return { ...rule, within: null, kind: 'not null', broken, readsOthers: false };
}

interface DomainUse {
  table: number;
  column: string;
  domain: string;
  type: string;
  /** The values are elements of an array. */
  isElement: boolean;
  /** They lie in a composite or a range. */
  isDeep: boolean;
  /** Null for NOT NULL. */
  name: string | null;
  expression: string | null;
  isPure: boolean;
  readsOthers: boolean;
}

// Domains of the columns themselves, below other domains, as elements of arrays, and deeper.
const usesSql = `
  recursive uses as (
    select c.oid as table, a.attname::text as column, a.attnum, a.atttypid as type, false as "isElement", false as "isDeep"
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where ${managed} and not c.relispartition and a.attnum > 0 and not a.attisdropped
    union
    select u.table, u.column, u.attnum, p.oid, u."isElement" or t.typcategory = 'A' and t.typtype <> 'd', u."isDeep" or p.deep
    from uses u join pg_type t on t.oid = u.type
    cross join lateral (
      select t.typbasetype as oid, false as deep where t.typtype = 'd'
      union all select t.typelem, u."isElement" where t.typcategory = 'A' and t.typtype <> 'd' and t.typelem <> 0 and t.typlen = -1
      union all select a.atttypid, true from pg_attribute a where a.attrelid = t.typrelid and t.typrelid <> 0 and a.attnum > 0 and not a.attisdropped
      union all select r.rngsubtype, true from pg_range r where t.oid in (r.rngtypid, r.rngmultitypid)) p),
  rules as (
    select k.contypid as type, k.oid, k.conname::text as name, pg_get_expr(k.conbin, 0) as expression
    from pg_constraint k where k.contype = 'c' and k.contypid <> 0 and k.convalidated
    union all select t.oid, 0::oid, null, null from pg_type t where t.typtype = 'd' and t.typnotnull)`;

const domainsSql = `
  with ${usesSql}
  select u.table, u.column, u."isElement", u."isDeep", format_type(u.type, null) as domain, format_type(a.atttypid, a.atttypmod) as type,
    r.name, r.expression, ${callsNothing(`('pg_constraint'::regclass, r.oid)`)} as "isPure",
    ${readsOthers(`'pg_constraint'::regclass, r.oid`)} as "readsOthers"
  from uses u join rules r on r.type = u.type join pg_attribute a on a.attrelid = u.table and a.attnum = u.attnum
  -- that a column isn't NULL is the scan's to say
  where r.expression is not null or u."isElement" or u."isDeep"
  order by u.table::regclass::text collate "C", u.attnum, r.name collate "C"`;

const deepSql = `
  with ${usesSql}
  select distinct u.table, u.column from uses u join rules r on r.type = u.type where u."isDeep"`;

function domainRule(catalog: Catalog, use: DomainUse): RowRule {
  const { table, column, domain, name, expression, isPure, readsOthers } = use;
  const what = `${name ?? 'not null'} of the domain ${domain}`;
  const definition = `${domain} ${expression ?? 'not null'}`;
  const rule = { table, holder: table, name: what, columns: [column], definition, isPure, within: null };
  return { ...rule, kind: 'domain', broken: brokenDomain(catalog, use), readsOthers };
}

// VALUE stands in a domain's check for what is checked; elsewhere it is the name of a column like any other.
function brokenDomain(catalog: Catalog, { table, column, type, expression, ...use }: DomainUse): string {
  const value = identifier(column);
  // Reading the value anew raises an error where it doesn't fit; num_nulls of one value never exceeds one.
  if (use.isDeep) return `num_nulls(${value}::text::${type}) > 1`;
  const broken = expression === null ? 'value is not distinct from null' : `not (${expression})`;
  if (use.isElement) return `exists (select from unnest(${value}) as v(value) where ${broken})`;
  const base = catalog.tables
    .find((item) => item.oid === table)
    ?.columns.find((item) => item.name === column)?.baseType;
  return `(select ${broken} from (select ${value}${base ? `::${base}` : ''} as value) as v)`;
}

const setsSql = `
  select ${root} as table, c.oid as holder, i.relname as name, ${within} as within, m.amname as method,
    case when o.operators is null then 'unique' else 'exclusion' end as kind,
    array(select format('(%s)%s', pg_get_indexdef(i.oid, n, true), ' collate ' || nullif(x.indcollation[n - 1], 0)::regcollation::text)
      from generate_series(1, x.indnkeyatts::int) n order by n) as parts,
    coalesce(o.operators, array[]::text[]) as operators, pg_get_expr(x.indpred, x.indrelid) as where,
    coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::boolean, false) as "nullsEqual",
    x.indpred is null and x.indexprs is null and o.operators is null and not c.relispartition
      and not exists (select from pg_collation l where l.oid = any (x.indcollation::oid[]) and not l.collisdeterministic) as "isPlain",
    concat_ws(' ', substring(pg_get_indexdef(i.oid) from ' USING .*$'), o.operators::text) as definition,
    array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum = any (x.indkey::int2[])
      union select a.attname::text from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
        where (d.classid, d.objid) in (('pg_class'::regclass, i.oid), ('pg_constraint'::regclass, k.oid))
          and d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid and d.refobjsubid > 0
      union ${keysOfPartitions} and c.relispartition) as columns,
    ${callsNothing(`('pg_class'::regclass, i.oid), ('pg_constraint'::regclass, k.oid)`)} as "isPure"
  from pg_index x join pg_class i on i.oid = x.indexrelid join pg_class c on c.oid = x.indrelid join pg_am m on m.oid = i.relam
  left join pg_constraint k on k.conindid = i.oid and k.conrelid = c.oid and k.contype in ('p', 'u', 'x')
  left join lateral (select array_agg(format('operator(%I.%s)', n.nspname, p.oprname) order by u.place) as operators
    from unnest(k.conexclop) with ordinality u(oid, place) join pg_operator p on p.oid = u.oid join pg_namespace n on n.oid = p.oprnamespace) o on true
  where ${managed} and (x.indisunique or x.indisexclusion) and x.indisvalid and not i.relispartition
  order by c.oid::regclass::text collate "C", i.relname collate "C"`;

const namesOf = (table: string, numbers: string) => `array(select a.attname::text
  from unnest(${numbers}) with ordinality u(number, place) join pg_attribute a on a.attrelid = ${table} and a.attnum = u.number order by u.place)`;

const foreignKeysSql = `
  select k.conname as name, c.oid as table, k.confrelid as parent, k.confmatchtype = 'f' as "isFull",
    ${namesOf('k.conrelid', 'k.conkey')} as columns, ${namesOf('k.confrelid', 'k.confkey')} as "parentColumns",
    case when c.relispartition then 'it belongs to one partition only'
      when (to_jsonb(k) ->> 'conperiod')::boolean then 'it is about periods' end as obstacle
  from pg_constraint k join pg_class c on c.oid = k.conrelid
  where ${managed} and k.contype = 'f' and k.conparentid = 0 and k.convalidated
  order by c.oid::regclass::text collate "C", k.conname collate "C"`;
