/** How many groups may be copied at a time on all hosts together, by the sessions that the servers have left. */
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
  const rooms = await Promise.all(servers.map(freeSessions));
  const least = Math.min(...rooms) - kept;
  return Math.max(1, Math.min(most, Math.floor(least / sessionsPerGroup)));
}

/** Sessions that this user may still open in this database: by the server's, the role's and the database's limit. */
async function freeSessions(client: Client): Promise<number> {
  const { free } = await one<{ free: number }>(
    client,
    `select least(
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true)::int, 0) - count(*),
       nullif(rolconnlimit, -1) - count(*) filter (where a.usename = current_user),
       nullif(datconnlimit, -1) - count(*) filter (where a.datname = current_database()))::int as free
     from pg_roles, pg_database d, pg_stat_activity a
     where rolname = current_user and d.datname = current_database()
       and coalesce(backend_type, 'client backend') = 'client backend'
     group by rolconnlimit, datconnlimit`,
  );
  return free;
}
