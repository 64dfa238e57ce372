/** The scan before the downtime: invalid SQL, joins and keys that would go wrong, drops; and what it leaves alone. */
import { Client } from 'pg';
import { checkAssertions, scanMapping } from '../src/mapping/scan';
import { openMappingDatabases, type MappingDatabases } from './support/mapping-databases';

let databases: MappingDatabases;
beforeAll(async () => {
  databases = await openMappingDatabases();
});
afterAll(() => databases.end());

const d = (columns: string, rows = '') =>
  `create table d (${columns}); ${rows && `insert into d values ${rows}`}`;
const inD = (columns: Record<string, string>) => JSON.stringify({ tables: { d: { columns } } });

interface Finding {
  title: string;
  before: string;
  after: string;
  mapping?: string;
  finding: RegExp;
}

const invalid: Finding[] = [
  {
    title: 'a type change that has no cast',
    before: d('a bytea'),
    after: d('a int'),
    finding: /^d\.a can't take what the rows from d give it as integer: cannot cast type bytea to integer/,
  },
  {
    title: 'an expression that calls an unknown function, beside a good one',
    before: d('a int'),
    after: d('a int, b int, c int'),
    mapping: inD({ b: 'source.a + 1', c: 'nothing(source.a)' }),
    finding:
      /^The expression of d\.c for the rows from d is not valid: function nothing\(integer\) does not exist/,
  },
  {
    title: 'an expression that returns a set',
    before: d('a int[]'),
    after: d('a int[], b int'),
    mapping: inD({ b: 'unnest(source.a)' }),
    finding: /^The expression of d\.b .*set-returning functions are not allowed/,
  },
  {
    title: 'an aggregate of its own making over the source rows',
    before: `create aggregate total(int) (sfunc = int4pl, stype = int); ${d('a int')}`,
    after: d('b int'),
    mapping: `${inD({ b: 'total(source.a)' })}`,
    finding: /^The expression of d\.b .*must appear in the GROUP BY clause/,
  },
  {
    title: 'a join that reads an unknown column',
    before: d('a int'),
    after: d('a int'),
    mapping: `{ tables: { d: { join: left join d o on o.nothing = source.a } } }`,
    finding: /^The join or where for the rows from d to d is not valid: column o\.nothing does not exist/,
  },
];

const multiplied: Finding[] = [
  {
    title: 'a join that leaves rows out',
    before: d('a int', '(1), (2), (3)'),
    after: d('a int'),
    mapping: '{ tables: { d: { join: join d o on o.a = source.a + 1 } } }',
    finding: /^The join for d leaves out 1 row of d\. Use a left join\./,
  },
  {
    title: 'a join that multiplies rows',
    before: d('a int', '(1), (2), (3)'),
    after: d('a int'),
    mapping: '{ tables: { d: { join: left join d o on o.a < source.a } } }',
    finding: /^The join for d makes 1 row too many from d\./,
  },
  {
    title: 'a made id that a row already has',
    before: `create table d (id text primary key); create table u (id text); insert into u values ('1'), ('2'); insert into d values ('p_1'), ('x')`,
    after: `create table d (id text primary key); create table u (id text)`,
    mapping: `{ tables: { d: { rows: [{ from: u, columns: { id: "'p_' || source.id" } }] } } }`,
    finding:
      /^1 value of the key d_pkey \(id\) of d would stand more than once among the rows from d and u \(extra rows\)\..* Which \(id\): [^;]+\.$/,
  },
  {
    title: 'a computed key that stands twice',
    before: "create table d (id text primary key); insert into d values ('a'), ('A'), ('b')",
    after: 'create table d (id text primary key)',
    mapping: inD({ id: 'lower(source.id)' }),
    finding: /^1 value of the key d_pkey \(id\) of d would stand more than once among the rows from d\./,
  },
  {
    title: 'values that stand twice in a column that becomes unique',
    before: d('a int, b int', '(1, null), (1, null), (1, 2), (1, 2)'),
    after: d('a int, b int, unique (a, b)'),
    finding: /^1 value of the key d_a_b_key \(a, b\) of d/,
  },
  {
    title: 'NULLs that stand twice in a key that takes them for alike',
    before: d('a int unique', '(null), (null)'),
    after: d('a int unique nulls not distinct'),
    finding: /^1 value of the key d_a_key \(a\) of d/,
  },
  {
    title: 'enum values of a key that become one',
    before: `create type e as enum ('x', 'y'); ${d('a e primary key', `('x'), ('y')`)}`,
    after: `create type e as enum ('x', 'y'); ${d('a e primary key')}`,
    mapping: 'enums: { e: { y: x } }',
    finding: /^1 value of the key d_pkey \(a\) of d/,
  },
];

describe('finds', () => {
  it.each([...invalid, ...multiplied])('$title', async ({ before, after, mapping, finding, title }) => {
    // NULLS NOT DISTINCT came with PostgreSQL 15.
    const { rows } = await databases.source.query<{ server_version_num: string }>('show server_version_num');
    if (/takes them for alike/.test(title) && Number(rows[0]?.server_version_num) < 150000) return;
    const { findings } = await databases.scan(before, after, mapping);
    expect(findings).toEqual([expect.stringMatching(finding)]);
  });

  it('an assertion that cannot run on the new schema', async () => {
    const mapping = JSON.stringify({
      assertions: [
        { name: 'good', sql: 'select * from d where a < 0;' },
        { name: 'bad', sql: 'select nothing from d' },
      ],
    });
    const compiled = await databases.compile(d('a int'), d('a int'), mapping);
    expect(await checkAssertions(databases.target, compiled, { schemas: ['public'], own: {} })).toEqual([
      'The assertion "bad" cannot run on the new schema: column "nothing" does not exist. Correct its SQL.',
    ]);
  });
});

it('does not wait for a table that is copied as it is', async () => {
  const schema =
    'create table d (id int primary key, name varchar(3) not null, unique (name)); create table e (id int)';
  const compiled = await databases.compile(schema, schema);
  const blocker = new Client({ connectionString: databases.sourceUrl });
  await blocker.connect();
  try {
    await blocker.query('begin; lock table d, e in access exclusive mode');
    await databases.source.query(`set lock_timeout = '100ms'`);
    expect((await scanMapping(databases.source, compiled, ['public'])).findings).toEqual([]);
    await expect(databases.source.query('select from d')).rejects.toThrow(/lock timeout/);
  } finally {
    await databases.source.query('reset lock_timeout');
    await blocker.end();
  }
});

it('counts drops and extra rows, says where rows come from, and leaves the session as it was', async () => {
  const before = `create table u (id int primary key, name text, old text, older int); create table gone (id int);
    insert into u values (1, 'a', 'x', null), (2, null, 'y', null), (3, 'c', null, 1); insert into gone select generate_series(1, 5);
    analyze`;
  const after =
    'create table u (id int primary key, name text); create table t (id text primary key, n int); create table _seed (id int)';
  const mapping = `
    tables: { t: { rows: [{ from: u, where: name is not null, columns: { id: "'t_' || source.id", n: default } }] } }
    drop:
      tables: { gone: nobody reads it }
      columns: { u: { old: no longer shown, older: no longer shown } }
    filledBySchema: { _seed: seeds }`;
  const scan = await databases.scan(before, after, mapping);
  expect(scan).toEqual({
    findings: [],
    dropped: [
      { what: 'gone', rows: 5, reason: 'nobody reads it' },
      { what: 'u.old', rows: 2, reason: 'no longer shown' },
      { what: 'u.older', rows: 1, reason: 'no longer shown' },
    ],
    tables: [
      {
        target: 't',
        sources: ['u (extra rows)'],
        rows: 2,
        isEstimate: false,
        expressions: [`id = 't_' || source.id (rows from u)`, 'n = default (rows from u)'],
      },
      { target: 'u', sources: ['u'], rows: 3, isEstimate: false, expressions: [] },
      { target: '_seed', sources: [], rows: 0, isEstimate: false, expressions: [] },
    ],
  });
  const { rows } = await databases.source.query(
    `select current_setting('transaction_read_only') as ro, current_setting('search_path') as path`,
  );
  expect(rows).toEqual([{ ro: 'off', path: '"$user", public' }]);
});
