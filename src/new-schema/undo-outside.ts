/**
 * What a schema step does outside the managed schemas: noted in the ledger by comparing before and after, and undone before each
 * further attempt and on the way back. Somebody else's doings are left alone: only what the step did on the shadow as well is its.
 */
import type { Client } from 'pg';
import { failWith } from '../errors';
import { outsideDdl } from '../ledger/tables';
import { all, attempt, hasRelation, one } from '../postgres/connect';
import { emptySchemas } from '../postgres/managed-schemas';
import {
  commonChanges,
  noChanges,
  outsideChanges,
  readOutside,
  type Extension,
  type Outside,
  type OutsideChanges,
  type OutsideGrant,
  type OutsideObject,
} from '../postgres/outside';
import { identifier, literal, type TableName } from '../postgres/sql';
import { changedTables, keepOutsideRows, noteRowsAfter, putBackOutsideRows } from './outside-rows';

/** What the step did outside, and which tables there it wrote to, as it was seen on the shadow. */
export interface OutsideOfStep {
  changes: OutsideChanges;
  tables: TableName[];
}

/** How it was outside, what of it is to be undone (null: all that changed since), and what the step is known to have done here. */
interface Noted {
  before: Outside;
  expected: OutsideChanges | null;
  changes: OutsideChanges | null;
}

/**
 * Notes how it is outside before the step's first attempt, and keeps the rows that it will change. Runs in the caller's transaction.
 * @param step what it did on the shadow; on the shadow itself null, with every table that can be kept
 */
export async function noteOutside(
  client: Client,
  schemas: readonly string[],
  { changes, tables }: { changes: OutsideChanges | null; tables: readonly TableName[] },
): Promise<void> {
  await client.query(`set local client_min_messages = warning;${outsideDdl}`);
  if (await readNoted(client)) return;
  await client.query('insert into kirikae.outside (before, expected) values ($1, $2)', [
    JSON.stringify(await readOutside(client, schemas)),
    changes && JSON.stringify(changes),
  ]);
  await keepOutsideRows(client, tables);
}

/**
 * Notes what the step has done outside, when it has ended.
 * @returns sentences on what came or went meanwhile and isn't the step's
 */
export async function noteChangesOutside(client: Client, schemas: readonly string[]): Promise<string[]> {
  const noted = await readNoted(client);
  if (!noted?.expected) return [];
  const since = outsideChanges(noted.before, await readOutside(client, schemas));
  const changes = commonChanges(since, noted.expected);
  await client.query('update kirikae.outside set changes = $1', [JSON.stringify(changes)]);
  await noteRowsAfter(client);
  const others = [
    ...beyond(since.added, changes.added).map((object) => `${nameOf(object)} is new`),
    ...beyond(since.gone, changes.gone).map((object) => `${nameOf(object)} is gone`),
    ...beyond(since.addedExtensions, changes.addedExtensions).map(({ name }) => `extension ${name} is new`),
    ...beyond(since.goneExtensions, changes.goneExtensions).map(({ name }) => `extension ${name} is gone`),
  ];
  return others
    .slice(0, 10)
    .map(
      (what) =>
        `While the schema step ran, something changed outside the managed schemas that it does not change on the shadow database: ${what}. A way back leaves that as it is.`,
    );
}

function beyond<T>(items: readonly T[], known: readonly T[]): T[] {
  return items.filter((item) => !known.includes(item));
}

/** What changed outside since it was noted; null where nothing was. */
export async function changesSinceNoted(
  client: Client,
  schemas: readonly string[],
): Promise<OutsideOfStep | null> {
  const noted = await readNoted(client);
  if (!noted) return null;
  return {
    changes: outsideChanges(noted.before, await readOutside(client, schemas)),
    tables: await changedTables(client),
  };
}

/**
 * Empties the managed schemas and undoes what the schema step did outside them, as far as that is noted. Runs in the caller's
 * transaction.
 * @throws KirikaeError StepFailed naming what can't be undone, or what else would go
 */
export async function emptyAndUndo(client: Client, schemas: readonly string[]): Promise<void> {
  const noted = await readNoted(client);
  if (!noted) return emptySchemas(client, schemas);
  await undoOutside(client, schemas, { before: noted.before, wanted: noted.changes ?? noted.expected });
  await putBackOutsideRows(client);
  await client.query('update kirikae.outside set changes = null');
}

/**
 * Empties the managed schemas and makes everything outside them what it was before. Runs in the caller's transaction.
 * @param what.wanted only what of the changes is among these; null: all of them
 */
export async function undoOutside(
  client: Client,
  schemas: readonly string[],
  { before, wanted }: { before: Outside; wanted: OutsideChanges | null },
): Promise<void> {
  const look = async () => {
    const since = outsideChanges(before, await readOutside(client, schemas));
    return wanted ? commonChanges(since, wanted) : since;
  };
  const changes = await look();
  // What leans on the managed schemas first; what these lean on when they are empty.
  const left = await dropEach(client, changes.added);
  await emptySchemas(client, schemas);
  const stuck = await dropEach(client, left);
  await dropExtensions(client, changes.addedExtensions);
  const [first] = await dropEach(client, stuck);
  if (first)
    await client
      .query(dropping(first))
      .catch((error: unknown) =>
        failWith(
          error,
          (why) =>
            `What the schema step made outside the managed schemas can't be removed: ${why}. Remove or move away what leans on ${nameOf(first)}, or lies in it, then send retry.`,
        ),
      );
  for (const sql of [...extensions(changes.goneExtensions), ...schemaStates(changes)])
    await client.query(sql);
  // A schema's grants follow its owner.
  const rest = await look();
  for (const sql of [...grants(rest, before), ...settings(rest, await databaseName(client))])
    await client.query(sql);
}

async function readNoted(client: Client): Promise<Noted | null> {
  if (!(await hasRelation(client, 'kirikae.outside'))) return null;
  const [row] = await all<Record<keyof Noted, string | null>>(
    client,
    'select before, expected, changes from kirikae.outside',
  );
  if (!row) return null;
  return {
    before: JSON.parse(row.before ?? '') as Outside,
    expected: JSON.parse(row.expected ?? 'null') as OutsideChanges | null,
    changes: JSON.parse(row.changes ?? 'null') as OutsideChanges | null,
  };
}

// Each alone, as long as one of them goes; those are left that others still lean on.
async function dropEach(client: Client, objects: readonly OutsideObject[]): Promise<OutsideObject[]> {
  const left: OutsideObject[] = [];
  for (const object of objects)
    if (await attempt(client, () => client.query(dropping(object)))) left.push(object);
  return left.length === objects.length || left.length === 0 ? left : dropEach(client, left);
}

const words: Record<string, string> = {
  'statistics object': 'statistics',
  'foreign-data wrapper': 'foreign data wrapper',
};

function dropping({ type, identity }: OutsideObject): string {
  return `drop ${words[type] ?? type} if exists ${identity}`;
}

function nameOf({ type, identity }: OutsideObject): string {
  return `${type} ${identity}`;
}

async function dropExtensions(client: Client, added: readonly Extension[]): Promise<void> {
  for (const { name } of [...added].reverse())
    await client
      .query(`drop extension if exists ${identifier(name)}`)
      .catch((error: unknown) =>
        failWith(
          error,
          (why) =>
            `The extension ${name}, which the schema step created, can't be removed: ${why}. Remove what leans on it, then send retry.`,
        ),
      );
}

function extensions(gone: readonly Extension[]): string[] {
  return gone.map(
    ({ name, schema, version }) =>
      `create extension if not exists ${identifier(name)} schema ${identifier(schema)} version ${literal(version)}`,
  );
}

function schemaStates({ schemas }: OutsideChanges): string[] {
  return schemas.flatMap(({ schema, owner, comment }) => [
    `alter schema ${identifier(schema)} owner to ${identifier(owner)}`,
    `comment on schema ${identifier(schema)} is ${comment === null ? 'null' : literal(comment)}`,
  ]);
}

function grants(
  { addedGrants, goneGrants }: OutsideChanges,
  { schemas }: Pick<Outside, 'schemas'>,
): string[] {
  const owners = new Map(schemas.map(({ schema, owner }) => [schema, owner]));
  const away = (grant: OutsideGrant) => granting(grant, grant.isRevoked ? 'grant' : 'revoke', owners);
  const back = (grant: OutsideGrant) => granting(grant, grant.isRevoked ? 'revoke' : 'grant', owners);
  return [...addedGrants.map(away), ...goneGrants.map(back)];
}

/** Default privileges that hold in every schema, as statements that give them to another database of the server. */
export function generalDefaults({ grants: all, schemas }: Outside): string[] {
  const general = all.filter(({ schema, things }) => schema === null && things !== null);
  return grants({ ...noChanges, goneGrants: general }, { schemas });
}

function granting(
  { schema, things, grantor, grantee, privilege, grantable }: OutsideGrant,
  act: 'grant' | 'revoke',
  owners: ReadonlyMap<string, string>,
): string {
  const role = grantee === 'public' ? 'public' : identifier(grantee);
  const whom = act === 'grant' ? `to ${role}${grantable ? ' with grant option' : ''}` : `from ${role}`;
  if (things !== null) {
    const where = schema === null ? '' : ` in schema ${identifier(schema)}`;
    return `alter default privileges for role ${identifier(grantor)}${where} ${act} ${privilege} on ${things} ${whom}`;
  }
  const sql = `${act} ${privilege} on schema ${identifier(schema ?? '')} ${whom}`;
  // The owner's grants are his members' too; pg_database_owner can't be set.
  const isOwners = owners.get(schema ?? '') === grantor;
  return isOwners ? sql : `set local role ${identifier(grantor)}; ${sql}; reset role`;
}

async function databaseName(client: Client): Promise<string> {
  return (await one<{ name: string }>(client, 'select current_database() as name')).name;
}

// PostgreSQL keeps their values as a list of quoted names.
const lists =
  /^(search_path|temp_tablespaces|(session|local|shared)_preload_libraries|unix_socket_directories)$/i;

function settings({ addedSettings, goneSettings }: OutsideChanges, database: string): string[] {
  const alter = (line: string, toValue: (value: string) => string) => {
    const at = line.indexOf('=');
    const name = line.slice(0, at).split('.').map(identifier).join('.');
    return `alter database ${identifier(database)} ${toValue(line.slice(at + 1)).replace('NAME', () => name)}`;
  };
  const value = (name: string, text: string) =>
    lists.test(name)
      ? [...text.matchAll(/"((?:[^"]|"")*)"|[^,\s]+/g)]
          .map(([all, quoted]) => literal(quoted?.replaceAll('""', '"') ?? all))
          .join(', ')
      : literal(text);
  return [
    ...addedSettings.map((line) => alter(line, () => 'reset NAME')),
    ...goneSettings.map((line) =>
      alter(line, (text) => `set NAME to ${value(line.split('=')[0] ?? '', text)}`),
    ),
  ];
}
