/** Whole tables as streams of text rows in the order of their keys: what the judge of a migration compares. */
import { escapeIdentifier, type ClientBase } from 'pg';

export type Row = Record<string, string | null>;
export interface KeyedRow {
  key: string[];
  row: Row;
}

export interface Table {
  name: string;
  columns: string[];
  key: string[];
}

/** Begins a read-only transaction in which every type has one text form. */
export async function beginReading(client: ClientBase): Promise<void> {
  await client.query(`
    begin isolation level repeatable read read only;
    set local search_path = public;
    set local datestyle = 'ISO, YMD';
    set local extra_float_digits = 3;
    set local bytea_output = 'hex'`);
}

/** The tables of schema public, in name order. */
export async function readTables(client: ClientBase): Promise<Map<string, Table>> {
  const { rows } = await client.query<Table>(`
    select relname as name,
           (select json_agg(attname order by attnum) from pg_attribute
             where attrelid = c.oid and attnum > 0 and not attisdropped) as columns,
           (select json_agg(attname order by attnum) from pg_index join pg_attribute
                on attrelid = indrelid and attnum = any (indkey)
             where indrelid = c.oid and indisprimary) as key
      from pg_class c
     where relkind = 'r' and relnamespace = 'public'::regnamespace
     order by relname collate "C"`);
  return new Map(rows.map((table) => [table.name, table]));
}

/** The rows of a table as text, ordered by the bytes of their key. */
export async function* readRows(client: ClientBase, table: Table): AsyncGenerator<KeyedRow, void> {
  const list = table.columns.map((column) => `${escapeIdentifier(column)}::text`).join(', ');
  const order = table.key.map((column) => `${escapeIdentifier(column)}::text collate "C"`).join(', ');
  await client.query(
    `declare judged no scroll cursor for select ${list} from ${escapeIdentifier(table.name)} order by ${order}`,
  );
  for (;;) {
    const { rows } = await client.query<(string | null)[]>({
      text: 'fetch 2000 from judged',
      rowMode: 'array',
    });
    if (rows.length === 0) break;
    for (const values of rows) {
      yield keyed(
        Object.fromEntries(table.columns.map((column, n) => [column, values[n] ?? null])),
        table.key,
      );
    }
  }
  await client.query('close judged');
}

/** The same rows, changed by a rule that leaves their order alone. */
export async function* transform(
  rows: AsyncIterable<KeyedRow>,
  key: string[],
  change: (row: Row) => Row,
): AsyncGenerator<KeyedRow, void> {
  for await (const { row } of rows) yield keyed(change(row), key);
}

/** An ordered stream and an ordered list as one ordered stream. */
export async function* mergeOrdered(
  stream: AsyncIterable<KeyedRow>,
  list: KeyedRow[],
): AsyncGenerator<KeyedRow, void> {
  let next = 0;
  for await (const row of stream) {
    for (let item = list[next]; item && compareKeys(item, row) < 0; item = list[++next]) yield item;
    yield row;
  }
  yield* list.slice(next);
}

/** A row with the values of its key columns. */
export function keyed(row: Row, key: string[]): KeyedRow {
  return { key: key.map((column) => must(row[column])), row };
}

// Byte order of UTF-8, as PostgreSQL's collation "C" has it; JavaScript's own order of strings differs.
export function compareKeys(a: KeyedRow, b: KeyedRow): number {
  for (const [n, value] of a.key.entries()) {
    const order = Buffer.compare(Buffer.from(value), Buffer.from(b.key[n] ?? ''));
    if (order !== 0) return order;
  }
  return 0;
}

/** The value, which the schema says is there. */
export function must(value: string | null | undefined): string {
  if (value === null || value === undefined)
    throw new Error('The judge met a NULL where the schema forbids one.');
  return value;
}
