/** Preflight of privileges and of the server's room for locks. */
import type { Client } from 'pg';
import { one, all, APPLICATION } from '../postgres/connect';
import { identifier, qualified, type TableName } from '../postgres/sql';

/** Production's user, and what decides whether it has what it is a member of. */
export interface Member {
  name: string;
  /** Before PostgreSQL 16 for all memberships at once. */
  inherits: boolean;
  version: number;
}

/** SQL of its columns. */
export const memberColumns = `current_user as name,
  (select rolinherit from pg_roles where rolname = current_user) as inherits, current_setting('server_version_num')::int / 10000 as version`;

/** How a member of a role comes to have what the role has, and to act as it: a sentence with the statement. */
export function letHave({ name, inherits, version }: Member, role: string): string {
  if (version < 16 && !inherits)
    return `It inherits nothing. Let it: alter role ${identifier(name)} inherit.`;
  const options = version < 16 ? '' : ' with inherit true, set true';
  return `Grant it: grant ${identifier(role)} to ${identifier(name)}${options}.`;
}

/** Sentences for privileges that a later step would miss. */
export async function findMissingPrivileges(
  production: Client,
  schemas: readonly string[],
): Promise<string[]> {
  type Has = 'usage' | 'member' | null;
  const me = await one<
    Member & { superuser: boolean; database: string; owner: Has; create: boolean; signal: Has; look: Has }
  >(
    production,
    `select ${memberColumns}, r.rolsuper as superuser, pg_get_userbyid(d.datdba) as database, ${howHas('d.datdba')} as owner,
       has_database_privilege(d.oid, 'create') as create, ${howHas(`'pg_signal_backend'`)} as signal, ${howHas(`'pg_read_all_stats'`)} as look
     from pg_roles r, pg_database d where r.rolname = current_user and d.datname = current_database()`,
  );
  if (me.superuser) return [];
  const findings: string[] = [];
  const get = (has: Has, role: string) => (has === 'member' ? letHave(me, role) : `Grant it ${role}.`);
  if (me.owner !== 'usage')
    findings.push(
      `Production's user ${me.name} does not own the database, so it can't fence it (alter database … set). ${me.owner === 'member' ? letHave(me, me.database) : 'Use the owner or a member of it.'}`,
    );
  if (!me.create)
    findings.push(
      `Production's user ${me.name} may not create schemas, which the ledger needs. Grant it: grant create on database.`,
    );
  if (me.signal !== 'usage')
    findings.push(
      `Production's user ${me.name} may not end others' sessions. ${get(me.signal, 'pg_signal_backend')}`,
    );
  if (me.look !== 'usage')
    findings.push(
      `Production's user ${me.name} may not see others' sessions, so the fence could not tell which to end. ${get(me.look, 'pg_read_all_stats')}`,
    );
  findings.push(...(await sessionsOfSuperusers(production, me.name)));
  const owners = await all<{ owner: string; object: string; count: string }>(
    production,
    `select owner, min(object) as object, count(*) as count from (
       select pg_get_userbyid(relowner) as owner, relowner as id, c.oid::regclass::text as object from pg_class c where relnamespace in (${ns}) and relkind in ('r', 'p', 'v', 'm', 'S') and ${standsAlone('pg_class', 'c.oid')}
       union all select pg_get_userbyid(proowner), proowner, p.oid::regprocedure::text from pg_proc p where pronamespace in (${ns}) and ${standsAlone('pg_proc', 'p.oid')}
       union all select pg_get_userbyid(typowner), typowner, t.oid::regtype::text from pg_type t where typnamespace in (${ns}) and ${standsAlone('pg_type', 't.oid')}
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

const ns = 'select oid from pg_namespace where nspname = any($1)';

// Neither an extension's nor part of another object: a trusted extension's objects, and a range's constructors, are a superuser's whoever
// made them. (A partitioned table is part of itself.)
const standsAlone = (catalog: string, oid: string) =>
  `not exists (select from pg_depend d where d.classid = '${catalog}'::regclass and d.objid = ${oid} and d.deptype in ('e', 'i')
     and not (d.refclassid = d.classid and d.refobjid = d.objid))`;

// What a role gives counts where it is inherited: to be a member lets one only act as the role.
const howHas = (role: string) =>
  `case when pg_has_role(${role}, 'usage') then 'usage' when pg_has_role(${role}, 'member') then 'member' end`;

// The fence ends all sessions that were there before it, and only a superuser ends a superuser's.
async function sessionsOfSuperusers(production: Client, me: string): Promise<string[]> {
  const sessions = await all<{ pid: number; who: string }>(
    production,
    `select pid, format('pid %s of %s (%s)', pid, usename, coalesce(nullif(application_name, ''), 'unnamed')) as who
     from pg_stat_activity a join pg_roles r on r.oid = a.usesysid
     where datname = current_database() and rolsuper and pid <> pg_backend_pid() and application_name not like $1
       and coalesce(backend_type, 'client backend') = 'client backend' order by pid limit 5`,
    [`${APPLICATION} %`],
  );
  return sessions.map(
    ({ pid, who }) =>
      `A superuser's session is in production (${who}), which production's user ${me} may not end, so the fence would fail. Have a superuser end it, and no other come until the run has its fence: select pg_terminate_backend(${pid}).`,
  );
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

/** Sentences for tables of the new schema, on the shadow, into which this user may not write rows, though it made them. */
export async function findUnwritable(shadow: Client, tables: readonly TableName[]): Promise<string[]> {
  const rows = await all<{ name: string }>(
    shadow,
    `select name from unnest($1::text[]) as name where to_regclass(name) is not null and not has_table_privilege(name, 'insert')`,
    [tables.map(qualified)],
  );
  return rows.map(
    ({ name }) =>
      `The schema step leaves table ${name} without the privilege to insert for production's user, who is to write its rows. Revoke it after the run.`,
  );
}
