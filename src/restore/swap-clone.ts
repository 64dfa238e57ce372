/** Restore by the reverse of a clone: the backup's files are copied once more, and two renames put the copy in production's place. */
import { createHash, randomBytes } from 'node:crypto';
import type { Client } from 'pg';
import { LEDGER_SCHEMA } from '../contract';
import { KirikaeError, failureType, sentence } from '../errors';
import { stageDone } from '../ledger/checkpoints';
import { mirrorClaim, removeLedger, type Claim, type RunIdentity } from '../ledger/claim';
import { checkpointDdl } from '../ledger/tables';
import { all, inTransaction, one, withClient } from '../postgres/connect';
import {
  copyFiles,
  endPredecessors,
  whileEmpty,
  withServer,
  type ServerSessions,
} from '../postgres/database-files';
import type { Pair, Place, Work } from '../postgres/endpoint';
import { identifier } from '../postgres/sql';
import { databaseOf, otherDatabase } from '../postgres/url';
import { keptSchemas } from '../reset/set-aside';
import { mayRestore, noteWhole } from './copy-back';

export interface Swap {
  run: RunIdentity;
  attempt: number;
  /** The managed ones. */
  schemas: readonly string[];
  /** LIKE pattern of application_name for every session of the workflow. */
  workflowSessions: string;
}

/**
 * Ends what an earlier attempt or Temporal run might still rename with: such a session is in no database whose claim it looks at.
 * @param workflowSessions LIKE pattern of application_name for every session of the workflow
 */
export async function endSwaps(owner: Client, workflowSessions: string): Promise<void> {
  await endPredecessors(owner, `${workflowSessions} swap`);
}

/**
 * Puts a clone of the backup in production's place, with the ledger and everything that belongs to a database rather than to
 * its content. Does nothing where old objects wait to be moved back, where an earlier attempt did it, or where it can't be
 * done: production is untouched then, and rows are to be copied.
 * @returns sentences: why rows have to be copied, which databases could not be removed
 * @throws what `mayRestore` throws, and outages
 */
export async function swapInClone(
  pair: Pair<Place>,
  swap: Swap,
  work: Omit<Work, 'lanes'>,
): Promise<string[]> {
  const production = databaseOf(pair.production.url);
  const mark = createHash('sha256').update(`${swap.run.chain} ${production}`).digest('hex').slice(0, 10);
  const ours = [`kirikae_restored_${mark}_`, `kirikae_replaced_${mark}_`] as const;
  // A name of this attempt's own: one that was frozen may wake up and write into what it takes for its clone.
  const own = randomBytes(4).toString('hex');
  const names = { production, fresh: ours[0] + own, former: ours[1] + own };
  return withServer(pair, `${work.label} swap`, async (server) => {
    const { owner } = server;
    await endSwaps(owner, swap.workflowSessions);
    // After this look whoever takes the claim over ends this attempt's sessions, so that it renames nothing.
    const found = await withClient(pair.production.url, `${work.label} look`, (client) => look(client, swap));
    if (found.done) return dropDatabases(owner, ours);
    if (found.instead) return [found.instead, ...(await dropDatabases(owner, ours))];
    const notes = await dropDatabases(owner, ours);
    try {
      await exchange({ pair, server, names }, { ...found, attempt: swap.attempt }, work);
    } catch (error) {
      if (work.signal.aborted || ['Outage', 'Overtaken'].includes(failureType(error))) throw error;
      notes.push(
        `A clone of the backup can't take production's place, so its rows are copied back: ${sentence(error).replace(/\.$/, '')}.`,
      );
    }
    return [...notes, ...(await dropDatabases(owner, ours))];
  });
}

interface Found {
  done: boolean;
  /** Why rows are copied instead; null where nothing speaks against a clone. */
  instead: string | null;
  claim: Claim;
  oid: number;
}

interface Names {
  production: string;
  fresh: string;
  former: string;
}

async function look(client: Client, { run, attempt, schemas }: Swap): Promise<Found> {
  const claim = await mayRestore(client, run);
  const { oid } = await one<{ oid: number }>(
    client,
    'select oid from pg_database where datname = current_database()',
  );
  await client.query(`set client_min_messages = warning;${checkpointDdl}`);
  const done =
    (await stageDone(client, { name: 'restore', attempt }, 'schema')) ||
    (await keptSchemas(client)).length > 0;
  // Until it was verified the fence let nobody write; what came later in other schemas a clone would not have.
  const late = claim.verifiedAt !== null || claim.liveAt !== null;
  const outside = late ? await findOutside(client, schemas) : null;
  const instead =
    outside &&
    `The new version may have written outside the managed schemas (${outside}), so that the managed ones' rows are copied back.`;
  return { done, instead, claim, oid };
}

// Something with rows that is not in a managed schema, described; null when there is nothing.
async function findOutside(client: Client, schemas: readonly string[]): Promise<string | null> {
  const [found] = await all<{ name: string }>(
    client,
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'm', 'S') and n.nspname <> all($1::name[] || array['${LEDGER_SCHEMA}', 'information_schema']::name[])
       and n.nspname !~ '^pg_'
     union all (select 'large objects' from pg_largeobject_metadata limit 1) limit 1`,
    [schemas],
  );
  return found?.name ?? null;
}

async function exchange(
  { pair, server, names }: { pair: Pair<Place>; server: ServerSessions; names: Names },
  found: Found & { attempt: number },
  { label, signal }: Omit<Work, 'lanes'>,
): Promise<void> {
  const { owner } = server;
  const refuseIf = (remaining: string[] | null, where: string) => {
    if (remaining === null) return;
    throw new KirikaeError('StepFailed', `sessions in ${where} don't end (${remaining.join(', ')})`);
  };
  const copy = { from: databaseOf(pair.backup.url), to: names.fresh };
  refuseIf(await copyFiles(server, copy, signal), 'the backup');
  await putBack(owner, names);
  // What was the backup's own goes; the ledger is production's user's, as it was.
  const inFresh = (url: string, work: (client: Client) => Promise<void>) =>
    withClient(otherDatabase(url, names.fresh), `${label} fresh`, work);
  await inFresh(pair.backup.url, removeLedger);
  await inFresh(pair.production.url, (client) => makeLedger(client, found.claim, found.attempt));
  const rename = async () => {
    await owner.query(renaming(names.production, names.former));
    await owner.query(renaming(names.fresh, names.production));
    const rows = await all<{ oid: number }>(owner, 'select oid from pg_database where datname = $1', [
      names.former,
    ]);
    if (rows[0]?.oid === found.oid) return;
    throw new KirikaeError('Overtaken', 'Production was restored by another attempt meanwhile.');
  };
  const both = { databases: [names.production, names.fresh], signal };
  refuseIf(await whileEmpty(server, both, () => inTransaction(owner, rename)), 'production');
}

// Production's claim and this restore's checkpoints.
async function makeLedger(client: Client, claim: Claim, attempt: number): Promise<void> {
  await mirrorClaim(client, claim);
  await client.query(checkpointDdl);
  await noteWhole(client, attempt);
}

/**
 * Gives the clone what a database has outside its content: owner, grants, settings, comment, limit.
 * @throws KirikaeError naming what could not be given
 */
async function putBack(owner: Client, names: Names): Promise<void> {
  const before = await portray(owner, names.production);
  for (const sql of await all<{ sql: string }>(owner, attributes, [names.production, names.fresh]))
    await owner.query(sql.sql);
  const after = await portray(owner, names.fresh);
  const lost = Object.keys(before).filter((key) => before[key] !== after[key]);
  if (lost.length > 0)
    throw new KirikaeError('StepFailed', `it would not have its ${lost.join(', ')} (pg_database)`);
}

// Everything that the catalogues know of a database by its oid, as text.
async function portray(client: Client, name: string): Promise<Record<string, string | null>> {
  const { portrait } = await one<{ portrait: Record<string, string | null> }>(
    client,
    `select (select jsonb_object_agg(key, value::text) from jsonb_each(
         to_jsonb(d) - array['oid', 'datname', 'datacl', 'datfrozenxid', 'datminmxid', 'datlastsysoid'])) ||
       jsonb_build_object(
         'grants', (select string_agg(a::text, ' ' order by a::text) from aclexplode(coalesce(datacl, acldefault('d', datdba))) a),
         'settings', (select string_agg(concat_ws(' ', setrole, setting), ' ' order by setrole, setting)
           from pg_db_role_setting, unnest(setconfig) setting where setdatabase = d.oid),
         'comment', shobj_description(d.oid, 'pg_database'),
         'security labels', (select string_agg(concat_ws(' ', provider, label), ' ' order by provider) from pg_shseclabel
           where objoid = d.oid and classoid = 'pg_database'::regclass),
         'subscriptions', (select string_agg(subname, ' ' order by subname) from pg_subscription where subdbid = d.oid),
         'replication slots', (select string_agg(slot_name, ' ' order by slot_name) from pg_replication_slots s
           where s.database = d.datname)) as portrait
     from pg_database d where datname = $1`,
    [name],
  );
  return portrait;
}

// Lists of names stand in the catalogue as SQL wants them; other values are text.
const attributes = `
  with d as (select * from pg_database where datname = $1)
  select sql from (
    select 1 as rank, format('alter database %I owner to %I', $2::text, pg_get_userbyid(datdba)) as sql from d
    union all select 2, format('alter database %I with connection limit %s is_template %s', $2::text, datconnlimit, datistemplate::text) from d
    union all select 3, format('comment on database %I is %L', $2::text, shobj_description(oid, 'pg_database')) from d
      where shobj_description(oid, 'pg_database') is not null
    union all select 4, format('revoke all on database %I from public, %I', $2::text, pg_get_userbyid(datdba)) from d
      where datacl is not null
    union all select 5, format('grant %s on database %I to %s%s', privilege_type, $2::text,
        case when grantee = 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end,
        case when is_grantable then ' with grant option' else '' end) from d, aclexplode(datacl)
    union all select 6, format('alter %s set %I to %s',
        case when setrole = 0 then format('database %I', $2::text)
          else format('role %I in database %I', pg_get_userbyid(setrole), $2::text) end,
        split_part(setting, '=', 1),
        case when split_part(setting, '=', 1) in ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries')
            and value not in ('', '""') then value
          else quote_literal(case value when '""' then '' else value end) end)
      from d join pg_db_role_setting on setdatabase = d.oid, unnest(setconfig) setting,
        substr(setting, strpos(setting, '=') + 1) value) as statements
  order by rank`;

// What the way back made, this attempt or an earlier one. @returns sentences naming what could not be dropped
async function dropDatabases(owner: Client, prefixes: readonly string[]): Promise<string[]> {
  const found = await all<{ name: string; template: boolean }>(
    owner,
    `select datname as name, datistemplate as template from pg_database d where exists (
       select from unnest($1::text[]) prefix where starts_with(d.datname, prefix))`,
    [prefixes],
  );
  const notes: string[] = [];
  for (const { name, template } of found) {
    try {
      if (template) await owner.query(`alter database ${identifier(name)} is_template false`);
      await owner.query(`drop database if exists ${identifier(name)} with (force)`);
    } catch (error) {
      if (failureType(error) === 'Outage') throw error;
      notes.push(
        `The database ${name}, which nothing needs any more, could not be dropped: ${sentence(error)}.`,
      );
    }
  }
  return notes;
}

function renaming(from: string, to: string): string {
  return `alter database ${identifier(from)} rename to ${identifier(to)}`;
}
