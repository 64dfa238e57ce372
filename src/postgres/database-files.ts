/** Databases of one server as a whole, while nobody is in them: copied by their files. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Client } from 'pg';
import { KirikaeError, codeOf } from '../errors';
import { one, withClient } from './connect';
import type { Pair, Place } from './endpoint';
import { endSessions, endUntilGone, mustEndSessions } from './sessions';
import { identifier } from './sql';
import { otherDatabase } from './url';
import { majorVersion } from './versions';

/** Sessions in the database `postgres`: the owner creates databases, the signaller ends who is in them. */
export interface ServerSessions {
  owner: Client;
  signaller: Client;
}

// How long sessions that come back are ended again before giving up.
const patienceMs = 60_000;

/** Opens both sessions for `work` and ends them in every case: the backup's user creates, production's ends sessions. */
export async function withServer<T>(
  { production, backup }: Pair<Place>,
  label: string,
  work: (server: ServerSessions) => Promise<T>,
): Promise<T> {
  return withClient(otherDatabase(backup.url, 'postgres'), label, (owner) =>
    withClient(otherDatabase(production.url, 'postgres'), `${label} signaller`, (signaller) =>
      work({ owner, signaller }),
    ),
  );
}

/** Ends what workers that were killed or frozen left running. @param pattern LIKE pattern of their application_name */
export async function endPredecessors(client: Client, pattern: string): Promise<void> {
  const which = { where: 'application_name like $1', values: [pattern] };
  const { found, refused } = await endUntilGone(client, which, patienceMs);
  for (const { error } of refused) throw error;
  if (found.length > 0)
    throw new KirikaeError('Outage', 'Sessions of an earlier attempt do not end; trying again.');
}

/**
 * Creates database `to` from the files of `from`. CREATE DATABASE itself lets nobody into its template from its start to its
 * end (who connects waits), so that nothing has to be put back after a crash; who is in when it starts is ended.
 * @returns null, or who could not be ended
 */
export async function copyFiles(
  server: ServerSessions,
  { from, to }: { from: string; to: string },
  signal: AbortSignal,
): Promise<string[] | null> {
  const { owner } = server;
  const strategy = (await majorVersion(owner)) >= 15 ? ' strategy file_copy' : '';
  const sql = `create database ${identifier(to)} template ${identifier(from)}${strategy}`;
  return whileEmpty(server, { database: from, signal }, () => owner.query(sql));
}

/**
 * Lets the owner act on a database that must be without sessions, which are ended until it gets through.
 * @param act waits up to five seconds by itself for sessions to end (as PostgreSQL does), repeated for a minute
 * @returns null when it is done, else who could not be ended
 */
async function whileEmpty(
  { owner, signaller }: ServerSessions,
  { database, signal }: { database: string; signal: AbortSignal },
  act: () => Promise<unknown>,
): Promise<string[] | null> {
  const { pid } = await one<{ pid: number }>(owner, 'select pg_backend_pid() as pid');
  // Autovacuum makes way by itself.
  const inside = {
    where: `datname = $1 and backend_type is distinct from 'autovacuum worker'`,
    values: [database],
  };
  const deadline = Date.now() + patienceMs;
  for (;;) {
    signal.throwIfAborted();
    let over = false;
    const acted = act()
      .then(
        () => ({ error: null }),
        (error: unknown) => ({ error }),
      )
      .finally(() => (over = true));
    let remaining: string[] = [];
    while (!over) {
      if (signal.aborted) {
        await mustEndSessions(signaller, { where: 'pid = $1', values: [pid] });
        await acted;
        break;
      }
      const { refused } = await endSessions(signaller, inside);
      remaining = refused.map(({ who }) => who);
      await Promise.race([acted, wait(100)]);
    }
    signal.throwIfAborted();
    const { error } = await acted;
    if (error === null) return null;
    if (codeOf(error) !== '55006') throw error as Error;
    if (Date.now() > deadline) return remaining;
  }
}
