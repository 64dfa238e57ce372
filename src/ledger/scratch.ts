/** Whose a scratch database (backup, shadow) is, and emptying one that is ours. */
import type { Client } from 'pg';
import { LEDGER_SCHEMA } from '../contract';
import { one, all, inTransaction } from '../postgres/connect';
import { notOfExtension } from '../postgres/extensions';
import { emptySchemas } from '../postgres/managed-schemas';

/** What a scratch database (backup, shadow) holds: nothing, our marker, or something foreign. */
export async function describeScratch(
  client: Client,
): Promise<{ kind: 'empty' } | { kind: 'ours' } | { kind: 'foreign'; objects: string[] }> {
  const { marked } = await one<{ marked: boolean }>(
    client,
    `select to_regclass('kirikae.backup') is not null or to_regclass('kirikae.shadow') is not null as marked`,
  );
  if (marked) return { kind: 'ours' };
  const rows = await all<{ name: string }>(
    client,
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
       and ${notOfExtension('pg_class', 'c.oid')}
     order by 1 limit 5`,
  );
  return rows.length === 0 ? { kind: 'empty' } : { kind: 'foreign', objects: rows.map((row) => row.name) };
}

/** Removes marker and managed objects from a scratch database that stays. */
export async function emptyScratch(client: Client, schemas: readonly string[]): Promise<void> {
  await inTransaction(client, async () => {
    await client.query('set local client_min_messages = warning');
    await client.query(`drop schema if exists ${LEDGER_SCHEMA} cascade`);
    await emptySchemas(client, schemas);
  });
}
