/** Rows written after `verify`: PostgreSQL's write counters, kept in the ledger and compared with it. */
import type { Client } from 'pg';
import { all, one } from '../postgres/connect';
import { qualified } from '../postgres/sql';

/** Cumulative write counters of the managed tables: what was written after `verify` is counted against them. */
async function readCounters(client: Client, schemas: readonly string[]): Promise<Map<string, number>> {
  await client.query('select pg_stat_clear_snapshot()');
  const rows = await all<{ schema: string; name: string; written: string }>(
    client,
    `select schemaname as schema, relname as name, n_tup_ins + n_tup_upd + n_tup_del as written
     from pg_stat_all_tables where schemaname = any($1)`,
    [schemas],
  );
  return new Map(rows.map((row) => [qualified(row), Number(row.written)]));
}

/** Keeps the counters in the ledger, in place of earlier ones. In the caller's transaction. */
export async function keepCounters(client: Client, schemas: readonly string[]): Promise<void> {
  const counters = await readCounters(client, schemas);
  await client.query('delete from kirikae.counters');
  await client.query(
    `insert into kirikae.counters (table_schema, table_name, written) select '', name, written from unnest($1::text[], $2::bigint[]) as c(name, written)`,
    [[...counters.keys()], [...counters.values()]],
  );
  await client.query('delete from kirikae.reading');
  await client.query(`insert into kirikae.reading (stats_reset, started) ${countedSince}`);
}

/** Since when the counters count: a crash or a reset of statistics begins them anew. */
const countedSince = `select stats_reset, pg_postmaster_start_time() from pg_stat_database where datname = current_database()`;

/** What was written since the counters were kept. */
export interface LateWrites {
  /** False when statistics were reset or the server started again, so that it can't be told. */
  isKnown: boolean;
  tables: { name: string; rows: number }[];
}

/** Rows written to the managed tables since the counters were kept; nothing where none were. */
export async function writtenSince(client: Client, schemas: readonly string[]): Promise<LateWrites> {
  const now = await readCounters(client, schemas);
  const kept = await all<{ name: string; written: string }>(
    client,
    'select table_name as name, written from kirikae.counters',
  );
  if (kept.length === 0) return { isKnown: true, tables: [] };
  const { same } = await one<{ same: boolean }>(
    client,
    `select exists (select from kirikae.reading r, (${countedSince}) as now(stats_reset, started)
       where r.stats_reset is not distinct from now.stats_reset and r.started = now.started) as same`,
  );
  const before = new Map(kept.map(({ name, written }) => [name, Number(written)]));
  const tables = [...now].flatMap(([name, written]) => {
    const rows = written - (before.get(name) ?? 0);
    return rows > 0 ? [{ name, rows }] : [];
  });
  return { isKnown: same, tables };
}

/** True when it is known that nothing was written. */
export function isUntouched({ isKnown, tables }: LateWrites): boolean {
  return isKnown && tables.length === 0;
}

/** A sentence a table. */
export function describeLateWrites({ tables }: LateWrites): string[] {
  return tables.map(
    ({ name, rows }) => `${rows} ${rows === 1 ? 'row was' : 'rows were'} written to ${name} after verify.`,
  );
}
