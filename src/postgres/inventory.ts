/** What the catalogues say of the objects of managed schemas, expressions aside: compared where these are only printed otherwise. */
import type { Client } from 'pg';
import { all } from './connect';
import { notOfExtension } from './extensions';

const grants = (acl: string, kind: string, owner: string) => `
  (select string_agg(format('%s %s to %s%s', pg_get_userbyid(grantor), privilege_type,
      case grantee when 0 then 'public' else pg_get_userbyid(grantee) end, case when is_grantable then ' with grant option' else '' end), ', '
    order by grantor, grantee, privilege_type) from aclexplode(coalesce(${acl}, acldefault(${kind}, ${owner}))))`;

const columnsOf = (table: string, numbers: string) => `
  (select string_agg(coalesce(a.attname, '(…)'), ',' order by k.n) from unnest(${numbers}) with ordinality k(number, n)
   left join pg_attribute a on a.attrelid = ${table} and a.attnum = k.number)`;

const inventory = `
  with ns as (select oid from pg_namespace where nspname = any($1)),
  relations as (select * from pg_class c where relnamespace in (select oid from ns) and relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c')
    and ${notOfExtension('pg_class', 'c.oid')})
  select format('relation %s %s persistence %s row security %s %s replica identity %s options %s of %s, grants %s', relkind, c.oid::regclass,
      relpersistence, relrowsecurity, relforcerowsecurity, relreplident, reloptions, pg_get_userbyid(relowner),
      ${grants('relacl', `case relkind when 'S' then 's' else 'r' end::"char"`, 'relowner')}) as line
    from relations c where relkind <> 'c'
  union all select format('column %s of %s %s %s not null %s identity %s generated %s default %s collation %s grants %s', attname, c.oid::regclass,
      rank() over (partition by c.oid order by attnum), format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, atthasdef,
      nullif(attcollation, 0)::regcollation, (select array_agg(g order by g::text) from unnest(attacl) g))
    from relations c join pg_attribute a on a.attrelid = c.oid where attnum > 0 and not attisdropped
  union all select format('constraint %s of %s %s columns %s to %s (%s) actions %s%s%s deferrable %s %s validated %s inherited %s', conname,
      coalesce(c.oid::regclass::text, t.oid::regtype::text), contype, ${columnsOf('conrelid', 'conkey')}, nullif(confrelid, 0)::regclass,
      ${columnsOf('confrelid', 'confkey')}, confupdtype, confdeltype, confmatchtype, condeferrable, condeferred, convalidated, coninhcount)
    from pg_constraint k left join relations c on c.oid = conrelid left join pg_type t on t.oid = contypid and t.typnamespace in (select oid from ns)
    where (c.oid is not null or t.oid is not null) and contype in ('c', 'f', 'p', 'u', 'x')
  union all select format('index %s of %s unique %s primary %s valid %s clustered %s replica identity %s columns %s', x.indexrelid::regclass,
      c.oid::regclass, indisunique, indisprimary, indisvalid, indisclustered, indisreplident, ${columnsOf('c.oid', 'indkey::int2[]')})
    from pg_index x join relations c on c.oid = x.indrelid
  union all select format('trigger %s of %s calls %s type %s enabled %s', tgname, c.oid::regclass, tgfoid::regprocedure, tgtype, tgenabled)
    from pg_trigger g join relations c on c.oid = g.tgrelid where not tgisinternal
  union all select format('rule %s of %s on %s instead %s enabled %s', rulename, c.oid::regclass, ev_type, is_instead, ev_enabled)
    from pg_rewrite r join relations c on c.oid = r.ev_class
  union all select format('policy %s of %s for %s permissive %s roles %s', polname, c.oid::regclass, polcmd, polpermissive,
      (select array_agg(case r when 0 then 'public' else pg_get_userbyid(r) end order by r) from unnest(polroles) r))
    from pg_policy p join relations c on c.oid = p.polrelid
  union all select format('function %s returns %s language %s volatility %s definer %s leakproof %s strict %s parallel %s settings %s body %s of %s, grants %s',
      p.oid::regprocedure, prorettype::regtype, (select lanname from pg_language l where l.oid = prolang), provolatile, prosecdef, proleakproof,
      proisstrict, proparallel, proconfig, md5(prosrc), pg_get_userbyid(proowner), ${grants('proacl', `'f'::"char"`, 'proowner')})
    from pg_proc p where pronamespace in (select oid from ns) and ${notOfExtension('pg_proc', 'p.oid')}
  union all select format('type %s %s labels %s base %s not null %s of %s, grants %s', t.oid::regtype, typtype,
      (select array_agg(enumlabel order by enumsortorder) from pg_enum e where e.enumtypid = t.oid), nullif(typbasetype, 0)::regtype, typnotnull,
      pg_get_userbyid(typowner), ${grants('typacl', `'T'::"char"`, 'typowner')})
    from pg_type t where typnamespace in (select oid from ns) and typelem = 0 and typtype in ('d', 'e', 'r', 'c')
    and not exists (select from pg_class c where c.oid = typrelid and relkind <> 'c') and ${notOfExtension('pg_type', 't.oid')}
  union all select format('statistics %s on %s kinds %s columns %s', stxname, stxrelid::regclass, stxkind, ${columnsOf('stxrelid', 'stxkeys::int2[]')})
    from pg_statistic_ext s where stxnamespace in (select oid from ns)
  order by 1`;

/** A line an object: name, owner, grants, flags, but no expression. Names are qualified. */
export async function readInventory(client: Client, schemas: readonly string[]): Promise<string[]> {
  return (await all<{ line: string }>(client, inventory, [schemas])).map(({ line }) => line);
}
