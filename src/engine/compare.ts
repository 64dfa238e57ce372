/** Reads tables (or SELECTs) and sums their rows into counts and hashes, noted as they are done. */
import type { Client } from 'pg';
import { all } from '../postgres/connect';
import type { Work } from '../postgres/endpoint';
import { inSessions } from '../postgres/lanes';
import { settingOwn, type OwnSettings } from '../postgres/own-settings';
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

export interface Hashing extends Work {
  url: string;
  method: HashMethod;
  searchPath?: readonly string[];
  /** Production's, for the expressions of a mapping; stored rows are hashed under the pins. */
  own?: OwnSettings;
  /** The snapshot that a live database is read at (`holdSnapshot`). */
  snapshot?: string;
  /** Where results are kept so that a retry goes on: a session on the database with the checkpoint tables. */
  notes?: { client: Client; phase: Phase; side: string };
}

/** Hashes every job, several at a time. @returns results by job name */
export async function hashTables(
  jobs: readonly HashJob[],
  hashing: Hashing,
): Promise<Map<string, TableHash>> {
  const results = await earlierResults(hashing);
  const open = jobs.filter((job) => !results.has(job.name));
  const prepare = async (client: Client) => {
    if (hashing.searchPath?.length)
      await client.query(`set search_path = ${identifiers(hashing.searchPath)}`);
    if (hashing.own) await client.query(settingOwn(hashing.own));
    if (hashing.snapshot) await beginReading(client, hashing.snapshot);
  };
  // The lanes share the session that notes results: one after the other.
  let noted = Promise.resolve();
  const hash = async (client: Client, { name, from, columns }: HashJob) => {
    const sql = tableHashSql(from, columns, hashing.method);
    const { rows } = await client.query<{ rows: string; hash: string }>(sql);
    const result = { rows: Number(rows[0]?.rows), hash: rows[0]?.hash ?? '' };
    results.set(name, result);
    hashing.onProgress?.(result.rows, 0);
    noted = noted.then(() => note(hashing, name, result));
    await noted;
  };
  const { url, label, lanes, signal } = hashing;
  await inSessions(open, { url, label: `${label} hash`, lanes, signal, prepare }, hash);
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
