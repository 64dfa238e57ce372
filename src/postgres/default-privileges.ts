/** Default privileges set aside while a stored definition is applied: they would add grants that the old objects never had. */
import type { Client } from 'pg';
import { all } from './connect';

/**
 * SQL that gives the statements, a row each, which turn one kind of the session's user's default privileges into the other. Only
 * the creator's count: owners are changed after an object was made. `set` is what stands, `usual` what PostgreSQL begins with.
 */
export const defaultPrivilegesSql = (old: 'set' | 'usual', wanted: 'set' | 'usual') => `
  with defaults as (
    select rolname, nspname, ' on ' || plural as things, defaclacl as set,
      case when defaclnamespace <> 0 then null else acldefault(letter::"char", defaclrole) end as usual
    from pg_default_acl join pg_roles r on r.oid = defaclrole left join pg_namespace n on n.oid = defaclnamespace
    join (values ('r', 'r', 'tables'), ('S', 's', 'sequences'), ('f', 'f', 'functions'), ('T', 'T', 'types'), ('n', 'n', 'schemas'))
      as words (type, letter, plural) on type::"char" = defaclobjtype
    where rolname = current_user)
  select format('alter default privileges for role %I%s ', rolname, ' in schema ' || quote_ident(nspname)) || act as sql
  from defaults, lateral (
    select 1 as rank, format('revoke all%s from %s', things, coalesce(quote_ident(g.rolname), 'public')) as act
      from aclexplode(${old}) a left join pg_roles g on g.oid = a.grantee
    union select 2, format('grant %s%s to %s%s', privilege_type, things, coalesce(quote_ident(g.rolname), 'public'),
        case when is_grantable then ' with grant option' else '' end)
      from aclexplode(${wanted}) a left join pg_roles g on g.oid = a.grantee) acts
  order by rank`;

/**
 * Runs `work`, in the caller's transaction, as if nobody had set default privileges for the objects it makes.
 * Nobody else sees the change: default privileges are the same again before the transaction commits.
 */
export async function withoutDefaultPrivileges(client: Client, work: () => Promise<void>): Promise<void> {
  const away = await all<{ sql: string }>(client, defaultPrivilegesSql('set', 'usual'));
  const back = await all<{ sql: string }>(client, defaultPrivilegesSql('usual', 'set'));
  for (const { sql } of away) await client.query(sql);
  await work();
  for (const { sql } of back) await client.query(sql);
}
