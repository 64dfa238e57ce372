/** Applying a dump's entries. */
import type { Client } from 'pg';
import { KirikaeError, sentence } from '../errors';

/** Applies DDL entries as one query, hence in one transaction. */
export async function applyDdl(client: Client, sql: string, what: string): Promise<void> {
  try {
    await client.query(`set client_min_messages = warning;\n${sql}`);
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code && /^(08|57P|53)/.test(code)) throw error;
    throw new KirikaeError(
      'StepFailed',
      `The ${what} can't be applied to database ${client.database ?? ''}: ${sentence(error)}.`,
      {
        cause: error,
      },
    );
  } finally {
    // A dump's prelude leaves its own session settings behind.
    await client
      .query(
        `set client_min_messages = warning; set row_security = off; set check_function_bodies = on; set search_path = ''`,
      )
      .catch(() => undefined);
  }
}
