/** Reads tables (or SELECTs) and sums their rows into counts and hashes, noted as they are done. */
import type { Client } from 'pg';
import { all, connect, destroy, disconnect } from '../postgres/connect';
import { identifiers } from '../postgres/sql';
import type { Phase } from './parts';
import { tableHashSql, type ColumnType, type HashMethod } from './row-hash';
import { beginReading } from './snapshot';

/** Something to hash: `name` is its key, `from` a relation or a sub-select in parentheses. */
export interface HashJob {
  name: string;
  from: string;
  columns: readonly ColumnType[];
}

export interface TableHash {
  rows: number;
  hash: string;
}

export interface Hashing {
  url: string;
  label: string;
  method: HashMethod;
  lanes: number;
  searchPath?: readonly string[];
  /** As in `CopyGroup`. */
  snapshot?: string;
  onTable?: (rows: number) => void;
  signal: AbortSignal;
  /** Where results are kept so that a retry goes on: a session on the database with the checkpoint tables. */
  notes?: { client: Client; phase: Phase; side: string };
}

/** Hashes every job, several at a time. @returns results by job name */
export async function hashTables(
  jobs: readonly HashJob[],
  hashing: Hashing,
): Promise<Map<string, TableHash>> {
  const results = await earlierResults(hashing);
  const queue = jobs.filter((job) => !results.has(job.name));
  // The lanes share the session that notes results: one after the other.
  let noted = Promise.resolve();
  const lane = async () => {
    if (queue.length === 0) return;
    const client = await connect(hashing.url, `${hashing.label} hash`);
    const cut = () => destroy(client);
    hashing.signal.addEventListener('abort', cut);
    try {
      if (hashing.searchPath?.length)
        await client.query(`set search_path = ${identifiers(hashing.searchPath)}`);
      if (hashing.snapshot) await beginReading(client, hashing.snapshot);
      for (let job = queue.shift(); job; job = queue.shift()) {
        hashing.signal.throwIfAborted();
        const { rows } = await client.query<{ rows: string; hash: string }>(
          tableHashSql(job.from, job.columns, hashing.method),
        );
        const result = { rows: Number(rows[0]?.rows), hash: rows[0]?.hash ?? '' };
        results.set(job.name, result);
        hashing.onTable?.(result.rows);
        const { name } = job;
        noted = noted.then(() => note(hashing, name, result));
        await noted;
      }
    } catch (error) {
      queue.length = 0;
      throw error;
    } finally {
      hashing.signal.removeEventListener('abort', cut);
      await disconnect(client);
    }
  };
  const done = await Promise.allSettled(Array.from({ length: Math.min(hashing.lanes, queue.length) }, lane));
  hashing.signal.throwIfAborted();
  for (const result of done) if (result.status === 'rejected') throw result.reason;
  return results;
}

async function earlierResults({ notes }: Hashing): Promise<Map<string, TableHash>> {
  if (!notes) return new Map();
  const rows = await all<{ name: string; rows: string; hash: string }>(
    notes.client,
    'select name, rows, hash from kirikae.table_hash where phase = $1 and attempt = $2 and side = $3',
    [notes.phase.name, notes.phase.attempt, notes.side],
  );
  return new Map(rows.map((row) => [row.name, { rows: Number(row.rows), hash: row.hash }]));
}

async function note({ notes }: Hashing, name: string, result: TableHash): Promise<void> {
  if (!notes) return;
  await notes.client.query(
    `insert into kirikae.table_hash (phase, attempt, side, name, rows, hash) values ($1, $2, $3, $4, $5, $6)
     on conflict (phase, attempt, side, name) do update set rows = excluded.rows, hash = excluded.hash`,
    [notes.phase.name, notes.phase.attempt, notes.side, name, result.rows, result.hash],
  );
}
