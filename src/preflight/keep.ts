/** Preflight of `reset.mode: keep`: what can't be moved out of the managed schemas and back again. */
import type { Client } from 'pg';
import { all } from '../postgres/connect';
import { notExtensions } from '../postgres/extensions';
import { keptName } from '../reset/set-aside';

/** Sentences for everything that would stop the old objects from being set aside or moved back. */
export async function findUnmovable(production: Client, schemas: readonly string[]): Promise<string[]> {
  const rows = await all<{ finding: string }>(
    production,
    `with ns as (select oid, nspname from pg_namespace where nspname = any($1)),
       own as (select not rolsuper as ordinary from pg_roles where rolname = current_user)
     select format('Production has a schema "%s", where reset.mode: keep puts old objects. If nobody needs it, remove it (drop schema "%s" cascade), or set reset.mode to drop.', nspname, nspname) as finding
       from pg_namespace where nspname = any($2)
     union all
     select format('Production''s user %s may not create objects in schema "%s", so reset.mode: keep could not move them home. Grant it (grant create on schema), or set reset.mode to drop.', current_user, nspname)
       from ns where not has_schema_privilege(oid, 'create')
     union all
     select format('%s can be moved by a superuser only, which production''s user %s is not. Remove it, or set reset.mode to drop.', pg_describe_object(o.classid, o.objid, 0), current_user)
       from (select 'pg_ts_parser'::regclass as classid, oid as objid, prsnamespace as ns from pg_ts_parser
             union all select 'pg_ts_template'::regclass, oid, tmplnamespace from pg_ts_template) o, own
       where own.ordinary and o.ns in (select oid from ns)
         and ${notExtensions({ classid: 'o.classid', objid: 'o.objid' })}
     union all
     select format('%s belongs to %s, whom production''s user %s is no member of, so reset.mode: keep can''t move it. Grant it: grant %s to %s.', pg_describe_object(o.classid, o.objid, 0), pg_get_userbyid(o.owner), current_user, pg_get_userbyid(o.owner), current_user)
       from (select 'pg_operator'::regclass as classid, oid as objid, oprnamespace as ns, oprowner as owner from pg_operator
             union all select 'pg_opclass'::regclass, oid, opcnamespace, opcowner from pg_opclass
             union all select 'pg_opfamily'::regclass, oid, opfnamespace, opfowner from pg_opfamily
             union all select 'pg_collation'::regclass, oid, collnamespace, collowner from pg_collation
             union all select 'pg_conversion'::regclass, oid, connamespace, conowner from pg_conversion
             union all select 'pg_ts_config'::regclass, oid, cfgnamespace, cfgowner from pg_ts_config
             union all select 'pg_ts_dict'::regclass, oid, dictnamespace, dictowner from pg_ts_dict
             union all select 'pg_statistic_ext'::regclass, oid, stxnamespace, stxowner from pg_statistic_ext) o
       where o.ns in (select oid from ns) and not pg_has_role(o.owner, 'member')
         and ${notExtensions({ classid: 'o.classid', objid: 'o.objid' })}`,
    [schemas, schemas.map((_, index) => keptName(index + 1))],
  );
  return rows.map(({ finding }) => finding);
}
