/** Applying a dump's entries. */
import type { Client } from 'pg';
import { failWith } from '../errors';
import { pin } from './connect';

/**
 * Applies DDL entries as one query, hence in one transaction.
 * @param what it is, as in "The new schema's keys can't be applied"
 * @throws KirikaeError StepFailed when the server refuses it; an outage as such
 */
export async function applyDdl(client: Client, sql: string, what: string): Promise<void> {
  try {
    await client.query(sql);
  } catch (error) {
    failWith(error, (why) => `The ${what} can't be applied to database ${client.database ?? ''}: ${why}.`);
  } finally {
    // A dump's prelude leaves its own session settings behind. In a transaction that failed its rollback puts them back.
    await pin(client).catch(() => undefined);
  }
}
