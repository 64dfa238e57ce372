/** Preflight of rows: each kind of constraint of the new schema, counted over the mapping's rows, with the first of those that break it. */
import type { CompiledSource } from '../src/mapping/compiled';
import { batchesOf } from '../src/preflight/trial-rows';
import { openMappingDatabases, type MappingDatabases } from './support/mapping-databases';
import { misfitsIn } from './support/misfits';

let databases: MappingDatabases;
beforeAll(async () => {
  databases = await openMappingDatabases();
});
afterAll(() => databases.end());

const look = (before: string, after: string, mapping?: string) =>
  misfitsIn(databases, { before, after, mapping });

const d = (columns: string, rows = '') =>
  `create table d (id int primary key, ${columns}); ${rows && `insert into d values ${rows};`}`;
const inD = (columns: Record<string, string>) => JSON.stringify({ tables: { d: { columns } } });
const state = `create type state as enum ('on', 'off');`;

interface Case {
  title: string;
  before: string;
  after: string;
  mapping?: string;
  finding: RegExp;
  times?: number;
}

const cases: Case[] = [
  {
    title: 'a check',
    before: d('a int', '(1, 5), (2, -5), (3, null), (4, -6)'),
    after: d('a int constraint positive check (a > 0)'),
    finding:
      /^2 rows for d would break the check positive of the new schema, \(a > 0\)\. Correct the rows.* Which \(id\): 2; 4\.$/,
  },
  {
    title: 'a check over what the mapping makes, of which ten are named',
    before: d('a int') + 'insert into d select n, n from generate_series(1, 25) n;',
    after: d('a int, b int constraint small check (b < 10)'),
    mapping: inD({ b: 'source.a * 2' }),
    finding: /^21 rows for d would break the check small.* The first 10 \(id\): 5; 6; .*; 14\.$/,
  },
  {
    title: 'a check over a type and a function that only the new schema has',
    before: d('a text', `(1, 'on'), (2, 'off')`),
    after: `${state} create function lit(s state) returns boolean immutable language sql as 'select s = ''on''';
      ${d('a state constraint shines check (lit(a))')}`,
    finding: /^1 row for d would break the check shines.* \(id\): 2\.$/,
  },
  {
    title: 'a check whose function answers otherwise in the new schema',
    before: `create function fine(a int) returns boolean immutable language sql as 'select true';
      ${d('a int constraint is_fine check (fine(a))', '(1, 1), (2, 2)')}`,
    after: `create function fine(a int) returns boolean immutable language sql as 'select a = 1';
      ${d('a int constraint is_fine check (fine(a))')}`,
    finding: /^1 row for d would break the check is_fine of the new schema.* \(id\): 2\.$/,
  },
  {
    title: 'a check that raises an error for a row',
    before: d('a text', `(1, '7'), (2, 'secret'), (3, '0')`),
    after: d(`a text constraint numeral check (a::int > 0)`),
    finding: /^2 rows for d would break the check numeral.* \(id\): 2; 3\.$/,
  },
  {
    title: 'a check over the row as a whole',
    before: d('a int, b int', '(1, 1, null), (2, null, null)'),
    after: `${d('a int, b int')} create function anything(r d) returns boolean immutable language sql as 'select num_nonnulls(r.a, r.b) > 0';
      alter table d add constraint whole check (anything(d))`,
    finding: /^1 row for d would break the check whole.* \(id\): 2\.$/,
  },
  {
    title: 'a check over computed columns and defaults',
    before: d('a int', '(1, 1), (2, 200)'),
    after: d(
      'a int, b int generated always as (a * 2) stored, c int default 100, constraint less check (b < c)',
    ),
    mapping: inD({ c: 'default' }),
    finding: /^1 row for d would break the check less.* \(id\): 2\.$/,
  },
  {
    title: 'a computed column without a value',
    before: d('a int', '(1, 1), (2, null)'),
    after: d('a int, b int not null generated always as (a * 2) stored'),
    finding: /^1 row for d would have no value in b, which the new schema computes.* \(id\): 2\.$/,
  },
  {
    title: 'the check of a domain',
    before: d('a int', '(1, 1), (2, -2), (3, null)'),
    after: `create domain number as int; create domain positive as number constraint above check (value > 0); ${d('a positive')}`,
    finding:
      /^1 row for d would break above of the domain public\.positive of the new schema in a: .* \(id\): 2\.$/,
  },
  {
    title: 'domains of elements',
    before: d('a int[]', `(1, '{1,2}'), (2, '{{1},{-1}}'), (3, '{1,null}')`),
    after: `create domain positive as int not null constraint above check (value > 0); ${d('a positive[]')}`,
    finding: /^1 row for d would break (above|not null) of the domain public\.positive.* \(id\): [23]\.$/,
    times: 2,
  },
  {
    title: 'domains in composites',
    before: `create type pair as (one int, two int); ${d('a pair', `(1, '(1,2)'), (2, '(1,-2)')`)}`,
    after: `create domain positive as int check (value > 0); create type pair as (one positive, two positive); ${d('a pair')}`,
    finding: /^1 row for d would break positive_check of the domain public\.positive.* \(id\): 2\.$/,
  },
  {
    title: 'rows without a partition',
    before: d('a int', '(1, 5), (2, 15), (3, null)'),
    after: `create table d (id int, a int) partition by range (a); create table d0 partition of d for values from (0) to (10)`,
    finding:
      /^2 rows for d would find no partition \(RANGE \(a\).*\)\. Add a partition.* \(ctid of d\): \(0,2\); \(0,3\)\.$/,
  },
  {
    title: 'a missing remainder of a hash',
    before: d('a int') + 'insert into d select n, n from generate_series(1, 100) n;',
    after: `create table d (id int, a int) partition by hash (a); create table d0 partition of d for values with (modulus 2, remainder 0)`,
    finding: /^\d\d rows for d would find no partition \(HASH \(a\)/,
  },
  {
    title: "a partition's own check",
    before: d('a int', '(1, 5), (2, 15)'),
    after: `create table d (id int, a int) partition by range (a); create table d0 partition of d (constraint low check (id > 5)) for values from (0) to (10);
      create table d1 partition of d default`,
    finding: /^1 row for d0 would break the check low.*\(0,1\)\.$/,
  },
  {
    title: 'a unique index on an expression, with a condition',
    before: d(
      'a text, b boolean',
      `(1, 'x', true), (2, 'X', true), (3, 'x', false), (4, null, true), (5, null, true)`,
    ),
    after: d('a text, b boolean') + 'create unique index d_lower on d (lower(a)) where b',
    finding:
      /^2 rows for d would share their keys with others in the unique index d_lower.*lower\(a\).*WHERE b\. .* \(id\): 1; 2\.$/,
  },
  {
    title: 'an exclusion',
    before: d('a int4range', `(1, '[1,5)'), (2, '[4,8)'), (3, '[8,9)'), (4, null), (5, '[20,21)')`),
    after: d('a int4range, constraint apart exclude using gist (a with &&) where (id < 9)'),
    finding: /^2 rows for d would exclude each other by apart.* \(id\): 1; 2\.$/,
  },
];

describe('finds', () => {
  test.each(cases)('$title', async ({ before, after, mapping, finding, times = 1 }) => {
    const { findings, notes } = await look(before, after, mapping);
    expect(findings).toEqual(Array(times).fill(expect.stringMatching(finding)));
    expect(findings.join()).not.toContain('secret');
    expect(notes).toEqual([]);
  });

  // NULLS NOT DISTINCT came with PostgreSQL 15.
  test('NULLs that an index takes for alike', async () => {
    const { rows } = await databases.target.query<{ v: number }>(
      `select current_setting('server_version_num')::int as v`,
    );
    if ((rows[0]?.v ?? 0) < 150000) return;
    const after = `${d('a text')} create unique index d_lower on d (lower(a)) nulls not distinct`;
    const { findings } = await look(d('a text', `(1, null), (2, null), (3, 'x')`), after);
    expect(findings).toEqual([expect.stringMatching(/^2 rows for d would share.* \(id\): 1; 2\.$/)]);
  });
});

test('rows of a large table go on trial in batches that leave none out', () => {
  const source = { table: { schema: 'public', name: 'd' }, join: null, where: 'source.a > 0' };
  const selects = batchesOf(source as CompiledSource, 'source.a', 131_073);
  expect(selects.map((select) => select.split(' where ')[1])).toEqual([
    "(source.ctid >= '(0,0)' and source.ctid < '(65536,0)') and (source.a > 0)",
    "(source.ctid >= '(65536,0)' and source.ctid < '(131072,0)') and (source.a > 0)",
    "(source.ctid >= '(131072,0)') and (source.a > 0)",
  ]);
  expect(batchesOf(source as CompiledSource, 'source.a', 8)).toEqual([
    'select source.a from only "public"."d" as source where (source.a > 0)',
  ]);
});

describe('finds nothing', () => {
  test.each([
    [
      'a check that is not validated',
      d('a int', '(1, -1)'),
      `${d('a int')} alter table d add check (a > 0) not valid`,
    ],
    [
      'NULLs in checks and domains',
      d('a int', '(1, null)'),
      `create domain n as int check (value > 0); ${d('a n check (a > 1)')}`,
    ],
    [
      'values that a partition takes',
      d('a int', '(1, 1), (2, null)'),
      `create table d (id int, a int) partition by list (a);
       create table d1 partition of d for values in (1, null)`,
    ],
    [
      'any value in a default partition',
      d('a int', '(1, 1), (2, null)'),
      `create table d (id int, a int) partition by range (a);
       create table d1 partition of d default`,
    ],
    [
      'alike rows that only an index without condition would refuse',
      d('a text', `(1, 'x'), (2, 'x')`),
      `${d('a text')} create unique index on d (lower(a)) where id > 1`,
    ],
  ])('for %s', async (_title, before, after) => {
    expect(await look(before, after)).toEqual({ findings: [], notes: [] });
  });
});
