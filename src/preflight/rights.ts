/**
 * Whether production's user may do in production what a run and its way back do there: tried, in transactions that are rolled back. A
 * shadow of one's own can't show it: who may create in a schema, give objects away, and what event triggers say.
 */
import type { Client } from 'pg';
import { failureType, KirikaeError, sentence } from '../errors';
import { all, one, withClient } from '../postgres/connect';
import { notOfExtension } from '../postgres/extensions';
import { identifier } from '../postgres/sql';
import { letHave, memberColumns, type Member } from './privileges';

interface Owner {
  schema: string;
  owner: string;
}

interface EventTrigger {
  name: string;
  owner: string;
  function: string;
}

/**
 * Tries it for each managed schema and each owner of an object in it. Locks nothing but the schemas and roles, against being dropped.
 * @returns findings with what to grant, and a note on event triggers that let all of it pass
 */
export async function tryRights(
  url: string,
  schemas: readonly string[],
): Promise<{ findings: string[]; notes: string[] }> {
  const { owners, triggers, me } = await withClient(url, 'preflight rights', async (client) => ({
    owners: await ownersIn(client, schemas),
    triggers: await eventTriggers(client),
    me: await one<Member>(client, `select ${memberColumns}`),
  }));
  const findings: string[] = [];
  for (const place of owners) {
    // What an event trigger leaves in a session ends with it.
    const finding = await withClient(url, 'preflight rights', (client) =>
      tryIn(client, place, { me, triggers }),
    );
    if (finding !== null) findings.push(finding);
  }
  const listed = triggers
    .map((trigger) => `"${trigger.name}" of ${trigger.owner} (${trigger.function})`)
    .join(', ');
  const notes =
    triggers.length > 0 && findings.length === 0
      ? [
          `Event triggers fire at the schema changes of a run, and let those pass that preflight tried and rolled back: ${listed}. What they do outside the transaction stays.`,
        ]
      : [];
  return { findings, notes };
}

/** The same under the fence. @throws KirikaeError StepFailed with what is missing since */
export async function mustHaveRights(url: string, schemas: readonly string[]): Promise<void> {
  const { findings } = await tryRights(url, schemas);
  if (findings.length > 0)
    throw new KirikaeError('StepFailed', `${findings[0] ?? ''} Preflight could do it. Nothing was dropped.`);
}

// The user's own objects are those that the schema step makes. Roles that it is no member of are named by `findMissingPrivileges`.
async function ownersIn(client: Client, schemas: readonly string[]): Promise<Owner[]> {
  return all<Owner>(
    client,
    `with ns as (select oid, nspname from pg_namespace where nspname = any($1))
     select distinct nspname as schema, pg_get_userbyid(owner) as owner from (
       select relnamespace as namespace, relowner as owner from pg_class c where relkind in ('r', 'p', 'v', 'm', 'S', 'c') and ${notOfExtension('pg_class', 'c.oid')}
       union all select pronamespace, proowner from pg_proc p where ${notOfExtension('pg_proc', 'p.oid')}
       union all select typnamespace, typowner from pg_type t where typrelid = 0 and typcategory <> 'A' and ${notOfExtension('pg_type', 't.oid')}
     ) objects join ns on ns.oid = namespace where pg_has_role(owner, 'member')
     union select nspname, current_user from ns order by 1, 2`,
    [schemas],
  );
}

function eventTriggers(client: Client): Promise<EventTrigger[]> {
  return all<EventTrigger>(
    client,
    `select evtname as name, pg_get_userbyid(evtowner) as owner, evtfoid::regproc::text as function
     from pg_event_trigger t where evtenabled <> 'D' and ${notOfExtension('pg_event_trigger', 't.oid')} order by 1`,
  );
}

// One of each kind; to be given away, altered and dropped again.
function trial(schema: string, owner: string): string[] {
  const [at, to] = [identifier(schema), identifier(owner)];
  const kinds = ['table', 'sequence', 'view', 'materialized view', 'function', 'type', 'domain'];
  const named = (kind: string) =>
    `${kind} ${at}.kirikae_trial_${kind.replaceAll(' ', '_')}${kind === 'function' ? '()' : ''}`;
  return [
    `create table ${at}.kirikae_trial_table (id integer primary key, word text check (word <> ''))`,
    `create sequence ${at}.kirikae_trial_sequence`,
    `create view ${at}.kirikae_trial_view as select 1 as one`,
    `create materialized view ${at}.kirikae_trial_materialized_view as select 1 as one`,
    `create function ${at}.kirikae_trial_function() returns integer language sql as 'select 1'`,
    `create type ${at}.kirikae_trial_type as enum ('one')`,
    `create domain ${at}.kirikae_trial_domain as text`,
    `create index kirikae_trial_index on ${at}.kirikae_trial_table (word)`,
    `create trigger kirikae_trial before update on ${at}.kirikae_trial_table for each row execute function pg_catalog.suppress_redundant_updates_trigger()`,
    `create policy kirikae_trial on ${at}.kirikae_trial_table using (true)`,
    `alter table ${at}.kirikae_trial_table enable row level security`,
    `grant select on ${at}.kirikae_trial_table to public`,
    ...kinds.map((kind) => `alter ${named(kind)} owner to ${to}`),
    `lock table ${at}.kirikae_trial_table in access exclusive mode`,
    `drop trigger kirikae_trial on ${at}.kirikae_trial_table`,
    ...kinds.map((kind) => `drop ${named(kind)}`),
  ];
}

async function tryIn(
  client: Client,
  { schema, owner }: Owner,
  { me, triggers }: { me: Member; triggers: EventTrigger[] },
): Promise<string | null> {
  await client.query(`begin; set local lock_timeout = '2s'`);
  try {
    for (const sql of trial(schema, owner)) {
      try {
        await client.query(sql);
      } catch (error) {
        if (failureType(error) !== 'StepFailed') throw error;
        return findingOf({ error, sql, schema, owner, me, triggers });
      }
    }
    return null;
  } finally {
    await client.query('rollback');
  }
}

function findingOf({
  error,
  sql,
  schema,
  owner,
  me,
  triggers,
}: Owner & { error: unknown; sql: string; me: Member; triggers: EventTrigger[] }): string {
  const what = `Production refuses what a run or its way back does in schema "${schema}"${owner === me.name ? '' : ` for objects of ${owner}`}: "${sql.slice(0, 100)}" fails: ${sentence(error)}`;
  const { where } = error as { where?: string };
  const trigger = triggers.find(({ function: name }) => where?.includes(name.replace(/^.*\./, '')));
  if (trigger)
    return `${what}. The event trigger "${trigger.name}" of ${trigger.owner} says so. Have its owner disable it for the run: alter event trigger ${identifier(trigger.name)} disable.`;
  return `${what}. ${remedy(sentence(error), { schema, owner, me })}`;
}

function remedy(why: string, { schema, owner, me }: Owner & { me: Member }): string {
  if (/permission denied for schema/.test(why)) {
    const both = owner === me.name ? '' : `, ${identifier(owner)}`;
    return `Grant it: grant create, usage on schema ${identifier(schema)} to ${identifier(me.name)}${both}.`;
  }
  if (/must be (able to SET ROLE|member of role|owner of)|permission denied/.test(why) && owner !== me.name)
    return letHave(me, owner);
  return 'Let a run have it, or use another user.';
}
