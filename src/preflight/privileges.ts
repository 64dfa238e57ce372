/** Preflight of privileges and of the server's room for locks. */
import type { Client } from 'pg';
import { one, all } from '../postgres/connect';
import { notOfExtension } from '../postgres/extensions';

/** Sentences for privileges that a later step would miss. */
export async function findMissingPrivileges(
  production: Client,
  schemas: readonly string[],
): Promise<string[]> {
  const me = await one<{
    name: string;
    superuser: boolean;
    owner: boolean;
    create: boolean;
    signal: boolean;
    look: boolean;
  }>(
    production,
    `select current_user as name, r.rolsuper as superuser, pg_has_role(d.datdba, 'member') as owner,
       has_database_privilege(d.oid, 'create') as create, pg_has_role('pg_signal_backend', 'member') as signal,
       pg_has_role('pg_read_all_stats', 'usage') as look
     from pg_roles r, pg_database d where r.rolname = current_user and d.datname = current_database()`,
  );
  if (me.superuser) return [];
  const findings: string[] = [];
  if (!me.owner)
    findings.push(
      `Production's user ${me.name} does not own the database, so it can't fence it (alter database … set). Use the owner or a member of it.`,
    );
  if (!me.create)
    findings.push(
      `Production's user ${me.name} may not create schemas, which the ledger needs. Grant it: grant create on database.`,
    );
  if (!me.signal)
    findings.push(`Production's user ${me.name} may not end others' sessions. Grant it pg_signal_backend.`);
  if (!me.look)
    findings.push(
      `Production's user ${me.name} may not see others' sessions, so the fence could not tell which to end. Grant it pg_read_all_stats.`,
    );
  const owners = await all<{ owner: string; object: string; count: string }>(
    production,
    `select owner, min(object) as object, count(*) as count from (
       select pg_get_userbyid(relowner) as owner, relowner as id, oid::regclass::text as object from pg_class where relnamespace in (select oid from pg_namespace where nspname = any($1)) and relkind in ('r', 'p', 'v', 'm', 'S', 'c')
         and ${notOfExtension('pg_class', 'pg_class.oid')}
       union all select pg_get_userbyid(proowner), proowner, oid::regprocedure::text from pg_proc where pronamespace in (select oid from pg_namespace where nspname = any($1))
         and ${notOfExtension('pg_proc', 'pg_proc.oid')}
       union all select pg_get_userbyid(typowner), typowner, oid::regtype::text from pg_type where typnamespace in (select oid from pg_namespace where nspname = any($1))
         and typrelid = 0 and typcategory <> 'A' and ${notOfExtension('pg_type', 'pg_type.oid')}
     ) owned where not pg_has_role(id, 'member') group by owner`,
    [schemas],
  );
  for (const { owner, object, count } of owners) {
    findings.push(
      `${count} objects of the managed schemas (such as ${object}) belong to ${owner}, whom production's user ${me.name} is no member of, so they can't be dropped and restored. Grant it: grant ${owner} to ${me.name}.`,
    );
  }
  return findings;
}

/** A sentence when the reset's locks don't fit into the server's lock table. */
export async function findLockShortage(production: Client, schemas: readonly string[]): Promise<string[]> {
  const { needed, room } = await one<{ needed: string; room: string }>(
    production,
    `select (select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = any($1))
          + (select count(*) * 2 from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = any($1) and c.reltoastrelid <> 0) as needed,
       current_setting('max_locks_per_transaction')::bigint * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint) as room`,
    [schemas],
  );
  if (Number(needed) <= Number(room) * 0.8) return [];
  return [
    `Dropping ${needed} objects in one transaction needs about as many locks; the server has room for ${room}. Raise max_locks_per_transaction and restart it before the run.`,
  ];
}
