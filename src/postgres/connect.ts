/** Connections to PostgreSQL with the session settings that copying and comparing rely on. */
import { Client } from 'pg';
import { KirikaeError, failureType } from '../errors';
import { endSession, limits, shortly, socketOf, watch } from './deadline';
import { pinNetwork, pinned } from './pinned-settings';
import { clientConfig } from './url';

/** Sessions of a run carry this prefix in application_name, so that a fence and a successor can tell them apart. */
export const APPLICATION = 'kirikae';

// Commits survive a crash of the server, whatever database, role or server say; what they want beyond that stays.
const forGood = (setting: string) => `case ${setting} when 'remote_apply' then ${setting} else 'on' end`;

/** SQL: commits survive a crash of the server from here on again. */
export const commitForGood = `select pg_catalog.set_config('synchronous_commit', ${forGood('reset_val')}, false)
  from pg_catalog.pg_settings where name = 'synchronous_commit'`;

/**
 * Opens one session. Its statements are watched (`deadline.ts`): none hangs for ever.
 * @param url connection URL; @param label what the session is for, shown in pg_stat_activity
 * @throws the driver's error; an outage is recognised by `failureType`
 */
export async function connect(url: string, label: string): Promise<Client> {
  const client = new Client({
    ...clientConfig(url),
    application_name: `${APPLICATION} ${label}`.slice(0, 63),
    connectionTimeoutMillis: limits.reach,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  });
  // Without a listener a lost idle connection would end the process; the next query reports it.
  client.on('error', () => undefined);
  await client.connect();
  try {
    const identify = watch(client, url);
    const [backend] = await shortly<{ pid: number; start: string }>(client, pinAndIdentify);
    if (backend) identify(backend);
    await shortly(client, pinNetwork).catch((error: unknown) => {
      if (failureType(error) !== 'StepFailed') throw error;
    });
    return client;
  } catch (error) {
    await disconnect(client);
    throw error;
  }
}

// A fresh session's synchronous_commit is what database, role and server give it. The transaction says what it is: as a
// serializable, deferrable one it would wait for every other that writes.
const pinAndIdentify = `begin isolation level read committed, read write, not deferrable;
select ${pinned} as pinned,
  pg_catalog.set_config('synchronous_commit', ${forGood(`pg_catalog.current_setting('synchronous_commit')`)}, false),
  pg_catalog.pg_backend_pid() as pid,
  (select pg_catalog.to_char(backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')
   from pg_catalog.pg_stat_activity where pid = pg_catalog.pg_backend_pid()) as start;
end`;

/** Makes the session's settings ours again, after SQL that has its own. A transaction's end doesn't undo it. */
export async function pin(client: Client): Promise<void> {
  await shortly(client, `select ${pinned} as pinned`);
}

/** Ends a session, one that is gone already or whose server doesn't answer too. */
export async function disconnect(client: Client): Promise<void> {
  await endSession(client);
}

/** Cuts the connection at once, e.g. in the middle of a COPY; the server's side rolls back. */
export function destroy(client: Client): void {
  socketOf(client).destroy();
}

/** Runs `work` with a session of its own and ends it in every case. */
export async function withClient<T>(
  url: string,
  label: string,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const client = await connect(url, label);
  try {
    return await work(client);
  } finally {
    await disconnect(client);
  }
}

/**
 * Runs `work` in a transaction: committed when it returns, rolled back when it throws.
 * @throws what `work` throws; KirikaeError Outage when COMMIT isn't answered: only the database knows whether it was committed
 */
export async function inTransaction<T>(client: Client, work: () => Promise<T>, begin = 'begin'): Promise<T> {
  await client.query(begin);
  try {
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

/**
 * Runs `work` in the caller's transaction, which goes on when a statement of it fails: what it had done is undone then.
 * @returns null, or the failure @throws what is none (an outage, an operator's matter)
 */
export async function attempt(client: Client, work: () => Promise<unknown>): Promise<unknown> {
  await client.query('savepoint attempt');
  try {
    await work();
    await client.query('release savepoint attempt');
    return null;
  } catch (error) {
    if (failureType(error) !== 'StepFailed') throw error;
    await client.query('rollback to savepoint attempt');
    return error;
  }
}

/** The single row of a query that must return one; it may take long (for a short one: `shortly`). */
export async function one<T>(client: Client, sql: string, values: unknown[] = []): Promise<T> {
  const { rows } = await client.query(sql, values);
  if (rows.length !== 1) {
    throw new KirikaeError(
      'StepFailed',
      `A query returned ${rows.length} rows instead of one: ${sql.slice(0, 120)}`,
    );
  }
  return rows[0] as T;
}

/** The rows of a query; it may take long (for a short one: `shortly`). */
export async function all<T>(client: Client, sql: string, values: unknown[] = []): Promise<T[]> {
  return (await client.query(sql, values)).rows as T[];
}

/** True when there is a relation of that name, with its schema. */
export async function hasRelation(client: Client, name: string): Promise<boolean> {
  const { there } = await one<{ there: boolean }>(client, 'select to_regclass($1) is not null as there', [
    name,
  ]);
  return there;
}
