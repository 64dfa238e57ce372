/** Fills Tumiki's schema as it is before the migration with made-up rows: many ordinary ones, and every awkward one we know. */
import type { ClientBase } from 'pg';
import { identifier } from '../../src/postgres/sql';
import { insertAwkwardRows } from './made-up/awkward-rows';
import { ordinaryRows } from './made-up/ordinary-rows';

export interface GenerateOptions {
  /** Ordinary users, each with about 75 rows in all tables; the awkward rows come on top. 0 leaves the database empty. */
  users: number;
  /** Another seed gives other ids and values. */
  seed?: number;
}

/**
 * Fills an empty *before* schema, in one transaction, the same way for the same options.
 * `client` has to own the tables: foreign keys are dropped, and checked again in bulk when the rows are in.
 */
export async function generateTumiki(client: ClientBase, options: GenerateOptions): Promise<void> {
  if (options.users === 0) return;
  await client.query('begin');
  try {
    const restoreForeignKeys = await dropForeignKeys(client);
    for (const statement of ordinaryRows(options.users, options.seed ?? 1)) await client.query(statement);
    await insertAwkwardRows(client);
    await restoreForeignKeys();
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
  await client.query('analyze');
}

async function dropForeignKeys(client: ClientBase): Promise<() => Promise<void>> {
  const { rows } = await client.query<{ table: string; name: string; definition: string }>(`
    select conrelid::regclass::text as "table", conname as name, pg_get_constraintdef(oid) as definition
      from pg_constraint where contype = 'f' and connamespace = 'public'::regnamespace order by 1, 2`);
  for (const key of rows)
    await client.query(`alter table ${key.table} drop constraint ${identifier(key.name)}`);
  return async () => {
    for (const key of rows) {
      await client.query(`alter table ${key.table} add constraint ${identifier(key.name)} ${key.definition}`);
    }
  };
}
