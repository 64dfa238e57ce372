/** Rows written after `verify`: PostgreSQL's write counters, kept in the ledger and compared with it. */
import type { Client } from 'pg';
import { all, inTransaction } from '../postgres/connect';
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

/** Keeps the counters in the ledger, in place of earlier ones. */
export async function keepCounters(client: Client, schemas: readonly string[]): Promise<void> {
  const counters = await readCounters(client, schemas);
  await inTransaction(client, async () => {
    await client.query('delete from kirikae.counters');
    await client.query(
      `insert into kirikae.counters (table_schema, table_name, written) select '', name, written from unnest($1::text[], $2::bigint[]) as c(name, written)`,
      [[...counters.keys()], [...counters.values()]],
    );
  });
}

/** Sentences about rows written since the counters were kept. */
export async function writtenSince(client: Client, schemas: readonly string[]): Promise<string[]> {
  const now = await readCounters(client, schemas);
  const kept = await all<{ name: string; written: string }>(
    client,
    'select table_name as name, written from kirikae.counters',
  );
  return kept.flatMap(({ name, written }) => {
    const more = (now.get(name) ?? 0) - Number(written);
    return more > 0
      ? [
          `${more} ${more === 1 ? 'row was' : 'rows were'} written to ${name} after verify; the way back does not keep them.`,
        ]
      : [];
  });
}
