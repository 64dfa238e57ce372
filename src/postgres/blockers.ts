/** Who blocks: after a lock time-out the sessions that hold locks, in words for an operator. */
import type { Client } from 'pg';
import { KirikaeError, codeOf, sentence } from '../errors';
import { shortly } from './deadline';
import { sessionInWords } from './session-in-words';

// Lock time-out and deadlock.
const lockStates = ['55P03', '40P01'];
const maxNamed = 5;

/**
 * Runs `work`, a transaction that takes locks. When it doesn't get one in time, the error names who holds locks on tables of
 * the schemas, or of the ledger, the oldest first.
 * @throws KirikaeError Outage for a lock time-out and a deadlock; else what `work` throws
 */
export async function namingBlockers<T>(
  client: Client,
  schemas: readonly string[],
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!lockStates.includes(codeOf(error) ?? '')) throw error;
    const holders = await holdersOfLocks(client, schemas);
    const who =
      holders.length > 0
        ? `Locks are held by ${holders.slice(0, maxNamed).join('; ')}. End them where they don't end by themselves`
        : 'Whoever held it has let go since';
    throw new KirikaeError(
      'Outage',
      `A lock was not had in time: ${sentence(error)}. ${who}; the step tries again.`,
      { cause: error },
    );
  }
}

// A prepared transaction has no session.
async function holdersOfLocks(client: Client, schemas: readonly string[]): Promise<string[]> {
  const rows = await shortly<{ who: string }>(
    client,
    `with held as (
       select l.pid, l.virtualtransaction, string_agg(distinct format('%I.%I', n.nspname, c.relname), ', ') as names
       from pg_catalog.pg_locks l join pg_catalog.pg_class c on c.oid = l.relation
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       where l.granted and l.locktype = 'relation' and l.pid is distinct from pg_backend_pid()
         and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
         and c.relkind in ('r', 'p', 'm') and n.nspname = any($1)
       group by l.pid, l.virtualtransaction)
     select coalesce(${sessionInWords}, format('the prepared transaction %s', p.gid), 'a session that is gone')
       || format(' (on %s%s)', left(held.names, 200), case when length(held.names) > 200 then ' …' else '' end) as who
     from held left join pg_catalog.pg_stat_activity a on a.pid = held.pid
       left join pg_catalog.pg_locks x on held.pid is null and x.pid is null and x.locktype = 'transactionid'
         and x.virtualtransaction = held.virtualtransaction
       left join pg_catalog.pg_prepared_xacts p on p.transaction = x.transactionid
     order by coalesce(a.xact_start, p.prepared, a.backend_start)`,
    [[...schemas, 'kirikae']],
  );
  return rows.map(({ who }) => who);
}
