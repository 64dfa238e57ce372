/** Rows of small tables outside the managed schemas, e.g. the journal of a schema tool: read as text, kept beside the ledger, put back. */
import type { Client } from 'pg';
import { all, hasRelation } from '../postgres/connect';
import { notOfExtension } from '../postgres/extensions';
import { isOutside } from '../postgres/outside';
import { identifiers, qualified, type TableName } from '../postgres/sql';

/** A larger table is no journal. */
const maxBytes = 1_000_000;

/** A table's state: its rows as PostgreSQL writes them, and its sequences as `setval` takes them. */
interface Kept {
  rows: string[];
  sequences: { name: string; last: string; called: boolean }[];
}

/** Tables outside the managed schemas that this user owns and that are small enough to be kept, in the order of their making. */
export async function smallTables(client: Client, schemas: readonly string[]): Promise<TableName[]> {
  return all<TableName>(
    client,
    `select nspname as schema, relname as name from pg_class c join pg_namespace n on n.oid = relnamespace
     where relkind = 'r' and relpersistence = 'p' and ${isOutside} and pg_has_role(relowner, 'usage') and pg_has_role(nspowner, 'usage')
       and pg_total_relation_size(c.oid) < ${maxBytes} and ${notOfExtension('pg_class', 'c.oid')} order by c.oid limit 200`,
    [schemas],
  );
}

/** Of the tables that were kept, those whose rows are others now; one that is gone is none of them. */
export async function changedTables(client: Client): Promise<TableName[]> {
  const changed: TableName[] = [];
  for (const { content, schema, name } of await keptTables(client)) {
    const table = { schema, name };
    if (!(await hasRelation(client, qualified(table)))) continue;
    const { rows } = JSON.parse(content) as Kept;
    const now = await read(client, table);
    if (JSON.stringify(now.rows) !== JSON.stringify(rows)) changed.push(table);
  }
  return changed;
}

/** Copies a table's rows and the state of its sequences. */
export async function copyOutsideRows(from: Client, to: Client, table: TableName): Promise<void> {
  await write(to, table, await read(from, table));
}

/** Keeps tables' rows beside the ledger. Runs in the caller's transaction. */
export async function keepOutsideRows(client: Client, tables: readonly TableName[]): Promise<void> {
  for (const table of tables) {
    if (!(await hasRelation(client, qualified(table)))) continue;
    await client.query('insert into kirikae.outside_table (schema, name, content) values ($1, $2, $3)', [
      table.schema,
      table.name,
      JSON.stringify(await read(client, table)),
    ]);
  }
}

/** Notes the rows as the step has left them: what comes later is somebody else's. Runs in the caller's transaction. */
export async function noteRowsAfter(client: Client): Promise<void> {
  for (const table of await keptTables(client)) {
    if (!(await hasRelation(client, qualified(table)))) continue;
    const { rows } = await read(client, table);
    await client.query('update kirikae.outside_table set after = $3 where schema = $1 and name = $2', [
      table.schema,
      table.name,
      JSON.stringify(rows),
    ]);
  }
}

/**
 * Takes away the rows that the step added, and puts back those that it took away or changed; all others stay as they are. While it
 * isn't noted how it left them, all that changed is its doing. Runs in the caller's transaction.
 */
export async function putBackOutsideRows(client: Client): Promise<void> {
  for (const { content, after, ...table } of await keptTables(client)) {
    if (!(await hasRelation(client, qualified(table)))) continue;
    const before = JSON.parse(content) as Kept;
    const { rows: now } = await read(client, table);
    const left = after === null ? now : (JSON.parse(after) as string[]);
    const added = without(left, before.rows).filter((row) => now.includes(row));
    const gone = without(without(before.rows, left), now);
    if (added.length + gone.length === 0) continue;
    await client.query(`delete from only ${qualified(table)} t where t::text = any($1::text[])`, [added]);
    await write(client, table, { rows: gone, sequences: before.sequences });
  }
  await client.query('update kirikae.outside_table set after = null');
}

function without(rows: readonly string[], others: readonly string[]): string[] {
  const known = new Set(others);
  return rows.filter((row) => !known.has(row));
}

async function keptTables(
  client: Client,
): Promise<(TableName & { content: string; after: string | null })[]> {
  return all(client, 'select schema, name, content, after from kirikae.outside_table order by schema, name');
}

async function read(client: Client, table: TableName): Promise<Kept> {
  const rows = await all<{ r: string }>(
    client,
    `select t::text as r from only ${qualified(table)} t order by 1`,
  );
  const names = await all<{ name: string }>(
    client,
    `select d.objid::regclass::text as name from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S'
     where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = $1::regclass and d.deptype in ('a', 'i')
     order by 1`,
    [qualified(table)],
  );
  const sequences: Kept['sequences'] = [];
  for (const { name } of names) {
    const [state] = await all<{ last: string; called: boolean }>(
      client,
      `select last_value as last, is_called as called from ${name}`,
    );
    if (state) sequences.push({ name, ...state });
  }
  return { rows: rows.map(({ r }) => r), sequences };
}

async function write(client: Client, table: TableName, { rows, sequences }: Kept): Promise<void> {
  const columns = await all<{ name: string }>(
    client,
    `select attname as name from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = ''
     order by attnum`,
    [qualified(table)],
  );
  const names = columns.map(({ name }) => name);
  if (rows.length > 0 && names.length > 0)
    await client.query(
      `insert into ${qualified(table)} (${identifiers(names)}) overriding system value
       select ${names.map((name) => `(r).${identifiers([name])}`).join(', ')} from (select line::${qualified(table)} as r from unnest($1::text[]) as line) rows`,
      [rows],
    );
  for (const { name, last, called } of sequences)
    await client.query('select setval(to_regclass($1), $2, $3) where to_regclass($1) is not null', [
      name,
      last,
      called,
    ]);
}
