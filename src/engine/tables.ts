/** The tables of the managed schemas as the copy engine sees them: storage, columns, sequences. */
import type { Client } from 'pg';
import { all } from '../postgres/connect';
import { notOfExtension } from '../postgres/extensions';
import { qualified, type TableName } from '../postgres/sql';
import type { ColumnType } from './row-hash';

/** A table that holds rows: ordinary tables and the leaves of partitioned ones. */
export interface StoredTable extends TableName {
  oid: number;
  filenode: number;
  pages: number;
  /** With TOAST, without indexes. */
  bytes: number;
  /** Columns COPY takes: not generated ones. */
  columns: ColumnType[];
  /** Generated columns: compared, never copied. */
  generated: ColumnType[];
}

export interface SequenceState extends TableName {
  lastValue: string;
  isCalled: boolean;
}

/** Tables with rows in the schemas, largest first. */
export async function readStoredTables(client: Client, schemas: readonly string[]): Promise<StoredTable[]> {
  const rows = await all<
    Omit<StoredTable, 'columns' | 'generated'> & { cols: (ColumnType & { generated: boolean })[] }
  >(
    client,
    `select c.oid::bigint::int8 as oid, n.nspname as schema, c.relname as name,
            coalesce(pg_relation_filenode(c.oid), 0)::int8 as filenode,
            (pg_relation_size(c.oid) / current_setting('block_size')::int)::int8 as pages,
            pg_table_size(c.oid)::int8 as bytes,
            coalesce((select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
                                                       'generated', a.attgenerated <> '',
                                                       'isEnum', coalesce(b.typtype, t.typtype) = 'e') order by a.attnum)
               from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_type b on b.oid = t.typbasetype and t.typtype = 'd'
               where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '[]') as cols
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any($1) and c.relkind = 'r' and ${notOfExtension('pg_class', 'c.oid')}
     order by pg_table_size(c.oid) desc, n.nspname, c.relname`,
    [schemas],
  );
  return rows.map(({ cols, ...table }) => ({
    ...table,
    oid: Number(table.oid),
    filenode: Number(table.filenode),
    pages: Number(table.pages),
    bytes: Number(table.bytes),
    columns: cols.filter((column) => !column.generated).map(({ generated: _, ...column }) => column),
    generated: cols.filter((column) => column.generated).map(({ generated: _, ...column }) => column),
  }));
}

/** State of every sequence of the schemas, identity ones included, in name order. */
export async function readSequenceStates(
  client: Client,
  schemas: readonly string[],
): Promise<SequenceState[]> {
  const names = await all<TableName>(
    client,
    `select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any($1) and c.relkind = 'S' and ${notOfExtension('pg_class', 'c.oid')} order by 1, 2`,
    [schemas],
  );
  const states: SequenceState[] = [];
  for (let from = 0; from < names.length; from += atOnce) {
    const some = names.slice(from, from + atOnce);
    const selects = some.map(
      (name, index) =>
        `select ${index} as n, last_value::text as "lastValue", is_called as "isCalled" from ${qualified(name)}`,
    );
    const rows = await all<Omit<SequenceState, keyof TableName> & { n: number }>(
      client,
      `${selects.join(' union all ')} order by n`,
    );
    states.push(
      ...rows.flatMap(({ n, ...state }) => {
        const name = some[n];
        return name ? [{ ...name, ...state }] : [];
      }),
    );
  }
  return states;
}

// A statement's planning takes longer than its number of branches grows.
const atOnce = 100;

/** Gives sequences their state. @param options.missing what a sequence is that the target doesn't have: an error, or skipped */
export async function writeSequences(
  client: Client,
  sequences: readonly SequenceState[],
  { missing }: { missing: 'error' | 'skip' } = { missing: 'error' },
): Promise<void> {
  for (const sequence of sequences) {
    await client.query(
      `select setval(s.oid, $3::bigint, $4) from
       (select ${missing === 'skip' ? 'to_regclass' : ''}(format('%I.%I', $1::text, $2::text))::regclass as oid) s where s.oid is not null`,
      [sequence.schema, sequence.name, sequence.lastValue, sequence.isCalled],
    );
  }
}
