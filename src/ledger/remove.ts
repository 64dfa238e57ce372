/** The end of a ledger: its objects are dropped by name, never what somebody else has put beside them. */
import type { Client } from 'pg';
import { all } from '../postgres/connect';
import { ledgerTables } from './tables';

/**
 * Drops Kirikae's tables and its schema, in the caller's transaction if there is one.
 * @returns a sentence where somebody else's objects keep the schema from going
 */
export async function removeLedger(client: Client): Promise<string[]> {
  await client.query('set client_min_messages = warning');
  await client.query(`drop table if exists ${ledgerTables.map((name) => `kirikae.${name}`).join(', ')}`);
  const left = await all<{ name: string }>(
    client,
    `select pg_describe_object(d.classid, d.objid, 0) as name from pg_depend d
     where d.refclassid = 'pg_namespace'::regclass and d.refobjid = to_regnamespace('kirikae') and d.deptype = 'n' limit 5`,
  );
  if (left.length === 0) {
    await client.query('drop schema if exists kirikae');
    return [];
  }
  return [
    `The schema kirikae stays, because it holds what isn't Kirikae's: ${left.map(({ name }) => name).join(', ')}.`,
  ];
}
