/** Witnesses of tables: what PostgreSQL counts and keeps of them. While a witness stays the same, nobody has written to its table. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Client } from 'pg';
import { notOfExtension } from '../postgres/extensions';
import { all, hasRelation, one } from '../postgres/connect';
import { qualified } from '../postgres/sql';

/** Where witnesses are noted. */
export type Noted = 'kirikae.sealed_table' | 'kirikae.kept_table';

interface Witness {
  /** Quoted. */
  name: string;
  witness: string;
}

// Another database (a copy), another start of the server, a crash (which drops all counters) and a reset of the statistics give
// other texts too: then nothing can be told.
const witnesses = `
  select n.nspname as schema, c.relname as name, concat_ws(' ', 'database', d.oid, 'start', pg_postmaster_start_time(),
     'statistics', coalesce(pg_stat_get_db_stat_reset_time(d.oid)::text, 'whole'), (select coalesce(stats_reset::text, 'whole') from pg_stat_bgwriter),
     'table', c.oid, coalesce(pg_relation_filenode(c.oid)::text, 'none'),
     'written', pg_stat_get_tuples_inserted(c.oid), pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_deleted(c.oid)) as witness
   from pg_class c join pg_namespace n on n.oid = c.relnamespace, pg_database d
   where d.datname = current_database() and n.nspname = any($1) and c.relkind = 'r' and ${notOfExtension('pg_class', 'c.oid')}`;

async function readWitnesses(client: Client, schemas: readonly string[]): Promise<Witness[]> {
  // Within a transaction statistics stand still once they were looked at.
  await client.query('select pg_stat_clear_snapshot()');
  const rows = await all<{ schema: string; name: string; witness: string }>(client, witnesses, [schemas]);
  return rows.map((row) => ({ name: qualified(row), witness: row.witness }));
}

/**
 * Notes the witnesses of the schemas' tables; those that were noted before stay. To be called before the rows are read that are
 * to be vouched for, so that what is written after that reading, or counted late, shows as a change.
 */
export async function noteWitnesses(client: Client, noted: Noted, schemas: readonly string[]): Promise<void> {
  const found = await readWitnesses(client, schemas);
  await client.query(
    `insert into ${noted} (name, witness) select * from unnest($1::text[], $2::text[]) on conflict do nothing`,
    [found.map(({ name }) => name), found.map(({ witness }) => witness)],
  );
}

/** The tables, by their quoted names, that nobody has written to since their witnesses were noted, as far as can be told. */
export async function untouchedTables(
  client: Client,
  noted: Noted,
  schemas: readonly string[],
): Promise<Set<string>> {
  if (!(await hasRelation(client, noted)) || !(await countsAreWhole(client))) return new Set();
  const before = await all<Witness>(client, `select name, witness from ${noted}`);
  const now = new Map((await readWitnesses(client, schemas)).map(({ name, witness }) => [name, witness]));
  return new Set(before.filter(({ name, witness }) => now.get(name) === witness).map(({ name }) => name));
}

// A session adds what it wrote to the counters within ten seconds of its transaction, and when it ends; before PostgreSQL 15 by
// messages that may be lost. So nothing is told while anybody else is there.
async function countsAreWhole(client: Client): Promise<boolean> {
  const { whole } = await one<{ whole: boolean }>(
    client,
    `select current_setting('server_version_num')::int >= 150000 and current_setting('track_counts')::boolean and not exists (
       select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
         and coalesce(backend_type, '') not in ('autovacuum worker', 'parallel worker')
         and coalesce(application_name, '') not like 'kirikae %') as whole`,
  );
  return whole;
}

const settlingMs = 5_000;

/**
 * Waits until the counters have what was just copied, as sessions report it after their end; not for ever: what is counted later
 * only means that the table is read again.
 * @param phase whose copies, with checkpoints in this database
 */
export async function waitForCounters(
  client: Client,
  phase: { name: string; attempt: number },
): Promise<void> {
  const deadline = Date.now() + settlingMs;
  for (;;) {
    await client.query('select pg_stat_clear_snapshot()');
    const { late } = await one<{ late: boolean }>(
      client,
      `select exists (select from (select target, sum(rows) as rows from kirikae.part where phase = $1 and attempt = $2 group by target) p
         where pg_stat_get_tuples_inserted(to_regclass(p.target)) < p.rows) as late`,
      [phase.name, phase.attempt],
    );
    if (!late || Date.now() > deadline) return;
    await wait(50);
  }
}
