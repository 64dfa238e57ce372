/** Room for sessions: what servers, users and databases have left, and how many groups may be copied at a time on all hosts together. */
import type { Client } from 'pg';
import { one } from '../postgres/connect';

// A reading and a writing session; both may be on one server.
const sessionsPerGroup = 2;
// What others, and this run's other activities, still need.
const kept = 10;
// Eight hosts of two cores.
const most = 24;

/** @param servers a session on each server that takes part */
export async function groupsInFlight(servers: readonly Client[]): Promise<number> {
  const rooms = await Promise.all(servers.map((client) => roomOf(client)));
  const least = Math.min(...rooms.map(freeSessions)) - kept;
  return Math.max(1, Math.min(most, Math.floor(least / sessionsPerGroup)));
}

export interface Limit {
  /** Sessions that there may be. */
  most: number;
  inUse: number;
}

/** What limits the sessions of a user in a database; null where there is no such limit. */
export interface Room {
  /** The same for two databases of one server. */
  server: string;
  user: string;
  database: string;
  ofServer: Limit;
  ofUser: Limit | null;
  ofDatabase: Limit | null;
}

/** Sessions that may still be opened. */
export function freeSessions({ ofServer, ofUser, ofDatabase }: Room): number {
  return Math.min(
    ...[ofServer, ofUser, ofDatabase].map((limit) => (limit ? limit.most - limit.inUse : Infinity)),
  );
}

/**
 * The limits of server, user and database; the latter two don't hold for superusers.
 * @param passing application_name of sessions that are about to end and don't count
 */
export async function roomOf(client: Client, passing: string | null = null): Promise<Room> {
  const row = await one<{
    server: string;
    user: string;
    database: string;
    most: number[];
    inUse: number[];
  }>(
    client,
    `select pg_postmaster_start_time()::text as server, current_user as user, current_database() as database,
       array[current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0),
         case when rolsuper then -1 else rolconnlimit end, case when rolsuper then -1 else datconnlimit end] as most,
       array[count(a.pid), count(a.pid) filter (where a.usename = current_user),
         count(a.pid) filter (where a.datname = current_database())]::int[] as "inUse"
     from pg_roles join pg_database d on d.datname = current_database()
       left join pg_stat_activity a on coalesce(backend_type, 'client backend') = 'client backend' 
         and ($1::text is null or application_name is distinct from $1)
     where rolname = current_user
     group by rolsuper, rolconnlimit, datconnlimit`,
    [passing],
  );
  const limit = (index: number) => ({ most: row.most[index] ?? 0, inUse: row.inUse[index] ?? 0 });
  const unlessNone = (found: Limit) => (found.most < 0 ? null : found);
  const { server, user, database } = row;
  return {
    server,
    user,
    database,
    ofServer: limit(0),
    ofUser: unlessNone(limit(1)),
    ofDatabase: unlessNone(limit(2)),
  };
}
