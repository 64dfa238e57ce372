/** Rows that differ are named by their primary keys: whatever was done to them, on whichever side, and nothing else is quoted. */
import type { Client } from 'pg';
import { hashTables } from '../src/engine/compare';
import { describeDifferences, hashJob, narrowStored } from '../src/engine/differences';
import { findDifferingRows } from '../src/engine/narrow';
import type { HashMethod } from '../src/engine/row-hash';
import { readStoredTables } from '../src/engine/tables';
import { connect, disconnect } from '../src/postgres/connect';
import { createDatabase, type TestDatabase } from './support/environment';

let databases: TestDatabase[];
let backup: Client;
let production: Client;

beforeEach(async () => {
  databases = [await createDatabase('narrow_left'), await createDatabase('narrow_right')];
  backup = await connect(url(0), 'test left');
  production = await connect(url(1), 'test right');
});
afterEach(async () => {
  await disconnect(backup);
  await disconnect(production);
  for (const database of databases) await database.drop();
});

const users = `create table public."User" (id text primary key, "fullName" text, born date);
  insert into public."User" select 'u' || n, 'secret name ' || n, date '1990-01-01' + n from generate_series(1, 50) n`;
const table = 'table "public"."User"';
const sameCount = `${table} has 50 rows on both sides, but their content differs`;

describe.each(['record', 'text'] as const)('by %s', (method) => {
  beforeEach(() => onBoth(users));

  test.each([
    [
      'one changed byte',
      `update public."User" set "fullName" = 'Secret name 7' where id = 'u7'`,
      `: id = 'u7'`,
    ],
    ['a value that became NULL', `update public."User" set born = null where id = 'u8'`, `: id = 'u8'`],
    [
      'two rows that exchanged their keys',
      `update public."User" set id = case id when 'u1' then 'x' when 'u2' then 'u1' end where id in ('u1', 'u2');
       update public."User" set id = 'u2' where id = 'x'`,
      `: id = 'u1', id = 'u2'`,
    ],
    [
      'a row in the place of another',
      `update public."User" set id = 'v3' where id = 'u3'`,
      `: id = 'u3' (missing in production), id = 'v3' (extra in production)`,
    ],
    [
      'a row doubled in the place of another',
      `alter table public."User" drop constraint "User_pkey"; delete from public."User" where id = 'u4';
       insert into public."User" select * from public."User" where id = 'u5'`,
      `: id = 'u4' (missing in production), id = 'u5' (2 rows in production, 1 in the backup)`,
    ],
  ])('names %s', async (_what, change, expected) => {
    await production.query(change);
    expect(await compare(method)).toEqual([`${sameCount}${expected}`]);
  });

  test('names a missing row and an extra row, in production as in the backup', async () => {
    await production.query(`delete from public."User" where id = 'u9'`);
    expect(await compare(method)).toEqual([
      `${table} has 50 rows in the backup and 49 in production: id = 'u9' (missing in production)`,
    ]);
    await backup.query(`delete from public."User" where id in ('u9', 'u10')`);
    expect(await compare(method)).toEqual([
      `${table} has 48 rows in the backup and 49 in production: id = 'u10' (extra in production)`,
    ]);
  });

  test('names a doubled row', async () => {
    await backup.query(`alter table public."User" drop constraint "User_pkey"`);
    await production.query(`alter table public."User" drop constraint "User_pkey"`);
    await production.query(`insert into public."User" select * from public."User" where id = 'u6'`);
    expect(await compare(method)).toEqual([
      `${table} has 50 rows in the backup and 51 in production: 0 rows of the backup and 1 of production have no equal on the other side; the table has no primary key to name them by`,
    ]);
    await backup.query(`alter table public."User" add primary key (id)`);
    expect(await compare(method)).toEqual([
      `${table} has 50 rows in the backup and 51 in production: id = 'u6' (2 rows in production, 1 in the backup)`,
    ]);
  });

  test('names ten of many and counts the others', async () => {
    await production.query(`update public."User" set born = born + 1`);
    const [problem = ''] = await compare(method);
    expect(problem).toMatch(
      /content differs: id = 'u1', id = 'u10', id = 'u11', id = 'u12', (id = 'u\d+', ){6}and 40 more$/,
    );
  });

  test('says nothing of tables whose rows only stand in another order', async () => {
    await production.query(`update public."User" set born = born where id < 'u3'`);
    expect(await compare(method)).toEqual([]);
  });
});

test.each(['record', 'text'] as const)(
  'keys of several columns, quoted names, enums and numbers are named as they are written in SQL (by %s)',
  async (method) => {
    await production.query("create type public.other as enum ('x')");
    await onBoth(`
      create type public."Kind" as enum ('apple', 'Pear', 'it''s');
      create schema "Odd ""Schema""";
      create table "Odd ""Schema"""."A b" ("Kind" public."Kind", n integer, "the ""Value""" text, primary key (n, "Kind"));
      insert into "Odd ""Schema"""."A b" select k, n, 'v' from unnest(enum_range(null::public."Kind")) k, generate_series(-2, 10) n;
      create table "Odd ""Schema""".moods (kind public."Kind" primary key, note text);
      insert into "Odd ""Schema""".moods select k from unnest(enum_range(null::public."Kind")) k`);
    await production.query(`
      update "Odd ""Schema"""."A b" set "the ""Value""" = 'w' where n in (-1, 2, 10) and "Kind" = 'it''s';
      delete from "Odd ""Schema"""."A b" where n = 2 and "Kind" = 'Pear';
      update "Odd ""Schema""".moods set note = '' where kind = 'apple'`);
    const problems = await compare(method, ['Odd "Schema"']);
    expect(problems.sort()).toEqual([
      `table "Odd ""Schema"""."A b" has 39 rows in the backup and 38 in production: (n, "Kind") = (-1, 'it''s'), (n, "Kind") = (2, 'Pear') (missing in production), (n, "Kind") = (2, 'it''s'), (n, "Kind") = (10, 'it''s')`,
      `table "Odd ""Schema"""."moods" has 3 rows on both sides, but their content differs: kind = 'apple'`,
    ]);
  },
);

test('a table without a primary key: rows are counted, not quoted, and equal rows are told apart by their number', async () => {
  await onBoth(`create table public.logs (word text unique not null, n int);
    insert into public.logs values ('a secret', 1), ('b secret', null), ('c secret', 3)`);
  await production.query(`update public.logs set n = 2 where n is null`);
  expect(await compare('record')).toEqual([
    'table "public"."logs" has 3 rows on both sides, but their content differs: 1 row of the backup and 1 of production have no equal on the other side; the table has no primary key to name them by',
  ]);
  await onBoth(
    `create table public.many (n int); insert into public.many values (1), (1), (1), (null), (null)`,
  );
  await production.query(
    `delete from public.many where ctid = '(0,1)'; insert into public.many values (null)`,
  );
  await backup.query('drop table public.logs');
  await production.query('drop table public.logs');
  expect((await compare('record'))[0]).toContain(
    'table "public"."many" has 5 rows on both sides, but their content differs: 1 row of the backup and 1 of production',
  );
});

test('NULLs in what was a key before it was stripped are rows like others', async () => {
  await onBoth('create table public.t (a text, b text, c int, primary key (a, b))');
  await production.query(
    'alter table public.t drop constraint t_pkey, alter a drop not null, alter b drop not null',
  );
  await backup.query(`insert into public.t values ('', 'x', 1), ('y', '', 2)`);
  await production.query(`insert into public.t values (null, 'x', 1), ('y', '', 2), (null, null, 3)`);
  expect(await compare('record')).toEqual([
    `table "public"."t" has 2 rows in the backup and 3 in production: (a, b) = (NULL, NULL) (extra in production), (a, b) = ('', 'x') (missing in production), (a, b) = (NULL, 'x') (extra in production)`,
  ]);
});

test('keys that are long or have more than one line are cut and stay on one line', async () => {
  await onBoth(`create table public.t (id text primary key, n int);
    insert into public.t values (repeat('k', 200), 1), (E'two\\nlines', 1)`);
  await production.query('update public.t set n = 2');
  expect(await compare('record')).toEqual([
    `table "public"."t" has 2 rows on both sides, but their content differs: id = '${'k'.repeat(80)}…', id = 'two\\nlines'`,
  ]);
});

test('tables whose columns are not the same are not narrowed', async () => {
  await onBoth('create table public.t (id int primary key); insert into public.t values (1)');
  await production.query('alter table public.t add more int');
  expect(await compare('record')).toEqual([
    'table "public"."t" has 1 rows on both sides, but their content differs (its columns are not the same on both sides)',
  ]);
});

test('one row in three hundred thousand is found, and ten of a table that differs as a whole without reading it all', async () => {
  await onBoth(`create table public.big (id int primary key, v text);
    insert into public.big select n, md5(n::text) from generate_series(1, 300000) n`);
  await production.query(`update public.big set v = 'changed' where id = 271828`);
  expect(await compare('record')).toEqual([
    'table "public"."big" has 300000 rows on both sides, but their content differs: id = 271828',
  ]);
  await production.query(`update public.big set v = v || 'x'`);
  const rows = await findDifferingRows({
    left: { url: url(0), title: 'left', from: 'only public.big' },
    right: { url: url(1), title: 'right', from: 'only public.big' },
    columns: [
      { name: 'id', type: 'integer' },
      { name: 'v', type: 'text' },
    ],
    key: ['id'],
    method: 'record',
    label: 'test',
    signal: new AbortController().signal,
  });
  expect(rows.first).toHaveLength(10);
  expect(rows.isComplete).toBe(false);
  expect(rows.keys).toBeLessThan(30_000);
});

function url(index: number): string {
  return databases[index]?.url ?? '';
}

async function onBoth(sql: string): Promise<void> {
  await backup.query(sql);
  await production.query(sql);
}

async function compare(method: HashMethod, schemas = ['public']): Promise<string[]> {
  const reading = { method, label: 'test', lanes: 2, signal: new AbortController().signal };
  const [before, after] = [
    await readStoredTables(backup, schemas),
    await readStoredTables(production, schemas),
  ];
  return describeDifferences(
    [
      await hashTables(before.map(hashJob), { ...reading, url: url(0) }),
      await hashTables(after.map(hashJob), { ...reading, url: url(1) }),
    ],
    ['the backup', 'production'],
    narrowStored(
      { url: url(0), client: backup, title: 'the backup', tables: before },
      { url: url(1), client: production, title: 'production', tables: after },
      reading,
    ),
  );
}
