/** The catalogue as plain data: types without a search_path, keys, partitions, sequences and what they fill. */
import { Client } from 'pg';
import { readCatalog, storageOf, type Table } from '../src/postgres/catalog';
import { createDatabase, type TestDatabase } from './support/environment';

let database: TestDatabase;
let client: Client;
beforeAll(async () => {
  database = await createDatabase('catalog');
  client = new Client({ connectionString: database.url });
  await client.connect();
  await client.query(`
    create schema app; create schema other;
    create type app."Mood" as enum ('B', 'a');
    create domain app.short as varchar(3) not null default 'x';
    create domain app.shorter as app.short;
    create extension citext schema app;
    create table app.t (
      id serial primary key, big bigint generated always as identity, mood app."Mood" default 'B', moods app."Mood"[],
      name varchar(10) not null, code app.shorter, codes app.shorter[], price numeric(8, 2) unique, at timestamp(3) default now(),
      ci app.citext, twice int generated always as (1 + 1) stored, gone int, unique (name, price));
    alter table app.t drop column gone;
    create unique index part on app.t (name) where price > 0; create unique index expr on app.t (lower(name));
    create sequence app.free; create sequence app.used as int; alter table app.t alter name set default nextval('app.used')::text;
    create table app.p (id int, at date) partition by range (id);
    create table app.p1 partition of app.p for values from (0) to (9) partition by range (at);
    create table app.p11 partition of app.p1 default;
    create table other.not_managed (id int); create view app.v as select 1; create materialized view app.m as select 1;`);
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

it('describes tables, columns and keys', async () => {
  const { tables, enums } = await readCatalog(client, ['app']);
  expect(tables.map(({ name, kind, parent }) => [name, kind, parent?.name ?? null])).toEqual([
    ['p', 'partitioned', null],
    ['p1', 'partitioned', 'p'],
    ['p11', 'partition-leaf', 'p1'],
    ['t', 'table', null],
  ]);
  expect(enums).toEqual([{ schema: 'app', name: 'Mood', labels: ['B', 'a'] }]);
  const table = tables.find(({ name }) => name === 't') as Table;
  expect(
    table.columns.map((c) => [
      c.name,
      c.type,
      c.storageType,
      c.baseType,
      c.notNull,
      c.hasDefault,
      c.generated,
    ]),
  ).toEqual([
    ['id', 'integer', 'integer', 'integer', true, true, false],
    ['big', 'bigint', 'bigint', 'bigint', true, true, false],
    ['mood', 'app."Mood"', 'app."Mood"', 'app."Mood"', false, true, false],
    ['moods', 'app."Mood"[]', 'app."Mood"[]', 'app."Mood"[]', false, false, false],
    ['name', 'character varying(10)', 'character varying(10)', 'character varying', true, true, false],
    ['code', 'app.shorter', 'character varying(3)', 'character varying', true, true, false],
    ['codes', 'app.shorter[]', 'character varying(3)[]', 'character varying[]', false, false, false],
    ['price', 'numeric(8,2)', 'numeric(8,2)', 'numeric', false, false, false],
    [
      'at',
      'timestamp(3) without time zone',
      'timestamp(3) without time zone',
      'timestamp without time zone',
      false,
      true,
      false,
    ],
    ['ci', 'app.citext', 'app.citext', 'app.citext', false, false, false],
    ['twice', 'integer', 'integer', 'integer', false, false, true],
  ]);
  expect(table.columns.filter((c) => c.enum).map((c) => c.enum)).toEqual([
    { schema: 'app', name: 'Mood', array: false },
    { schema: 'app', name: 'Mood', array: true },
  ]);
  expect(table.columns.filter((c) => c.identity).map((c) => c.name)).toEqual(['big']);
  expect(table.primaryKey).toEqual(['id']);
  expect(table.uniqueKeys).toEqual([
    { name: 't_pkey', columns: ['id'], nullsNotDistinct: false },
    { name: 't_name_price_key', columns: ['name', 'price'], nullsNotDistinct: false },
    { name: 't_price_key', columns: ['price'], nullsNotDistinct: false },
  ]);
  expect(storageOf({ tables, enums, sequences: [] }, tables[0] as Table).map(({ name }) => name)).toEqual([
    'p11',
  ]);
});

it('describes sequences, owned or not, with the columns they fill', async () => {
  const { sequences } = await readCatalog(client, ['app']);
  const fills = (column: string) => ({ table: { schema: 'app', name: 't' }, column });
  const bounds = (max: string) => ({ min: '1', max, increment: '1', cycles: false });
  const [big, small] = [bounds('9223372036854775807'), bounds('2147483647')];
  expect(sequences).toEqual([
    { schema: 'app', name: 'free', type: 'bigint', ...big, ownedBy: null, fills: [] },
    {
      schema: 'app',
      name: 't_big_seq',
      type: 'bigint',
      ...big,
      ownedBy: fills('big'),
      fills: [fills('big')],
    },
    {
      schema: 'app',
      name: 't_id_seq',
      type: 'integer',
      ...small,
      ownedBy: fills('id'),
      fills: [fills('id')],
    },
    { schema: 'app', name: 'used', type: 'integer', ...small, ownedBy: null, fills: [fills('name')] },
  ]);
});

it('leaves the search_path of the session as it was', async () => {
  await client.query('set search_path = other');
  await readCatalog(client, ['app']);
  expect((await client.query('show search_path')).rows).toEqual([{ search_path: 'other' }]);
});
