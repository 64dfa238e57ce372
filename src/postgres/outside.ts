/** What stands outside the managed schemas, and what of these schemas themselves isn't dropped with their objects; and what changed there. */
import type { Client } from 'pg';
import { all } from './connect';
import { notExtensions } from './extensions';
import { schemaCatalogues } from './managed-schemas';

/** An object as pg_identify_object names it. */
export interface OutsideObject {
  type: string;
  identity: string;
}

export interface Extension {
  name: string;
  schema: string;
  version: string;
}

/** A grant on a schema, or one of a role's default privileges. */
export interface OutsideGrant {
  /** The schema; null for default privileges that hold in every schema. */
  schema: string | null;
  /** Of default privileges: on what (`tables`, …); null for the schema itself. */
  things: string | null;
  /** Who granted it; of default privileges whose they are. */
  grantor: string;
  /** `public` for everybody. */
  grantee: string;
  privilege: string;
  grantable: boolean;
  /** Of default privileges that hold in every schema: what PostgreSQL itself grants was taken away. */
  isRevoked: boolean;
}

export interface Outside {
  extensions: Extension[];
  /** Schemas that aren't managed with their objects, and what belongs to no schema (publications, casts, servers …). */
  objects: OutsideObject[];
  /** Of the managed schemas. */
  schemas: { schema: string; owner: string; comment: string | null }[];
  grants: OutsideGrant[];
  /** Of the database, a line `name=value` each; the fence's own aside. */
  settings: string[];
}

/** SQL condition: a schema is a user's and not managed ($1). */
export const isOutside = `nspname !~ '^pg_' and nspname !~ '^kirikae(_old_\\d+)?$' and nspname <> 'information_schema' and nspname <> all ($1)`;

const objects = `
  with ns as (select coalesce(array_agg(oid), '{}') as oids from pg_namespace where ${isOutside}),
  objects as (
    ${schemaCatalogues.replaceAll(':ns', '(select oids from ns)::oid[]')}
    union all select 'pg_namespace'::regclass, oid, 10 from pg_namespace where oid = any ((select oids from ns)::oid[])
    union all select 'pg_cast'::regclass, oid, 0 from pg_cast
    union all select 'pg_transform'::regclass, oid, 0 from pg_transform
    union all select 'pg_publication'::regclass, oid, 0 from pg_publication
    union all select 'pg_event_trigger'::regclass, oid, 0 from pg_event_trigger
    union all select 'pg_language'::regclass, oid, 11 from pg_language
    union all select 'pg_foreign_server'::regclass, oid, 11 from pg_foreign_server
    union all select 'pg_foreign_data_wrapper'::regclass, oid, 12 from pg_foreign_data_wrapper
    union all select 'pg_am'::regclass, oid, 12 from pg_am)
  select i.type, i.identity from objects o, pg_identify_object(o.classid, o.objid, 0) i
  where o.objid >= 16384 and ${notExtensions({ classid: 'o.classid', objid: 'o.objid' })}
    and not exists (select from pg_depend d where d.classid = o.classid and d.objid = o.objid and d.deptype = 'i'
      and not (d.refclassid = d.classid and d.refobjid = d.objid))
  order by o.rank, o.objid desc`;

// Default privileges of a role begin with what PostgreSQL grants by itself; those of a schema with nothing.
const grants = `
  with defaults as (
    select nspname, plural, defaclacl as acl,
      case when nspname is null then acldefault(letter::"char", defaclrole) end as usual
    from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace
    join (values ('r', 'r', 'tables'), ('S', 's', 'sequences'), ('f', 'f', 'functions'), ('T', 'T', 'types'), ('n', 'n', 'schemas'))
      as words (type, letter, plural) on type::"char" = defaclobjtype
    where nspname is null or nspname = any ($1))
  select nspname as schema, null as things, a.*, false as revoked
    from pg_namespace n, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a where nspname = any ($1)
  union all
  select nspname, plural, a.*, false from defaults, lateral (select * from aclexplode(acl) except select * from aclexplode(usual)) a
  union all
  select nspname, plural, a.*, true from defaults, lateral (select * from aclexplode(usual) except select * from aclexplode(acl)) a`;

/** Looks at a database; short, whatever its size. */
export async function readOutside(client: Client, schemas: readonly string[]): Promise<Outside> {
  return {
    extensions: await all(
      client,
      `select extname as name, nspname as schema, extversion as version
       from pg_extension e join pg_namespace n on n.oid = e.extnamespace order by e.oid`,
    ),
    objects: await all(client, objects, [schemas]),
    schemas: await all(
      client,
      `select nspname as schema, pg_get_userbyid(nspowner) as owner, obj_description(oid, 'pg_namespace') as comment
       from pg_namespace where nspname = any ($1) order by 1`,
      [schemas],
    ),
    grants: await all(
      client,
      `select schema, things, pg_get_userbyid(grantor) as grantor,
         case grantee when 0 then 'public' else pg_get_userbyid(grantee) end as grantee, privilege_type as privilege,
         is_grantable as grantable, revoked as "isRevoked"
       from (${grants}) g order by 1, 2, 3, 4, 5, 6, 7`,
      [schemas],
    ),
    settings: (await readSettings(client)).flatMap(({ role, setting }) => (role === null ? [setting] : [])),
  };
}

/** What is set for the database (`role` null), and for roles in it, `name=value` each; the fence's own setting aside. */
export async function readSettings(client: Client): Promise<{ role: string | null; setting: string }[]> {
  return all(
    client,
    `select pg_get_userbyid(nullif(setrole, 0)) as role, setting
     from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase, unnest(s.setconfig) as setting
     where d.datname = current_database() and not (setrole = 0 and setting like 'default\\_transaction\\_read\\_only=%') order by 1, 2`,
  );
}

/** What came and went between two looks. */
export interface OutsideChanges {
  added: OutsideObject[];
  gone: OutsideObject[];
  addedExtensions: Extension[];
  /** Those of another schema or version included, as they were. */
  goneExtensions: Extension[];
  /** Managed schemas with another owner or comment, as they were. */
  schemas: Outside['schemas'];
  addedGrants: OutsideGrant[];
  goneGrants: OutsideGrant[];
  addedSettings: string[];
  goneSettings: string[];
}

export const noChanges: OutsideChanges = {
  added: [],
  gone: [],
  addedExtensions: [],
  goneExtensions: [],
  schemas: [],
  addedGrants: [],
  goneGrants: [],
  addedSettings: [],
  goneSettings: [],
};

export function outsideChanges(before: Outside, after: Outside): OutsideChanges {
  return {
    added: without(after.objects, before.objects),
    gone: without(before.objects, after.objects),
    addedExtensions: without(after.extensions, before.extensions),
    goneExtensions: without(before.extensions, after.extensions),
    schemas: without(before.schemas, after.schemas),
    addedGrants: without(after.grants, before.grants),
    goneGrants: without(before.grants, after.grants),
    addedSettings: without(after.settings, before.settings),
    goneSettings: without(before.settings, after.settings),
  };
}

/** What of some changes is among others as well. */
export function commonChanges(changes: OutsideChanges, others: OutsideChanges): OutsideChanges {
  const common = <T>(these: readonly T[], those: readonly T[]) => without(these, without(these, those));
  return {
    added: common(changes.added, others.added),
    gone: common(changes.gone, others.gone),
    addedExtensions: byName(changes.addedExtensions, others.addedExtensions),
    goneExtensions: byName(changes.goneExtensions, others.goneExtensions),
    schemas: changes.schemas.filter(({ schema }) => others.schemas.some((other) => other.schema === schema)),
    addedGrants: likeGrants(changes.addedGrants, others.addedGrants),
    goneGrants: likeGrants(changes.goneGrants, others.goneGrants),
    addedSettings: common(changes.addedSettings, others.addedSettings),
    goneSettings: common(changes.goneSettings, others.goneSettings),
  };
}

// Another version of it is the same extension.
function byName(these: readonly Extension[], those: readonly Extension[]): Extension[] {
  return these.filter(({ name }) => those.some((other) => other.name === name));
}

// A schema may belong to somebody else elsewhere, who grants there.
function likeGrants(these: readonly OutsideGrant[], those: readonly OutsideGrant[]): OutsideGrant[] {
  const key = (grant: OutsideGrant) => JSON.stringify({ ...grant, grantor: '', grantable: false });
  const known = new Set(those.map(key));
  return these.filter((grant) => known.has(key(grant)));
}

function without<T>(items: readonly T[], others: readonly T[]): T[] {
  const known = new Set(others.map((item) => JSON.stringify(item)));
  return items.filter((item) => !known.has(JSON.stringify(item)));
}
