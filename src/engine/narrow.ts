/** Names the rows in which two sides of a comparison differ, by their primary keys; memory stays flat whatever the size. */
import type { Client } from 'pg';
import { failureType, sentence } from '../errors';
import { all } from '../postgres/connect';
import type { Place, Work } from '../postgres/endpoint';
import { withCutSessions } from '../postgres/lanes';
import { settingOwn, type OwnSettings } from '../postgres/own-settings';
import { identifier, identifiers, type TableName } from '../postgres/sql';
import { rowHash, type ColumnType, type HashMethod } from './row-hash';

/** One side: a relation or sub-select as `compare.ts` hashes it, with the columns of the other side. */
export interface Side extends Place {
  from: string;
  searchPath?: readonly string[];
  own?: OwnSettings;
}

export interface Narrowing extends Pick<Work, 'label' | 'signal'> {
  /** What should be. */
  left: Side;
  /** What is judged. */
  right: Side;
  columns: readonly ColumnType[];
  /** Columns of the primary key; empty when the table has none, or not all of them are compared. */
  key: readonly string[];
  method: HashMethod;
}

/** Rows of one key that aren't the same on both sides: how many there are on each. */
export interface RowDifference {
  key: readonly (string | null)[];
  left: number;
  right: number;
}

export interface Differing {
  /** In the order of their keys, at most `maxNamed`; without a key empty. */
  first: RowDifference[];
  /** Keys that differ, in all. */
  keys: number;
  /** Rows that the other side doesn't have in this form. */
  onlyLeft: number;
  onlyRight: number;
  /** False when only a part of the table was looked at, because so much of it differs. */
  isComplete: boolean;
}

const maxNamed = 10;
// Rows go into buckets by the low bits of their key's hash; only buckets that differ are read row by row.
const buckets = 4096;
const maxBuckets = 256;
const maxRowsRead = 500_000;
const batchRows = 5_000;
const maxShownLength = 80;

/**
 * Finds the rows that differ: first count and sum of each bucket, then the keys of the buckets that differ, merged as streams.
 * @throws the driver's error; the abort reason when the signal aborts
 */
export async function findDifferingRows(narrowing: Narrowing): Promise<Differing> {
  const { left, right, key, label, signal } = narrowing;
  const sessions = [left, right].map(({ url }) => ({ url, label: `${label} narrow` }));
  return withCutSessions(sessions, signal, async (...clients) => {
    for (const [n, client] of clients.entries()) {
      const { searchPath: path, own } = [left, right][n] ?? {};
      if (own) await client.query(settingOwn(own));
      if (path?.length) await client.query(`set search_path = ${identifiers(path)}`);
      await client.query('begin isolation level repeatable read read only');
    }
    const [mine, yours] = clients as [Client, Client];
    const sums = await Promise.all([
      readBuckets(mine, left, narrowing),
      readBuckets(yours, right, narrowing),
    ]);
    const { chosen, isComplete } = chooseBuckets(...sums);
    const differing = await mergeKeys(
      readKeys({ ...left, client: mine }, narrowing, chosen),
      readKeys({ ...right, client: yours }, narrowing, chosen),
      key,
    );
    return { ...differing, isComplete };
  });
}

/**
 * What follows "… but their content differs": the first rows that do, as text that begins with a colon.
 * Quotes keys, no other column. Never hides the difference it explains: what can't be read is said.
 * @throws an outage, so that the whole comparison is tried again, and the abort reason
 */
export async function describeDifferingRows(narrowing: Narrowing): Promise<string> {
  try {
    return describe(await findDifferingRows(narrowing), narrowing);
  } catch (error) {
    if (narrowing.signal.aborted || failureType(error) === 'Outage') throw error;
    return ` (which rows could not be read: ${sentence(error)})`;
  }
}

/** Columns of a table's primary key in its order; empty when this database has none for it. */
export async function readPrimaryKey(client: Client, table: TableName): Promise<string[]> {
  const rows = await all<{ name: string }>(
    client,
    `select a.attname as name from pg_index i
     join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
     cross join lateral unnest(i.indkey) with ordinality as k(attnum, place)
     join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
     where n.nspname = $1 and c.relname = $2 and i.indisprimary and k.place <= i.indnkeyatts order by k.place`,
    [table.schema, table.name],
  );
  return rows.map((row) => row.name);
}

type Buckets = Map<number, { rows: number; hash: string }>;

async function readBuckets(client: Client, side: Side, narrowing: Narrowing): Promise<Buckets> {
  const rows = await all<{ bucket: number; rows: string; hash: string }>(
    client,
    `select (${keyHash(narrowing)} & ${buckets - 1})::int as bucket, count(*) as rows,
       sum(${rowHash(narrowing.columns, narrowing.method)})::text as hash from ${side.from} t group by 1`,
  );
  return new Map(rows.map(({ bucket, rows: count, hash }) => [bucket, { rows: Number(count), hash }]));
}

function chooseBuckets(left: Buckets, right: Buckets): { chosen: number[]; isComplete: boolean } {
  const chosen: number[] = [];
  let rowsToRead = 0;
  for (let bucket = 0; bucket < buckets; bucket++) {
    const [a, b] = [left.get(bucket), right.get(bucket)];
    if (a?.rows === b?.rows && a?.hash === b?.hash) continue;
    if (chosen.length === maxBuckets || (chosen.length > 0 && rowsToRead > maxRowsRead)) {
      return { chosen, isComplete: false };
    }
    chosen.push(bucket);
    rowsToRead += Math.max(a?.rows ?? 0, b?.rows ?? 0);
  }
  return { chosen, isComplete: true };
}

/** All rows of one key on one side; without a primary key all rows that are alike. */
interface KeyRows {
  hash: bigint;
  key: (string | null)[];
  rows: number;
  sum: string;
}

// Sorted by the key's hash and only then by its text: databases of any encoding agree on the order of numbers.
// (The output must not be called h: `order by h` would then sort its text.)
async function* readKeys(
  { client, from }: Side & { client: Client },
  narrowing: Narrowing,
  chosen: readonly number[],
): AsyncGenerator<KeyRows, void> {
  if (chosen.length === 0) return;
  const keys = narrowing.key.map((name, n) => `t.${identifier(name)}::text collate "C" as k${n}`);
  const names = narrowing.key.map((_, n) => `k${n}`);
  await client.query(
    `declare differing no scroll cursor for
     select h::text as hash, count(*)::text as rows, sum(r)::text as sum${names.map((name) => `, ${name}`).join('')}
     from (select ${[`${keyHash(narrowing)} as h`, `${rowHash(narrowing.columns, narrowing.method)} as r`, ...keys].join(', ')}
           from ${from} t where (${keyHash(narrowing)} & ${buckets - 1})::int = any('{${chosen.join()}}')) as chosen
     group by ${['h', ...names].join(', ')} order by ${['h', ...names].join(', ')}`,
  );
  for (;;) {
    narrowing.signal.throwIfAborted();
    const { rows } = await client.query<(string | null)[]>({
      text: `fetch ${batchRows} from differing`,
      rowMode: 'array',
    });
    for (const [hash, count, sum, ...key] of rows) {
      yield { hash: BigInt(hash ?? 0), key, rows: Number(count), sum: sum ?? '' };
    }
    if (rows.length < batchRows) return;
  }
}

// Without a primary key the row's own hash takes its place.
function keyHash({ key, columns, method }: Narrowing): string {
  const keyColumns = columns.filter((column) => key.includes(column.name));
  return rowHash(key.length > 0 ? keyColumns : columns, method);
}

async function mergeKeys(
  left: AsyncGenerator<KeyRows, void>,
  right: AsyncGenerator<KeyRows, void>,
  key: readonly string[],
): Promise<Omit<Differing, 'isComplete'>> {
  const hasKey = key.length > 0;
  const found: Omit<Differing, 'isComplete'> = { first: [], keys: 0, onlyLeft: 0, onlyRight: 0 };
  let [a, b] = await Promise.all([left.next(), right.next()]);
  while (!a.done || !b.done) {
    const order = a.done ? 1 : b.done ? -1 : compareOrder(a.value, b.value);
    const [mine, yours] = [order <= 0 && !a.done ? a.value : null, order >= 0 && !b.done ? b.value : null];
    if (mine?.rows !== yours?.rows || mine?.sum !== yours?.sum) {
      const [rowsLeft, rowsRight] = [mine?.rows ?? 0, yours?.rows ?? 0];
      found.keys += 1;
      // Alike rows differ by their number; rows of one key that don't agree count on both sides.
      const shared = hasKey ? 0 : Math.min(rowsLeft, rowsRight);
      found.onlyLeft += rowsLeft - shared;
      found.onlyRight += rowsRight - shared;
      if (hasKey)
        keepFirst(found.first, { key: (mine ?? yours)?.key ?? [], left: rowsLeft, right: rowsRight });
    }
    [a, b] = await Promise.all([order <= 0 ? left.next() : a, order >= 0 ? right.next() : b]);
  }
  return found;
}

function compareOrder(a: KeyRows, b: KeyRows): number {
  if (a.hash !== b.hash) return a.hash < b.hash ? -1 : 1;
  for (const [n, value] of a.key.entries()) {
    const other = b.key[n] ?? null;
    if (value === other) continue;
    if (value === null || other === null) return value === null ? 1 : -1;
    return Buffer.compare(Buffer.from(value), Buffer.from(other));
  }
  return 0;
}

function keepFirst(first: RowDifference[], row: RowDifference): void {
  const place = first.findIndex((other) => compareKeys(row.key, other.key) < 0);
  first.splice(place < 0 ? first.length : place, 0, row);
  if (first.length > maxNamed) first.pop();
}

// As people sort: whole numbers by their value, everything else by its letters.
function compareKeys(a: RowDifference['key'], b: RowDifference['key']): number {
  for (const [n, value] of a.entries()) {
    const [mine, yours] = [value ?? '', b[n] ?? ''];
    if (mine === yours) continue;
    if (wholeNumber.test(mine) && wholeNumber.test(yours)) return BigInt(mine) < BigInt(yours) ? -1 : 1;
    return mine < yours ? -1 : 1;
  }
  return 0;
}

const wholeNumber = /^-?\d+$/;

function describe(differing: Differing, narrowing: Narrowing): string {
  const { first, keys, onlyLeft, onlyRight, isComplete } = differing;
  if (keys === 0) return ` (read again, ${narrowing.left.title} and ${narrowing.right.title} hold the same)`;
  const atLeast = isComplete ? '' : 'at least ';
  if (narrowing.key.length === 0) {
    return `: ${atLeast}${onlyLeft} ${onlyLeft === 1 ? 'row' : 'rows'} of ${narrowing.left.title} and ${onlyRight} of ${narrowing.right.title} have no equal on the other side; the table has no primary key to name them by`;
  }
  const more = keys - first.length;
  const rest = more > 0 || !isComplete ? `, and ${atLeast}${more} more` : '';
  return `: ${first.map((row) => describeRow(row, narrowing)).join(', ')}${rest}`;
}

function describeRow({ key, left, right }: RowDifference, narrowing: Narrowing): string {
  const values = key.map((value, n) => shownValue(value, typeOf(narrowing, n)));
  const names = narrowing.key.map(shownName);
  const row =
    key.length === 1 ? `${names[0]} = ${values[0]}` : `(${names.join(', ')}) = (${values.join(', ')})`;
  const [should, is] = [narrowing.left.title, narrowing.right.title];
  if (right === 0) return `${row} (missing in ${is}${left > 1 ? `, ${left} rows in ${should}` : ''})`;
  if (left === 0) return `${row} (extra in ${is}${right > 1 ? `, ${right} rows` : ''})`;
  return left === right ? row : `${row} (${right} rows in ${is}, ${left} in ${should})`;
}

function typeOf({ key, columns }: Narrowing, place: number): string {
  return columns.find((column) => column.name === key[place])?.type ?? '';
}

function shownName(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : identifier(name);
}

function shownValue(value: string | null, type: string): string {
  if (value === null) return 'NULL';
  if (/^(smallint|integer|bigint)$/.test(type)) return value;
  const line = value.replace(/\p{Cc}/gu, (control) => JSON.stringify(control).slice(1, -1));
  const text = line.length > maxShownLength ? `${line.slice(0, maxShownLength)}…` : line;
  return `'${text.replaceAll("'", "''")}'`;
}
