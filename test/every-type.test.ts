/** Every type of PostgreSQL and its contrib modules goes through backup, restore and migration, and each value arrives as it was. */
import type { Client } from 'pg';
import { escapeLiteral } from 'pg';
import { findUncarriable } from '../src/preflight/carried';
import { findUnreadableValues } from '../src/preflight/unreadable';
import { dropDatabase } from '../src/postgres/databases';
import { identifier } from '../src/postgres/sql';
import { withDatabase } from '../lab/stage';
import { createDatabase, type TestDatabase } from './support/environment';
import { installEverything, readEveryType, type KnownType } from './support/every-type';
import { ZooRun, deployInto, identityPlan, zooDdl } from './support/zoo';

const schemas = ['every'];
let production: TestDatabase;
let run: ZooRun;

beforeAll(async () => {
  production = await createDatabase('every_type');
  run = new ZooRun(production.url, schemas);
  await withDatabase(production.url, async (client) => {
    await installEverything(client);
    await client.query('create schema every; set search_path = every, contrib, public');
    for (const sql of await tablesOfEveryType(client)) await client.query(sql);
  });
});
afterAll(async () => {
  await production.drop();
  await dropDatabase(run.backupUrl, 'every type');
});

test('every value of every type comes through backup, restore and migration as it was', async () => {
  const before = await look();
  expect(await run.onProduction((client) => findUncarriable(client, schemas))).toEqual([]);
  expect(await run.onProduction((client) => findUnreadableValues(client, schemas))).toEqual([]);
  const ddl = await zooDdl(production.url, schemas);
  const shadow = await createDatabase('every_type_shadow');
  try {
    await deployInto(shadow.url, ddl, { like: production.url, schemas });
    await run.backUp();
    await run.reset();
    await deployInto(production.url, ddl, { like: production.url, schemas });
    await run.migrate(identityPlan(schemas), shadow.url);
    expect(await look()).toEqual(before);
    await run.restore();
    expect(await look()).toEqual(before);
  } finally {
    await shadow.drop();
  }
});

/** A table for each way in which a type may be used, a column for each type, a row for each boundary value. */
async function tablesOfEveryType(client: Client): Promise<string[]> {
  const types = await readEveryType(client);
  const own = types.filter(({ schema, kind }) => schema === 'pg_catalog' && kind !== 'composite');
  const ofDomain = types.map(({ name, sql }) => `create domain every.${identifier(`d_${name}`)} as ${sql}`);
  const ofComposite = types.map(
    ({ name, sql }) => `create type every.${identifier(`c_${name}`)} as (before text, v ${sql})`,
  );
  const ordered = await client.query<{ sql: string }>(
    `select format_type(opcintype, null) as sql from pg_opclass join pg_am a on a.oid = opcmethod
     where amname = 'btree' and opcdefault`,
  );
  const canRange = new Set(ordered.rows.map(({ sql }) => sql));
  const inRange = types.filter(({ sql, kind }) => kind === 'base' && canRange.has(sql));
  const ofRange = inRange.map(
    ({ name, sql }) =>
      `create type every.${identifier(`r_${name}`)} as range (subtype = ${sql}, multirange_type_name = every.${identifier(`m_${name}`)})`,
  );
  const typed = (prefix: string) => (type: KnownType) => `every.${identifier(`${prefix}_${type.name}`)}`;
  return [
    ...ofDomain,
    ...ofComposite,
    ...ofRange,
    `create type every.mood as enum ('sad', 'it''s "ok"', '')`,
    // Binary where all types are PostgreSQL's own, text where one isn't.
    ...table(
      'own',
      own.filter(({ name }) => !/^reg|^aclitem|^pg_|"/.test(name)),
      (type) => type.sql,
      plain,
    ),
    ...table('plain', types, (type) => type.sql, plain),
    ...table('arrays', types, (type) => `${type.sql}[]`, inArray),
    ...table('domains', types, typed('d'), plain),
    ...table('arrays_of_domains', types, (type) => `${typed('d')(type)}[]`, inArray),
    ...table('composites', types, typed('c'), (value, type) => `row('x', ${plain(value, type)})`),
    ...table(
      'ranges',
      inRange,
      typed('r'),
      (value, type) => `every.${identifier(`r_${type.name}`)}(null, ${plain(value, type)}, '(]')`,
    ),
    ...table(
      'multiranges',
      inRange,
      typed('m'),
      (value, type) =>
        `every.${identifier(`m_${type.name}`)}(every.${identifier(`r_${type.name}`)}(null, ${plain(value, type)}, '(]'))`,
    ),
    `create table every.enums (a every.mood, b every.mood[], c every.mood[][])`,
    `insert into every.enums select v, array[v, null], array[[v], [v]] from unnest(enum_range(null::every.mood)) v`,
  ];
}

function plain(value: string, { sql }: KnownType): string {
  return `${escapeLiteral(value)}::${sql}`;
}

function inArray(value: string, type: KnownType): string {
  return `(array[array[${plain(value, type)}, null]])[1:1][1:2]`;
}

function table(
  name: string,
  types: readonly KnownType[],
  typeOf: (type: KnownType) => string,
  valueOf: (value: string, type: KnownType) => string,
): string[] {
  const columns = types.map((type) => `${identifier(type.name)} ${typeOf(type)}`);
  const rows = Math.max(...types.map(({ values }) => values.length));
  const inserts = Array.from({ length: rows }, (_, n) => {
    const values = types.map(
      (type) => `${valueOf(type.values[n % type.values.length] ?? '', type)}::${typeOf(type)}`,
    );
    return `insert into every.${name} values (${n}, ${values.join(', ')})`;
  });
  return [
    `create table every.${name} (n int, ${columns.join(', ')})`,
    ...inserts,
    `insert into every.${name} (n) values (${rows})`,
  ];
}

/** Each table's rows as PostgreSQL sends them to a client, in their order. */
async function look(): Promise<Record<string, unknown[]>> {
  return withDatabase(production.url, async (client) => {
    await client.query(`set search_path = ''; set timezone = 'UTC'; set extra_float_digits = 3`);
    const { rows: tables } = await client.query<{ name: string }>(
      `select relname as name from pg_class where relnamespace = 'every'::regnamespace and relkind = 'r' order by 1`,
    );
    const contents: Record<string, unknown[]> = {};
    for (const { name } of tables) {
      const types = { getTypeParser: () => (value: string) => value };
      const { rows } = await client.query<object>({ text: `select * from every.${name} order by 1`, types });
      contents[name] = rows;
    }
    return contents;
  });
}
