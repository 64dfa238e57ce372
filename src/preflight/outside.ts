/** Preflight outside the managed schemas: the shadow gets what production has there, and what the schema step does to it is looked at. */
import type { Client } from 'pg';
import { copyOutsideRows, smallTables } from '../new-schema/outside-rows';
import {
  changesSinceNoted,
  generalDefaults,
  noteOutside,
  type OutsideOfStep,
} from '../new-schema/undo-outside';
import { all, attempt, hasRelation, inTransaction, pin } from '../postgres/connect';
import { dumpSchema, dumpSql, type DumpEntry } from '../postgres/dump';
import type { Endpoint } from '../postgres/endpoint';
import { readInventory } from '../postgres/inventory';
import { isOutside, readOutside, type OutsideChanges, type OutsideObject } from '../postgres/outside';
import { identifier, qualified, readable, type TableName } from '../postgres/sql';
import { majorVersion } from '../postgres/versions';

/** What preflight looks at outside: the databases, the managed schemas, and whether the old objects are kept beside the new ones. */
export interface OutsideLook {
  production: Client;
  shadow: Endpoint;
  schemas: readonly string[];
  keeps: boolean;
}

/**
 * Gives a shadow what production has outside the managed schemas, as far as this user may read and make it, with the rows of small
 * tables (a tool's journal): the schema step meets there what it will meet in production. What can't be made is left out.
 */
export async function giveOutside(
  production: Endpoint,
  shadow: Client,
  schemas: readonly string[],
): Promise<void> {
  const readableSchemas = await all<{ name: string }>(
    production.client,
    `select nspname as name from pg_namespace n where ${isOutside} and has_schema_privilege(oid, 'usage')
       and not exists (select from pg_class c where relnamespace = n.oid and relkind in ('r', 'p', 'v', 'm', 'S', 'f') and not
         case relkind when 'S' then has_sequence_privilege(c.oid, 'select') else has_table_privilege(c.oid, 'select') end)
     order by oid`,
    [schemas],
  );
  const defaults = generalDefaults(await readOutside(production.client, schemas));
  await inTransaction(shadow, async () => {
    for (const statement of defaults) await attempt(shadow, () => shadow.query(statement));
  });
  const names = readableSchemas.map(({ name }) => name);
  if (names.length === 0) return;
  const dump = await dumpSchema(production.url, names, { owners: false });
  const version = await majorVersion(shadow);
  await inTransaction(shadow, async () => {
    const tryTo = (sql: string) => attempt(shadow, () => shadow.query(sql));
    for (const name of names) await tryTo(`create schema if not exists ${identifier(name)}`);
    await shadow.query(dumpSql(dump, [], version));
    const make = (entry: DumpEntry) => tryTo(dumpSql({ ...dump, prelude: '' }, [entry], version));
    for (const entry of dump.pre) await make(entry);
    for (const table of await smallTables(production.client, schemas))
      if (await hasRelation(shadow, qualified(table)))
        await attempt(shadow, () => copyOutsideRows(production.client, shadow, table));
    for (const entry of dump.post) await make(entry);
  });
  await pin(shadow);
}

/** Notes on the shadow how it is outside, before the schema step runs there. */
export async function lookOutsideBefore(shadow: Client, schemas: readonly string[]): Promise<void> {
  const tables = await smallTables(shadow, schemas);
  const inventory = JSON.stringify(await inventoryOutside(shadow, schemas));
  await inTransaction(shadow, async () => {
    await noteOutside(shadow, schemas, { changes: null, tables });
    await shadow.query(
      `insert into kirikae.outside_inventory select $1 where not exists (select from kirikae.outside_inventory)`,
      [inventory],
    );
  });
}

/** What the schema step did outside on the shadow, with findings for what a way back could not undo. */
export async function lookOutsideAfter({
  production,
  shadow,
  schemas,
  keeps,
}: OutsideLook): Promise<{ step: OutsideOfStep; findings: string[] }> {
  const step = await changesSinceNoted(shadow.client, schemas);
  if (!step) throw new Error('The shadow was not looked at before the schema step.');
  const { changes, tables } = step;
  const extensions = new Set(changes.goneExtensions.map(({ name }) => name));
  const others = changes.addedExtensions.filter(({ name }) => extensions.has(name)).map(({ name }) => name);
  const small = new Set((await smallTables(production, schemas)).map(readable));
  const left = [
    ...changes.gone.map((object) => `drops ${object.type} ${object.identity}`),
    ...others.map((name) => `brings extension ${name} to another version or schema`),
    ...(keeps ? [...extensions].filter((name) => !others.includes(name)) : []).map(
      (name) => `drops extension ${name}, on which old objects that are kept (reset.mode: keep) may depend`,
    ),
    ...(await alteredOutside(shadow, schemas, changes)).map((name) => `changes ${name}`),
    ...(await missingFrom(small, production, tables)).map(
      (table) => `writes to ${table}, which is too large to be kept`,
    ),
  ];
  return {
    step,
    findings: left
      .slice(0, 10)
      .map(
        (what) =>
          `The schema step ${what}. That lies outside the managed schemas (databases.production.schemas), and a way back could not undo it. Take it out of the step and do it before the run or after it.`,
      ),
  };
}

async function missingFrom(
  small: ReadonlySet<string>,
  production: Client,
  tables: readonly TableName[],
): Promise<string[]> {
  const large: string[] = [];
  for (const table of tables)
    if (!small.has(readable(table)) && (await hasRelation(production, qualified(table))))
      large.push(readable(table));
  return large;
}

async function inventoryOutside(client: Client, schemas: readonly string[]): Promise<string[]> {
  const names = await all<{ name: string }>(
    client,
    `select nspname as name from pg_namespace where ${isOutside}`,
    [schemas],
  );
  return readInventory(
    client,
    names.map(({ name }) => name),
  );
}

// What belongs to an object that the step made goes with it; what it dropped is named anyway.
async function alteredOutside(
  { client }: Endpoint,
  schemas: readonly string[],
  { added, gone }: OutsideChanges,
): Promise<string[]> {
  const [row] = await all<{ content: string }>(client, 'select content from kirikae.outside_inventory');
  const before = JSON.parse(row?.content ?? '[]') as string[];
  const after = await inventoryOutside(client, schemas);
  const [then, now] = [new Set(before), new Set(after)];
  const isOf = (line: string, objects: readonly OutsideObject[]) =>
    objects.some(({ identity }) => line.includes(` ${identity.replaceAll('pg_catalog.', '')} `));
  return [
    ...after.filter((line) => !then.has(line) && !isOf(line, added)),
    ...before.filter((line) => !now.has(line) && !isOf(line, gone)),
  ].map((line) => line.split(' ').slice(0, 4).join(' '));
}
