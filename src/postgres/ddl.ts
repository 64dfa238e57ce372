/** Applying a dump's entries. */
import type { Client } from 'pg';
import { failWith } from '../errors';

/**
 * Applies DDL entries as one query, hence in one transaction.
 * @param what it is, as in "The new schema's keys can't be applied"
 * @throws KirikaeError StepFailed when the server refuses it; an outage as such
 */
export async function applyDdl(client: Client, sql: string, what: string): Promise<void> {
  try {
    await client.query(`set client_min_messages = warning;\n${sql}`);
  } catch (error) {
    failWith(error, (why) => `The ${what} can't be applied to database ${client.database ?? ''}: ${why}.`);
  } finally {
    // A dump's prelude leaves its own session settings behind.
    await client
      .query(
        `set client_min_messages = warning; set row_security = off; set check_function_bodies = on; set search_path = ''`,
      )
      .catch(() => undefined);
  }
}
