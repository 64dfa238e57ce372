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
  /** How many findings are like it; one where nothing is said. */
  times?: number;
}

const losses: Finding[] = [
  {
    title: 'NULLs of a copied column that becomes NOT NULL',
    before: d('a int', '(1), (null), (null)'),
    after: d('a int not null'),
    finding:
      /^d\.a is NOT NULL but would be NULL in 2 rows for the rows from d\. .* Which \(ctid of d\): \(0,2\); \(0,3\)\.$/,
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
    before: d('id int primary key, a bigint', '(7, 1), (8, 3000000000), (9, -3000000000)'),
    after: d('id int primary key, a integer'),
    finding: /^2 values would not fit d\.a \(integer\).* Which \(id\): 8; 9\.$/,
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
    title: 'texts that name would cut off, and blanks that char(n) does',
    before: d('a text, b text', `(repeat('x', 63), 'ab'), (repeat('x', 64), 'ab ')`),
    after: d('a name, b char(4)'),
    mapping: '',
    finding: /^1 value would not fit d\.(a \(name\)|b \(character\(4\)\)) for the rows from d/,
    times: 2,
  },
  {
    title: 'texts of an expression that "char" would cut off',
    before: d('a text', `('a'), ('ab'), ('é'), (null)`),
    after: d('a text, b "char", c name[]'),
    mapping: inD({ b: 'upper(source.a)', c: 'array[source.a]' }),
    finding: /^2 values would not fit d\.b \("char"\)/,
  },
  {
    title: 'bits that a shorter column would cut off',
    before: d('a bit(5), b bit varying', `('10101', '1'), ('10100', '10')`),
    after: d('a bit(3), b bit varying(1)'),
    finding: /^[12] values? would not fit d\.[ab] \(bit/,
    times: 2,
  },
  {
    title: 'parts that an interval of other fields would leave out',
    before: d('a interval, b interval', `('1 mon', '1.5 s'), ('1 mon 1 day', '1 s')`),
    after: d('a interval year to month, b interval(0)'),
    finding: /^1 value would not fit d\.[ab] \(interval/,
    times: 2,
  },
  {
    title: 'fractions of a float that has more digits than its text of old',
    before: d('a real, b double precision', `(123456.7, 0.1), (123456, 0.30000000000000004)`),
    after: d('a int, b numeric(20, 10)'),
    finding: /^1 value would not fit d\.[ab] \((integer|numeric)/,
    times: 2,
  },
  {
    title: 'a float that is one too large for bigint',
    before: d(
      'a double precision',
      `(9223372036854774784), (9223372036854775808), ('NaN'), (-9223372036854775808)`,
    ),
    after: d('a bigint'),
    finding: /^2 values would not fit d\.a \(bigint\)/,
  },
  {
    title: 'JSON with doubled keys or another spelling in jsonb',
    before: d('a json', `('{"a": 1}'), ('{"a": 1, "a": 2}'), ('{"b":1}')`),
    after: d('a jsonb'),
    finding: /^2 values would not fit d\.a \(jsonb\)/,
  },
  {
    title: 'a network with bits that cidr would clear, and cents of a cent',
    before: d('a inet, b numeric', `('10.0.0.1/8', 1.5), ('10.0.0.0/8', 1.555)`),
    after: d('a cidr, b money'),
    finding: /^1 value would not fit d\.[ab] \((cidr|money)\)|At least one row does not fit/,
    times: 2,
  },
  {
    title: 'an expression whose value depends on a time zone',
    before: d('a timestamptz', `('2020-01-01 00:00+00')`),
    after: d('a timestamptz, b date'),
    mapping: inD({ b: `source.a + interval '1 day'` }),
    finding:
      /^The expression of d\.b gives timestamp with time zone, and what it is as date depends on a time zone/,
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
  it.each(losses)('$title', async ({ before, after, mapping, finding, times = 1 }) => {
    const { findings } = await databases.scan(before, after, mapping);
    expect(findings).toEqual(Array(times).fill(expect.stringMatching(finding)));
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
    [
      'other types that everything fits',
      'a text, b text, c real, e double precision, f jsonb, g text, h char(3), i int',
      'a name, b "char", c int, e numeric(12, 3), f json, g char(3), h text, i double precision',
      `(repeat('x', 63), 'e', 16777216, 0.125, '{"a": [1.0]}', 'ab', 'ab', 2147483647)`,
    ],
  ])('in %s', async (_, before, after, rows) => {
    expect((await databases.scan(d(before, rows), d(after))).findings).toEqual([]);
  });
});
