/** Preflight of production's content: what can't be carried, and privileges for every later step. */
import type { Client } from 'pg';
import { failureType } from '../errors';
import { all, one } from '../postgres/connect';
import { notExtensions, notOfExtension } from '../postgres/extensions';
import { majorVersion } from '../postgres/versions';

/** Sentences for everything in or around the managed schemas that a run could not bring back. */
export async function findUncarriable(production: Client, schemas: readonly string[]): Promise<string[]> {
  const findings: string[] = [];
  const missing = await all<{ name: string }>(
    production,
    'select name from unnest($1::text[]) as name where not exists (select from pg_namespace where nspname = name)',
    [schemas],
  );
  for (const { name } of missing)
    findings.push(`Production has no schema "${name}". Correct databases.production.schemas.`);
  for (const sql of uncarriable) {
    const rows = await all<{ finding: string }>(production, sql.text, sql.managed ? [schemas] : []);
    findings.push(...rows.map((row) => row.finding));
  }
  return findings;
}

// Each object with the schema of what it belongs to; extensions' objects and system schemas are not considered. Arrays of an
// extension's types, and the types of its composites, are not listed as its own.
const owners = `
  select 'pg_class'::regclass::oid as classid, oid as objid, relnamespace as ns from pg_class
  union all select 'pg_proc'::regclass, oid, pronamespace from pg_proc
  union all select 'pg_type'::regclass, t.oid, t.typnamespace from pg_type t
    join pg_type e on e.oid = case when t.typcategory = 'A' and t.typelem <> 0 then t.typelem else t.oid end
    where not exists (select from pg_depend x where x.deptype = 'e'
      and (x.classid, x.objid) in (('pg_type'::regclass, e.oid), ('pg_class'::regclass, e.typrelid)))
  union all select 'pg_operator'::regclass, oid, oprnamespace from pg_operator
  union all select 'pg_collation'::regclass, oid, collnamespace from pg_collation
  union all select 'pg_constraint'::regclass, oid, connamespace from pg_constraint
  union all select 'pg_rewrite'::regclass, r.oid, c.relnamespace from pg_rewrite r join pg_class c on c.oid = r.ev_class
  union all select 'pg_trigger'::regclass, t.oid, c.relnamespace from pg_trigger t join pg_class c on c.oid = t.tgrelid
  union all select 'pg_attrdef'::regclass, d.oid, c.relnamespace from pg_attrdef d join pg_class c on c.oid = d.adrelid
  union all select 'pg_opclass'::regclass, oid, opcnamespace from pg_opclass
  union all select 'pg_opfamily'::regclass, oid, opfnamespace from pg_opfamily
  union all select 'pg_ts_config'::regclass, oid, cfgnamespace from pg_ts_config
  union all select 'pg_ts_dict'::regclass, oid, dictnamespace from pg_ts_dict
  union all select 'pg_statistic_ext'::regclass, oid, stxnamespace from pg_statistic_ext
  union all select 'pg_policy'::regclass, p.oid, c.relnamespace from pg_policy p join pg_class c on c.oid = p.polrelid`;

const uncarriable: { text: string; managed: boolean }[] = [
  {
    managed: true,
    text: `with o as materialized (${owners}),
      ns as (select oid, nspname = any($1) as managed from pg_namespace
             where nspname !~ '^pg_' and nspname not in ('information_schema', 'kirikae')),
      crossing as (
        select distinct d.classid, d.objid, d.refclassid, d.refobjid, a.managed as outward
        from pg_depend d
        join o f on f.classid = d.classid and f.objid = d.objid join ns a on a.oid = f.ns
        join o t on t.classid = d.refclassid and t.objid = d.refobjid join ns b on b.oid = t.ns
        where a.managed <> b.managed and d.deptype in ('n', 'a')
          and ${notExtensions({ classid: 'd.classid', objid: 'd.objid' })}
          and ${notExtensions({ classid: 'd.refclassid', objid: 'd.refobjid' })})
      select case when outward
        then format('%s depends on %s outside the managed schemas, which the backup and the shadow lack. Manage that schema too, or remove the dependency.', pg_describe_object(classid, objid, 0), pg_describe_object(refclassid, refobjid, 0))
        else format('%s outside the managed schemas depends on %s and would be dropped with it. Remove it before the run, or manage its schema too.', pg_describe_object(classid, objid, 0), pg_describe_object(refclassid, refobjid, 0)) end as finding
      from crossing order by 1 limit 20`,
  },
  {
    managed: true,
    text: `select format('Publication "%s" lists tables of the managed schemas; dropping them takes them out of it. Remove the publication before the run and create it again afterwards.', p.pubname) as finding
      from pg_publication p where exists (select from pg_publication_rel r join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace
        where r.prpubid = p.oid and n.nspname = any($1))`,
  },
  {
    managed: true,
    text: `select format('%s is a foreign table, whose server the backup lacks. Drop it before the run and create it again afterwards.', c.oid::regclass) as finding
      from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = any($1) and c.relkind = 'f' and ${notOfExtension('pg_class', 'c.oid')}`,
  },
  {
    managed: true,
    text: `select format('%s is an unlogged table: a crash of the server would empty it. Make it logged (alter table … set logged) before the run.', c.oid::regclass) as finding
      from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = any($1) and c.relkind = 'r' and c.relpersistence = 'u'`,
  },
  {
    managed: true,
    text: `with o as materialized (${owners})
      select distinct on (d.classid, d.objid) format('%s belongs to no schema, so pg_dump leaves it out, and it would be dropped with %s of the managed schemas. Drop it before the run and create it again afterwards.',
        pg_describe_object(d.classid, d.objid, 0), pg_describe_object(d.refclassid, d.refobjid, 0)) as finding
      from pg_depend d join o on o.classid = d.refclassid and o.objid = d.refobjid join pg_namespace n on n.oid = o.ns
      where n.nspname = any($1) and d.deptype in ('n', 'a')
        and d.classid in ('pg_cast'::regclass, 'pg_transform'::regclass, 'pg_language'::regclass, 'pg_am'::regclass, 'pg_foreign_data_wrapper'::regclass)
        and ${notExtensions({ classid: 'd.classid', objid: 'd.objid' })}`,
  },
  {
    managed: true,
    text: `select format('%s is partitioned by the hash of %I, a type whose hashes differ from database to database, so its rows would not fit into the same partitions. Partition it otherwise (by list) before the run.',
        p.partrelid::regclass, a.attname) as finding
      from pg_partitioned_table p join pg_class c on c.oid = p.partrelid join pg_namespace n on n.oid = c.relnamespace
      join pg_attribute a on a.attrelid = c.oid and a.attnum = any (p.partattrs::int2[]) join pg_type t on t.oid = a.atttypid
      left join pg_type e on e.oid in (t.typelem, t.typbasetype)
      where n.nspname = any($1) and p.partstrat = 'h' and 'e' in (t.typtype, e.typtype)`,
  },
  {
    // pg_dump makes a child with its parents' columns first.
    managed: true,
    text: `select format('%s has its own column %I before the inherited %I, which came later. Made again from its definition it would have them in another order. Make the table anew, with the inherited columns first, before the run.',
        c.oid::regclass, min(own.attname), min(a.attname)) as finding
      from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attinhcount > 0 and not a.attisdropped
      join pg_attribute own on own.attrelid = c.oid and own.attnum between 1 and a.attnum - 1 and own.attinhcount = 0 and not own.attisdropped
      where n.nspname = any($1) and c.relkind = 'r' and not c.relispartition and ${notOfExtension('pg_class', 'c.oid')} group by c.oid`,
  },
  {
    managed: true,
    text: `select format('The row security of %s applies to production''s user %s itself and would hide rows. Use a user with bypassrls, or lift it (alter table … no force row level security).', c.oid::regclass, current_user) as finding
      from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = any($1) and c.relkind in ('r', 'p') and row_security_active(c.oid)`,
  },
  {
    managed: false,
    text: `select format('The prepared transaction "%s" in production holds locks. Commit it or roll it back (commit prepared, rollback prepared).', gid) as finding from pg_prepared_xacts where database = current_database()`,
  },
  {
    managed: true,
    text: `select format('The event trigger "%s" calls a function of the managed schemas and would be dropped with it. Drop it before the run and create it again afterwards.', evtname) as finding
      from pg_event_trigger t join pg_proc p on p.oid = t.evtfoid join pg_namespace n on n.oid = p.pronamespace
      where n.nspname = any($1) and ${notOfExtension('pg_event_trigger', 't.oid')}`,
  },
  {
    managed: false,
    text: `select format('%s sets default_transaction_read_only itself, which would undo the fence for it. Reset that setting for the run (alter role … reset default_transaction_read_only).',
        coalesce('Role "' || r.rolname || '"', 'A role')) as finding
      from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole, unnest(s.setconfig) as setting
      where s.setrole <> 0 and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
        and setting like 'default_transaction_read_only=%' and setting !~* '=(on|true|yes|1)$'`,
  },
];

/** A note where production holds large objects: what a run does about them, and what the fence does. */
export async function noteOnLargeObjects(production: Client): Promise<string[]> {
  const { count, first } = await one<{ count: string; first: string | null }>(
    production,
    `select (select count(*) from pg_largeobject_metadata) as "count",
       (select string_agg(oid::text, ', ') from (select oid from pg_largeobject_metadata order by oid limit 5) o) as "first"`,
  );
  if (first === null) return [];
  const which = `${count} large ${count === '1' ? 'object' : 'objects'} (${first}${Number(count) > 5 ? ', …' : ''})`;
  const fence =
    (await majorVersion(production)) < 16
      ? ' Before PostgreSQL 16 the fence does not hold for them: see to it that nobody writes or removes any meanwhile.'
      : '';
  return [
    `Production holds ${which}. They belong to no schema and stay where they are: they are neither backed up nor restored, and their content isn't read. One that is missing after the switch-over fails step verify.${fence}`,
  ];
}

/** Sentences for subscriptions, which only superusers can list. */
export async function findSubscriptions(production: Client): Promise<string[]> {
  try {
    const rows = await all<{ name: string }>(
      production,
      'select subname as name from pg_subscription where subdbid = (select oid from pg_database where datname = current_database()) and subenabled',
    );
    return rows.map(
      (row) =>
        `The subscription "${row.name}" writes into production behind the fence. Disable it (alter subscription … disable) for the run.`,
    );
  } catch (error) {
    if (failureType(error) !== 'StepFailed') throw error;
    const { workers } = await one<{ workers: string }>(
      production,
      'select count(*) as workers from pg_stat_subscription where pid is not null',
    );
    return Number(workers) > 0
      ? ['A subscription writes into production behind the fence. Disable it for the run.']
      : [];
  }
}
