/** Ending other sessions of a server: those a condition names, once or until they are gone. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Client } from 'pg';
import { codeOf } from '../errors';
import { shortly } from './deadline';

/** Which sessions: an SQL condition over pg_stat_activity with its values. The session that asks is never among them. */
export interface Which {
  where: string;
  values: readonly unknown[];
}

/** Sessions as messages name them: `pid 17 of app (psql)`. */
export interface Ended {
  /** All that were told to end, and those that may not be. */
  found: string[];
  /** Those that this user may not end, with the server's error. */
  refused: { who: string; error: unknown }[];
}

/** Tells sessions to end, without waiting for them. @throws the driver's error, but for sessions that this user may not end */
export async function endSessions(client: Client, { where, values }: Which): Promise<Ended> {
  const sessions = await shortly<{ pid: number; who: string }>(
    client,
    `select pid, format('pid %s of %s (%s)', pid, usename, coalesce(nullif(application_name, ''), 'unnamed')) as who
     from pg_stat_activity where pid <> pg_backend_pid() and (${where})`,
    [...values],
  );
  const refused: Ended['refused'] = [];
  for (const { pid, who } of sessions) {
    await shortly(client, 'select pg_terminate_backend($1)', [pid]).catch((error: unknown) => {
      if (codeOf(error) !== '42501') throw error;
      refused.push({ who, error });
    });
  }
  return { found: sessions.map(({ who }) => who), refused };
}

/** Tells sessions to end, without waiting for them. @throws the server's error when one may not be ended */
export async function mustEndSessions(client: Client, which: Which): Promise<void> {
  const { refused } = await endSessions(client, which);
  for (const { error } of refused) throw error;
}

/**
 * Ends sessions, those that come back too, and waits until none is left.
 * @returns who is left: when the patience is over, or when none of them may be ended
 */
export async function endUntilGone(client: Client, which: Which, patienceMs: number): Promise<Ended> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const ended = await endSessions(client, which);
    if (ended.found.length === ended.refused.length || Date.now() > deadline) return ended;
    await wait(50);
  }
}
