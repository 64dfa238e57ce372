/** Keys, indexes, triggers and late CHECKs of the new schema taken away before the rows, and which of a dump's entries bring them back. */
import type { Client } from 'pg';
import { all } from '../postgres/connect';
import type { DumpEntry, SchemaDump } from '../postgres/dump';
import { notOfExtension } from '../postgres/extensions';
import { lateChecks, aroundRows } from '../postgres/around-rows';

/**
 * Drops what the post-data section of a dump holds, so that rows arrive without keys, indexes and triggers. A key that a
 * view needs (it groups by it) stays with the view, which would lose its grants if it were made again.
 * @param dump the definition, for CHECKs that come after the rows
 */
export async function stripPostData(
  client: Client,
  schemas: readonly string[],
  dump?: SchemaDump,
): Promise<void> {
  const late = dump ? lateChecks(dump).map(({ schema, name }) => `${schema}.${name}`) : [];
  const drops = await all<{ sql: string }>(
    client,
    `with ns as (select oid from pg_namespace where nspname = any($1)),
     tables as (select c.oid, format('%I.%I', n.nspname, c.relname) as name, c.relrowsecurity
       from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.oid in (select oid from ns) and c.relkind in ('r', 'p', 'm', 'v')
       and ${notOfExtension('pg_class', 'c.oid')})
     select sql from (
       select 1 as rank, format('alter table %s drop constraint %I', t.name, k.conname) as sql
         from pg_constraint k join tables t on t.oid = k.conrelid where k.contype = 'f' and k.conparentid = 0
       union all select 2, format('drop trigger %I on %s', g.tgname, t.name)
         from pg_trigger g join tables t on t.oid = g.tgrelid where not g.tgisinternal and g.tgparentid = 0
       union all select 2, format('drop rule %I on %s', r.rulename, t.name)
         from pg_rewrite r join tables t on t.oid = r.ev_class where r.rulename <> '_RETURN'
       union all select 2, format('drop policy %I on %s', p.polname, t.name) from pg_policy p join tables t on t.oid = p.polrelid
       union all select 3, format('alter table %s disable row level security', t.name) from tables t where t.relrowsecurity
       union all select 3, format('drop statistics %I.%I', n.nspname, s.stxname)
         from pg_statistic_ext s join pg_namespace n on n.oid = s.stxnamespace where s.stxrelid in (select oid from tables)
       union all select 4 + least(k.coninhcount, 1), format('alter table %s drop constraint %I', t.name, k.conname)
         from pg_constraint k join tables t on t.oid = k.conrelid
         where not exists (select from pg_depend d where d.refclassid = 'pg_constraint'::regclass and d.refobjid = k.oid and d.classid in ('pg_rewrite'::regclass, 'pg_proc'::regclass))
           and k.conparentid = 0 and (k.contype in ('p', 'u', 'x') or (k.contype = 'c' and k.conislocal and (not k.convalidated
             or exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where c.oid = k.conrelid and format('%s.%s %s', n.nspname, c.relname, k.conname) = any($2)))))
       union all select 4, format('alter domain %s drop constraint %I', t.oid::regtype, k.conname)
         from pg_constraint k join pg_type t on t.oid = k.contypid join pg_namespace n on n.oid = t.typnamespace
         where n.oid in (select oid from ns) and (not k.convalidated or format('%s.%s %s', n.nspname, t.typname, k.conname) = any($2))
       union all select 5, format('drop index %I.%I', n.nspname, i.relname)
         from pg_index x join pg_class i on i.oid = x.indexrelid join pg_namespace n on n.oid = i.relnamespace
         where x.indrelid in (select oid from tables) and not i.relispartition
           and not exists (select from pg_constraint k where k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x'))
     ) drops order by rank`,
    [schemas, late],
  );
  for (const { sql } of drops) await client.query(sql);
}

/** The entries of a definition that `stripPostData` took away. */
export async function strippedEntries(
  client: Client,
  schemas: readonly string[],
  dump: SchemaDump,
): Promise<DumpEntry[]> {
  const kept = await all<{ schema: string; name: string }>(
    client,
    `select n.nspname as schema, c.relname || ' ' || k.conname as name
     from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any($1) and k.contype in ('p', 'u', 'x')`,
    [schemas],
  );
  const names = new Set(kept.map(({ schema, name }) => `${schema}.${name}`));
  return aroundRows(dump).post.filter(
    ({ type, schema, name }) =>
      !/^(MATERIALIZED VIEW|FUNCTION|PROCEDURE)$/.test(type) &&
      !(type === 'CONSTRAINT' && names.has(`${schema}.${name}`)),
  );
}
