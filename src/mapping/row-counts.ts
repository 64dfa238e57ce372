/** How many rows tables hold before the downtime: counted where that is cheap, sampled or estimated elsewhere. */
import type { ClientBase } from 'pg';
import { codeOf } from '../errors';
import { qualified, type TableName } from '../postgres/sql';

export interface RowCount {
  rows: number;
  /** Not counted: to be shown with "about". */
  isEstimate: boolean;
}

interface Size extends TableName {
  oid: number;
  /** Null for what is stored elsewhere, or locked. */
  pages: number | null;
  /** Of the last ANALYZE or VACUUM; -1 rows when there was none. */
  pagesThen: number;
  rowsThen: number;
}

// A table of 8 MB is read in a few milliseconds; all together no more than half a gigabyte is.
const smallPages = 1_024;
const mostPages = 65_536;

/** Rows of the tables with these oids; nobody's lock is waited for longer than a second. @returns counts by oid */
export async function countRows(client: ClientBase, oids: readonly number[]): Promise<Map<number, RowCount>> {
  const counts = new Map<number, RowCount>();
  let pagesLeft = mostPages;
  for (const size of await readSizes(client, oids)) {
    const isCounted = size.pages !== null && size.pages <= Math.min(smallPages, pagesLeft);
    if (isCounted) pagesLeft -= size.pages ?? 0;
    const counted = isCounted ? await countOf(client, size, 1) : null;
    counts.set(
      size.oid,
      counted === null
        ? { rows: await estimate(client, size), isEstimate: true }
        : { rows: counted, isEstimate: false },
    );
  }
  return counts;
}

/** Sum of counts; an estimate as soon as one of them is. */
export function sumRows(counts: Iterable<RowCount>): RowCount {
  let [rows, isEstimate] = [0, false];
  for (const count of counts) {
    rows += count.rows;
    isEstimate ||= count.isEstimate;
  }
  return { rows, isEstimate };
}

// As PostgreSQL's planner scales what it knows; where it knows nothing, some pages are read.
async function estimate(client: ClientBase, size: Size): Promise<number> {
  const { pages, pagesThen, rowsThen } = size;
  if (rowsThen < 0 && pages !== null && pages > smallPages)
    return (await countOf(client, size, smallPages / pages)) ?? 0;
  const known = Math.max(0, rowsThen);
  return Math.round(pages !== null && pagesThen > 0 ? (known / pagesThen) * pages : known);
}

/** Rows of a share of the pages, scaled to all of them; null where they can't be read now. */
async function countOf(client: ClientBase, table: TableName, share: number): Promise<number | null> {
  const sample = share < 1 ? ` tablesample system (${100 * share}) repeatable (1)` : '';
  const rows = await read<{ rows: string }>(
    client,
    `select count(*) as rows from only ${qualified(table)}${sample}`,
  );
  return rows === null ? null : Math.round(Number(rows[0]?.rows) / share);
}

// Smallest first, so that as many as possible are counted. Looking for a table's size waits for its lock, too.
async function readSizes(client: ClientBase, oids: readonly number[]): Promise<Size[]> {
  const sizes = (pages: string) =>
    read<Size>(
      client,
      `select c.oid, n.nspname as schema, c.relname as name, (${pages})::float8 as pages,
         c.relpages::float8 as "pagesThen", c.reltuples::float8 as "rowsThen"
       from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = any($1::oid[]) order by 4, 1`,
      [oids],
    );
  const now = `case when c.relkind = 'r' then pg_relation_size(c.oid) / current_setting('block_size')::int end`;
  return (await sizes(now)) ?? (await sizes('null')) ?? [];
}

/** One statement in a read-only transaction of its own; null when it may not be read, or only later. */
async function read<T extends object>(
  client: ClientBase,
  sql: string,
  values: unknown[] = [],
): Promise<T[] | null> {
  await client.query(
    `begin read only; set local lock_timeout = '1s'; set local statement_timeout = 0; set local row_security = off`,
  );
  try {
    const { rows } = await client.query<T>(sql, values);
    await client.query('commit');
    return rows;
  } catch (error) {
    if (!['55P03', '42501'].includes(codeOf(error) ?? '')) throw error;
    await client.query('rollback');
    return null;
  }
}
