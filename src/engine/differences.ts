/** Hashes of two sides held against each other: a sentence for each table that differs, with the rows in which it does. */
import type { Endpoint } from '../postgres/endpoint';
import { qualified } from '../postgres/sql';
import type { HashJob, TableHash } from './compare';
import { describeDifferingRows, readPrimaryKey, type Narrowing } from './narrow';
import { readStoredTables, type StoredTable } from './tables';

/** A database whose stored tables are one side of a comparison. */
export interface StoredSide extends Endpoint {
  tables: readonly StoredTable[];
}

/** The database with what its schemas store. */
export async function storedSide(endpoint: Endpoint, schemas: readonly string[]): Promise<StoredSide> {
  return { ...endpoint, tables: await readStoredTables(endpoint.client, schemas) };
}

/** Says which rows of a table differ, as text that follows the sentence about the table. */
export type Narrow = (name: string) => Promise<string>;

/** More problems than this are not put into a message, so their rows aren't looked for either. */
export const maxProblems = 10;

/**
 * Tables that differ, are missing or are too many, one sentence each.
 * @param titles what a message calls the two; @param narrow called for the first tables that are on both sides and differ
 */
export async function describeDifferences(
  [before, after]: readonly [ReadonlyMap<string, TableHash>, ReadonlyMap<string, TableHash>],
  [left, right]: readonly [string, string],
  narrow: Narrow,
): Promise<string[]> {
  const problems: string[] = [];
  for (const [name, { rows, hash }] of before) {
    const other = after.get(name);
    if (!other) {
      problems.push(`table ${name} is missing in ${right}`);
    } else if (other.rows !== rows || other.hash !== hash) {
      const counts =
        other.rows === rows
          ? `has ${rows} rows on both sides, but their content differs`
          : `has ${rows} rows in ${left} and ${other.rows} in ${right}`;
      problems.push(`table ${name} ${counts}${problems.length < maxProblems ? await narrow(name) : ''}`);
    }
  }
  for (const name of after.keys())
    if (!before.has(name)) problems.push(`table ${name} is missing in ${left}`);
  return problems;
}

/** Narrows tables that both databases store. The key comes from the side that has it: a copy gets its own last. */
export function narrowStored(
  left: StoredSide,
  right: StoredSide,
  reading: Pick<Narrowing, 'method' | 'label' | 'signal'>,
): Narrow {
  return async (name) => {
    const [mine, yours] = [left, right].map(({ tables }) =>
      tables.find((table) => qualified(table) === name),
    );
    if (!mine || !yours) return '';
    const [job, other] = [hashJob(mine), hashJob(yours)];
    if (JSON.stringify(job.columns) !== JSON.stringify(other.columns))
      return ' (its columns are not the same on both sides)';
    const ownKey = await readPrimaryKey(left.client, mine);
    return describeDifferingRows({
      ...reading,
      left: { url: left.url, title: left.title, from: job.from },
      right: { url: right.url, title: right.title, from: other.from },
      columns: job.columns,
      key: ownKey.length > 0 ? ownKey : await readPrimaryKey(right.client, yours),
    });
  };
}

/** How a stored table is hashed: every column, generated ones too. */
export function hashJob(table: StoredTable): HashJob {
  return {
    name: qualified(table),
    from: `only ${qualified(table)}`,
    columns: [...table.columns, ...table.generated],
  };
}
