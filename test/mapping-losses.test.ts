/** The scan before the downtime: values that would not fit their new column, counted without showing data. */
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

const losses: Finding[] = [
  {
    title: 'NULLs of a copied column that becomes NOT NULL',
    before: d('a int', '(1), (null), (null)'),
    after: d('a int not null'),
    finding: /^d\.a is NOT NULL but would be NULL in 2 rows for the rows from d\. /,
  },
  {
    title: 'NULLs of an expression for a NOT NULL column',
    before: d('a int', '(1), (null)'),
    after: d('a int, b int not null'),
    mapping: inD({ b: 'source.a + 1' }),
    finding: /^d\.b is NOT NULL but would be NULL in 1 row /,
  },
  {
    title: 'a constant NULL for a NOT NULL column',
    before: d('a int'),
    after: d('a int, b int not null'),
    mapping: inD({ b: 'null' }),
    finding: /^The expression of d\.b is NULL, but the column is NOT NULL/,
  },
  {
    title: 'NULLs for a domain that is NOT NULL',
    before: d('a int', '(null)'),
    after: `create domain n as int not null; ${d('a n')}`,
    finding: /^d\.a is NOT NULL but would be NULL in 1 row/,
  },
  {
    title: 'NULLs in a column of the new primary key',
    before: d('a int', '(null), (1)'),
    after: d('a int primary key'),
    finding: /^d\.a is NOT NULL but would be NULL in 1 row/,
  },
  {
    title: 'texts that a shorter column would cut off',
    before: d('a text', `('abc'), ('abcd'), ('abcde')`),
    after: d('a varchar(3)'),
    finding: /^2 values would not fit d\.a \(character varying\(3\)\) for the rows from d/,
  },
  {
    title: 'texts of an expression that char(n) would cut off',
    before: d('a text', `('abc'), ('abcd')`),
    after: d('a text, b char(3)'),
    mapping: inD({ b: `source.a || ''` }),
    finding: /^1 value would not fit d\.b \(character\(3\)\)/,
  },
  {
    title: 'numbers that would be rounded or are too large',
    before: d('a numeric', '(1.25), (1.251), (1000), (-999.99)'),
    after: d('a numeric(5, 2)'),
    finding: /^2 values would not fit d\.a \(numeric\(5,2\)\)/,
  },
  {
    title: 'times that would be rounded',
    before: d('a timestamp', `('2020-01-01 10:00:00.123'), ('2020-01-01 10:00:00.1234'), ('infinity')`),
    after: d('a timestamp(3)'),
    finding: /^1 value would not fit d\.a \(timestamp\(3\) without time zone\)/,
  },
  {
    title: 'integers out of range',
    before: d('a bigint', '(1), (3000000000), (-3000000000)'),
    after: d('a integer'),
    finding: /^2 values would not fit d\.a \(integer\)/,
  },
  {
    title: 'fractions in an integer column',
    before: d('a numeric', `(1.0), (1.5), ('NaN')`),
    after: d('a int, b int'),
    mapping: inD({ a: 'source.a * 1', b: '7' }),
    finding: /^2 values would not fit d\.a \(integer\)/,
  },
  {
    title: 'a counted number that an integer cannot hold',
    before: d('a int', '(1)'),
    after: d('a int, b smallint'),
    mapping: inD({ b: '(select count(*) + 40000 from d)' }),
    finding: /^1 value would not fit d\.b \(smallint\)/,
  },
  {
    title: 'times of day lost in a date',
    before: d('a timestamp', `('2020-01-01'), ('2020-01-01 10:00')`),
    after: d('a date'),
    finding: /^1 value would not fit d\.a \(date\)/,
  },
  {
    title: 'precision lost in a float',
    before: d('a double precision', '(0.5), (0.1)'),
    after: d('a real'),
    finding: /^1 value would not fit d\.a \(real\)/,
  },
  {
    title: 'texts that do not come back from their new type as they were',
    before: d('a text', `('7'), ('007')`),
    after: d('a int'),
    finding: /^1 value would not fit d\.a \(integer\)/,
  },
  {
    title: 'array elements that would be cut off',
    before: d('a text[]', `('{abc}'), ('{abcd,NULL}')`),
    after: d('a varchar(3)[]'),
    finding: /^1 value would not fit d\.a \(character varying\(3\)\[\]\)/,
  },
  {
    title: 'a constant that does not fit',
    before: d('a int'),
    after: d('a int, b varchar(2)'),
    mapping: inD({ b: `'abc'` }),
    finding: /^The value of the expression of d\.b does not fit character varying\(2\)/,
  },
  {
    title: 'texts that an enum does not have',
    before: d('a text', `('x'), ('y'), (null)`),
    after: `create type e as enum ('x'); ${d('a e')}`,
    finding: /^d\.a would get a value that its enum doesn't have in 1 row .*the values are x\./,
  },
  {
    title: 'array elements of an expression that an enum does not have',
    before: d('a text[]', `('{x,NULL}'), ('{{y},{x}}')`),
    after: `create type e as enum ('x'); ${d('b e[]')}`,
    mapping: inD({ b: `source.a || '{}'` }),
    finding: /^d\.b would get a value that its enum doesn't have in 1 row/,
  },
  {
    title: 'values that a new domain takes no longer',
    before: d('a text', `('abcd')`),
    after: `create domain short as varchar(3); ${d('a short')}`,
    finding: /^1 value would not fit d\.a \(character varying\(3\)\)/,
  },
  {
    title: 'an expression that fails on a row, without the row',
    before: d('a text', `('1'), ('secret "thing"')`),
    after: d('a int'),
    mapping: inD({ a: 'source.a::int' }),
    finding:
      /^At least one row does not fit d\.a for the rows from d: invalid input syntax for type integer: "…"|type "…"/,
  },
  {
    title: 'a cast that fails on a row',
    before: d('a text', `('1'), ('99999999999')`),
    after: d('a int, b text'),
    mapping: inD({ a: `source.a || ''`, b: `source.a || ''` }),
    finding: /^At least one row does not fit d\.a .*"…"/,
  },
  {
    title: 'a sub-select that finds more than one row',
    before: d('a int', '(1), (1)'),
    after: d('a int, b int'),
    mapping: inD({ b: '(select o.a from d o where o.a = source.a)' }),
    finding: /^At least one row does not fit d\.b .*more than one row returned by a subquery/,
  },
];

describe('finds', () => {
  it.each(losses)('$title', async ({ before, after, mapping, finding }) => {
    const { findings } = await databases.scan(before, after, mapping);
    expect(findings).toEqual([expect.stringMatching(finding)]);
    expect(findings.join()).not.toContain('secret');
  });
});

describe('finds nothing', () => {
  it.each([
    [
      'wider types',
      'a int, b varchar(3), c numeric(4, 2), e timestamp(3), f real',
      'a bigint, b text, c numeric(6, 3), e timestamp, f double precision',
      `(1, 'abc', 1.5, 'infinity', 0.1)`,
    ],
    [
      'narrower types that everything fits',
      'a bigint, b text, c numeric, e timestamp, f int',
      'a int, b varchar(3), c numeric(4, 2), e timestamp(3), f smallint',
      `(1, 'abc', 1.50, '2020-01-01 00:00:00.123', 3), (null, null, null, null, null)`,
    ],
  ])('in %s', async (_, before, after, rows) => {
    expect((await databases.scan(d(before, rows), d(after))).findings).toEqual([]);
  });
});
