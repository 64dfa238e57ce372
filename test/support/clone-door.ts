/** Plans whose backup is a clone, and CREATE DATABASE … TEMPLATE held up at its template's door. */
import { Client } from 'pg';
import { query } from '../../lab/stage';
import { testPostgres } from './environment';

/** Lets the plan's backup be a clone. */
export function clone(plan: Record<string, unknown>): void {
  const { backup } = plan.databases as { backup: Record<string, unknown> };
  backup.method = 'clone';
  delete backup.create;
}

/** Holds clones of a database, by the lock of a comment that is never made, until `open`. */
export async function holdClones(
  template: string,
): Promise<{ reached: (name: string) => Promise<boolean>; open: () => Promise<void> }> {
  const client = new Client({ connectionString: testPostgres().url('postgres') });
  await client.connect();
  await client.query(`begin; comment on database "${template}" is 'held'`);
  return {
    // By a session of its own: within a transaction pg_stat_activity stands still.
    reached: async (name) => {
      const sql = `select 1 from pg_stat_activity a join pg_locks l using (pid)
        where query like $1 and l.classid = 'pg_database'::regclass and not granted`;
      return (await query(testPostgres().url('postgres'), sql, [`create database %${name}%`])).length > 0;
    },
    open: () => client.end(),
  };
}
