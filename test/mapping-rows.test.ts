/** The SELECTs of a compiled mapping, run on real rows: every value arrives as the mapping says. */
import { openMappingDatabases, type MappingDatabases } from './support/mapping-databases';

let databases: MappingDatabases;
beforeAll(async () => {
  databases = await openMappingDatabases();
});
afterAll(() => databases.end());

it('copies everything under its own name with an empty mapping, whatever it is called', async () => {
  const schema = `
    create table "we""ird Table" ("order" int primary key, "Mixed Case" text, "a.b" text[], "sélect" jsonb);
    create table "select" ("from" numeric(20, 5), "$1" bytea, source int, ctid_ timestamp(3));
    create table "source" (source text, ":x" text)`;
  const rows = `
    insert into "we""ird Table" values (1, E'tab\\t "quote" \\\\N', '{{a,NULL},{"",b}}', '{"n": 1e400, "é": [null]}'), (2, null, '{}', null);
    insert into "select" values (1.5, '\\x00ff', 7, 'infinity');
    insert into source values ('s', null)`;
  const read = await databases.migrate(`${schema}; ${rows}`, schema);
  for (const table of ['"we""ird Table"', '"select"', '"source"']) {
    const sql = `select t::text from ${table} t order by 1`;
    expect(await read(sql)).toEqual((await databases.source.query({ text: sql, rowMode: 'array' })).rows);
  }
});

it('keeps to its schemas, and finds a table by its schema', async () => {
  const before = `
    create table "User" (id int); create table crm."User" (id int); create table crm."Old" (id int);
    insert into "User" values (1); insert into crm."User" values (2); insert into crm."Old" values (3)`;
  const after =
    'create table "User" (id int); create table crm."User" (id int); create table crm."New" (id int)';
  const read = await databases.migrate(before, after, 'tables: { crm.New: { from: crm.Old } }', [
    'public',
    'crm',
  ]);
  expect(
    await read('select (select id from "User"), (select id from crm."User"), (select id from crm."New")'),
  ).toEqual([[1, 2, 3]]);
});

const mood = (labels: string) => `create type "Mood" as enum (${labels});`;

it('exchanges enum values in rows and in arrays of every shape, NULL elements and bounds kept', async () => {
  const table = 'create table d (id int, mood "Mood", seen "Mood"[]);';
  const read = await databases.migrate(
    `${mood(`'GOOD', 'BAD', 'UGLY'`)} ${table} insert into d values
      (1, 'GOOD', '{GOOD,NULL,BAD}'), (2, 'BAD', '{}'), (3, null, null),
      (4, 'UGLY', '{{GOOD,BAD},{NULL,UGLY}}'), (5, 'GOOD', '[0:1]={BAD,GOOD}')`,
    `${mood(`'GOOD', 'FINE'`)} ${table}`,
    'enums: { Mood: { BAD: GOOD, UGLY: FINE } }',
  );
  expect(await read('select id, mood::text, seen::text from d order by id')).toEqual([
    [1, 'GOOD', '{GOOD,NULL,GOOD}'],
    [2, 'GOOD', '{}'],
    [3, null, null],
    [4, 'FINE', '{{GOOD,GOOD},{NULL,FINE}}'],
    [5, 'GOOD', '[0:1]={GOOD,GOOD}'],
  ]);
});

it.each([
  ['a chain', '{ A: B, B: C }', '{B,C,C}'],
  ['a circle', '{ A: B, B: A }', '{B,A,C}'],
  ['a longer circle', '{ A: B, B: C, C: A }', '{B,C,A}'],
])('exchanges each enum value once in %s of renamings', async (_, changes, expected) => {
  const schema = `${mood(`'A', 'B', 'C'`)} create table d (mood "Mood", seen "Mood"[]);`;
  const rows = `insert into d values ('A', '{A,B,C}'), ('B', null), ('C', null)`;
  const read = await databases.migrate(schema + rows, schema, `enums: { Mood: ${changes} }`);
  expect(await read("select string_agg(mood::text, ',' order by ctid), max(seen::text) from d")).toEqual([
    [expected.slice(1, -1), expected],
  ]);
});

it('takes values of a renamed enum, a domain over an enum, and an enum that becomes text', async () => {
  const read = await databases.migrate(
    `${mood(`'A', 'B'`)} create domain feeling as "Mood";
     create table d (a "Mood", b feeling, c "Mood", e text); insert into d values ('A', 'B', 'A', 'x')`,
    `create type "Feeling" as enum ('A', 'Z'); create domain feeling as "Feeling";
     create table d (a "Feeling", b feeling, c text, e "Feeling")`,
    `enums: { Mood: { B: Z } }\ntables: { d: { columns: { e: "case source.e when 'x' then 'Z' end" } } }`,
  );
  expect(await read('select a::text, b::text, c, e::text from d')).toEqual([['A', 'Z', 'A', 'Z']]);
});

it('exchanges values in an expression that is one column, and leaves what other expressions make', async () => {
  const enums = [mood(`'A', 'B'`), `${mood(`'A', 'B', 'C'`)}`] as const;
  const read = await databases.migrate(
    `${enums[0]} create table d (old "Mood"); insert into d values ('A'), ('B')`,
    `${enums[1]} create table d (same "Mood", made "Mood")`,
    `enums: { Mood: { A: B, B: C } }\ntables: { d: { columns: { same: source.old, made: "coalesce(source.old, 'A')" } } }`,
  );
  expect(await read('select same::text, made::text from d order by 1')).toEqual([
    ['B', 'A'],
    ['C', 'B'],
  ]);
});

it('joins, counts joined rows, and makes extra rows with a condition', async () => {
  const before = `
    create table "User" (id text primary key, name text, "teamId" text);
    create table "Team" (id text primary key, title text);
    insert into "Team" values ('t', 'Team'); insert into "User" values ('a', 'Ann', 't'), ('b', null, 't'), ('c', '', null)`;
  const after = `
    create table "User" (id text primary key, name text, "teamTitle" text);
    create table "Team" (id text primary key, title text, members smallint not null, personal boolean not null default true)`;
  const mapping = `
    tables:
      User:
        join: left join "Team" t on t.id = source."teamId" -- the team's name moves in
        columns: { teamTitle: 'coalesce(t.title, source."teamId") -- or nothing' }
      Team:
        columns:
          personal: false
          members: (select count(*) from "User" u where u."teamId" = source.id)
        rows:
          - from: User
            join: left join "Team" t on t.id = source."teamId"
            where: t.id is null or nullif(name, '') is not null
            columns:
              id: "'p_' || md5(source.id)"
              title: coalesce(nullif(name, ''), 'User') || '''s'
              members: 1
              personal: default`;
  const read = await databases.migrate(before, after, mapping);
  expect(await read('select * from "User" order by id')).toEqual([
    ['a', 'Ann', 'Team'],
    ['b', null, 'Team'],
    ['c', '', null],
  ]);
  expect(
    await read("select title, members, personal, id = 'p_' || md5('a') from \"Team\" order by 1"),
  ).toEqual([
    ["Ann's", 1, true, true],
    ['Team', 2, false, false],
    ["User's", 1, true, false],
  ]);
});

it('leaves a column to its default, and writes constant ones out where other rows fill it', async () => {
  const after = `create table d (id int generated always as identity, n int, note text, tags text[] default array[]::text[],
    size numeric(5, 2) default -1.5, kind "Mood" default 'B', made timestamp default now())`;
  const before = `create table d (n int, note text, tags text[], size numeric(5, 2), kind "Mood"); insert into d values (1, 'x', '{a}', 2, 'A')`;
  const mapping = `
    tables:
      d:
        columns: { id: default, made: DEFAULT }
        rows:
          - from: d
            columns: { id: default, n: source.n + 1, note: default, tags: default, size: default, kind: default, made: default }`;
  const read = await databases.migrate(mood(`'A', 'B'`) + before, mood(`'A', 'B'`) + after, mapping);
  expect(
    await read('select id, n, note, tags, size, kind::text, made is not null from d order by id'),
  ).toEqual([
    [1, 1, 'x', ['a'], '2.00', 'A', true],
    [2, 2, null, [], '-1.50', 'B', true],
  ]);
});

it('gives each column its exact type', async () => {
  const read = await databases.migrate(
    `create table d (a int, b int, c text, e varchar(5), f text); insert into d values (1, 2, '2020-01-02', 'abc', 'ab')`,
    `create domain short as varchar(3);
     create table d (a bigint, b numeric(6, 2), c timestamp(3), e short, f char(4), g uuid, h jsonb, i int[], g2 short[])`,
    `tables: { d: { columns: { c: "(source.c || ' 10:00')::timestamp", f: source.f, g: "md5(source.c)::uuid",
       h: "'{}'", i: "array[source.a, null]", g2: "array['x']" } } }`,
  );
  expect(await read('select a, b, c::text, e, f, g is not null, h, i, g2::text from d')).toEqual([
    ['1', '2.00', '2020-01-02 10:00:00', 'abc', 'ab  ', true, {}, [1, null], '{x}'],
  ]);
});

it('reads the leaves of a partitioned table and fills one through its root', async () => {
  const after = `create table log (id int, at date, big boolean) partition by range (at);
    create table log_a partition of log for values from ('2020-01-01') to ('2021-01-01');
    create table log_b partition of log default`;
  const before = `create table log (at date, id int) partition by list (id);
    create table log_1 partition of log for values in (1);
    create table log_2 (id int, at date); alter table log attach partition log_2 for values in (2);
    insert into log values ('2020-02-01', 1), ('2022-01-01', 2), ('2020-03-01', 2)`;
  const read = await databases.migrate(before, after, 'tables: { log: { columns: { big: source.id > 1 } } }');
  expect(await read('select tableoid::regclass::text, id, big from log order by 1, 2')).toEqual([
    ['log_a', 1, false],
    ['log_a', 2, true],
    ['log_b', 2, true],
  ]);
});

it('does not copy the rows of an inheriting table twice', async () => {
  const schema = 'create table a (id int); create table b (more int) inherits (a);';
  const read = await databases.migrate(
    `${schema} insert into a values (1); insert into b values (2, 3)`,
    schema,
  );
  expect(await read('select (select count(*)::int from a), (select count(*)::int from only a)')).toEqual([
    [2, 1],
  ]);
});

it('recomputes generated columns and copies one that becomes plain', async () => {
  const read = await databases.migrate(
    `create table d (n int, twice int generated always as (n * 2) stored, half int generated always as (n / 2) stored); insert into d values (4)`,
    `create table d (n int, twice int generated always as (n * 3) stored, half int)`,
  );
  expect(await read('select n, twice, half from d')).toEqual([[4, 12, 2]]);
});

it('refuses what is too long when it is copied, even if it came after the scan', async () => {
  const after = 'create table d (name varchar(3))';
  await expect(
    databases.migrate(`create table d (name text); insert into d values ('abcd')`, after),
  ).rejects.toThrow();
});
