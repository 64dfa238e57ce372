/** Connections to PostgreSQL with the session settings that copying and comparing rely on. */
import { Client } from 'pg';
import { KirikaeError } from '../errors';
import { clientConfig } from './url';

/** Sessions of a run carry this prefix in application_name, so that a fence and a successor can tell them apart. */
export const APPLICATION = 'kirikae';

// Text forms must not depend on a role's or database's settings, and no time-out may cut a long copy short.
const sessionSettings: Record<string, string> = {
  search_path: '',
  default_transaction_read_only: 'off',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  client_encoding: 'UTF8',
  standard_conforming_strings: 'on',
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  extra_float_digits: '3',
  bytea_output: 'hex',
  xmloption: 'content',
  row_security: 'off',
  tcp_keepalives_idle: '10',
  tcp_keepalives_interval: '5',
  tcp_keepalives_count: '3',
  client_connection_check_interval: '2s',
};

/**
 * Opens one session.
 * @param url connection URL; @param label what the session is for, shown in pg_stat_activity
 * @throws the driver's error; an outage is recognised by `failureType`
 */
export async function connect(url: string, label: string): Promise<Client> {
  const client = new Client({
    ...clientConfig(url),
    application_name: `${APPLICATION} ${label}`.slice(0, 63),
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  });
  // Without a listener a lost idle connection would end the process; the next query reports it.
  client.on('error', () => undefined);
  await client.connect();
  try {
    const names = Object.keys(sessionSettings);
    await client.query(
      // A setting that this server doesn't know or allow is left alone.
      `select set_config(s.name, wanted.value, false) from unnest($1::text[], $2::text[]) as wanted(name, value)
       join pg_catalog.pg_settings s on lower(s.name) = lower(wanted.name)`,
      [names, Object.values(sessionSettings)],
    );
    await client.query(
      `select set_config(name, '0', false) from pg_catalog.pg_settings where name = 'transaction_timeout'`,
    );
    return client;
  } catch (error) {
    await disconnect(client);
    throw error;
  }
}

/** Ends a session and swallows the error of one that is gone already. */
export async function disconnect(client: Client): Promise<void> {
  await client.end().catch(() => undefined);
}

/** Cuts the connection at once, e.g. in the middle of a COPY; the server's side rolls back. */
export function destroy(client: Client): void {
  const { connection } = client as unknown as { connection: { stream: { destroy(): void } } };
  connection.stream.destroy();
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

/** Runs `work` in a transaction: committed when it returns, rolled back when it throws. */
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

/** The single row of a query that must return one. */
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

export async function all<T>(client: Client, sql: string, values: unknown[] = []): Promise<T[]> {
  return (await client.query(sql, values)).rows as T[];
}
