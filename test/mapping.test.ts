/** The mapping compiler against real schemas: what it refuses, one thing at a time, and what it lets through. */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { parseMapping } from '../src/mapping/file';
import { UsageError } from '../src/errors';
import { openMappingDatabases, type MappingDatabases } from './support/mapping-databases';

let databases: MappingDatabases;
beforeAll(async () => {
  databases = await openMappingDatabases();
});
afterAll(() => databases.end());

const user = 'create table "User" (id text primary key, name text);';
const users = (columns: string) => `create table "User" (id text primary key, name text, ${columns});`;

interface Refusal {
  title: string;
  before?: string;
  after?: string;
  mapping?: string;
  finding: RegExp;
}

const refusals: Refusal[] = [
  {
    title: 'a target table without a source',
    after: `${user} create table "Team" (id text)`,
    finding: /^Table Team of the new schema has no source: .* Add tables\.Team with from or rows/,
  },
  {
    title: 'a source table that goes nowhere',
    before: `${user} create table "Old" (id text)`,
    finding: /^Table Old of production goes nowhere: .*drop: \{ tables: \{ Old: reason \} \}/,
  },
  {
    title: 'a source table that is only read for extra rows',
    before: `${user} create table "Old" (id text)`,
    mapping: `tables: { User: { rows: [{ from: Old, columns: { id: source.id, name: "null" } }] } }`,
    finding: /^Table Old of production goes nowhere/,
  },
  {
    title: 'an entry for a table that the new schema lacks',
    mapping: 'tables: { user: { columns: {} } }',
    finding: /^tables\.user: The new schema has no table "user".* Did you mean User\?/,
  },
  {
    title: 'rows from a table that production lacks',
    mapping: 'tables: { User: { from: Nobody } }',
    finding: /^tables\.User\.from: Production has no table "Nobody"/,
  },
  {
    title: 'the same table named twice',
    mapping: 'tables: { User: {}, public.User: {} }',
    finding: /^tables\.public\.User names the table User a second time/,
  },
  {
    title: 'a column that the new table lacks',
    mapping: 'tables: { User: { columns: { nick: source.name } } }',
    finding: /^tables\.User\.columns\.nick: User of the new schema has no column "nick"/,
  },
  {
    title: 'columns for a table that no source row fills',
    after: `${user} create table "Team" (id text)`,
    mapping:
      'tables: { Team: { columns: { id: source.id }, rows: [{ from: User, columns: { id: source.id } }] } }',
    finding: /^tables\.Team has columns or a join for the rows of a source table, but no such table/,
  },
  {
    title: 'a source column that goes nowhere',
    before: users('age int'),
    finding: /^Column User\.age of production goes nowhere: .*source\."age".*\{ User: \{ age: reason \} \}/,
  },
  {
    title: 'a source column that only a join reads',
    before: `${users('friend text')}`,
    mapping: `tables: { User: { join: 'left join "User" f on f.id = source.friend', columns: { name: f.name || source.name } } }`,
    finding: /^Column User\.friend of production goes nowhere/,
  },
  {
    title: 'a source column that only extra rows read',
    before: users('age int'),
    mapping: `tables: { User: { rows: [{ from: User, columns: { id: source.age::text, name: "null" } }] } }`,
    finding: /^Column User\.age of production goes nowhere/,
  },
  {
    title: 'a source column that a constant replaces',
    mapping: `tables: { User: { columns: { name: "'x'" } } }`,
    finding: /^Column User\.name of production goes nowhere/,
  },
  {
    title: 'a source column whose name in a sub-select belongs to another table',
    before: `${users('age int')} create table "Pet" (age int)`,
    after: `${user} create table "Pet" (age int)`,
    mapping: `tables: { User: { columns: { name: '(select max(age)::text from "Pet") || source.name' } } }`,
    finding: /^Column User\.age of production goes nowhere/,
  },
  {
    title: 'a new column without an expression, even if it is nullable',
    after: users('age int'),
    finding: /^User\.age is new: .*expression or the word default in tables\.User\.columns/,
  },
  {
    title: 'a new column without an expression, even if it has a default',
    after: users('personal boolean not null default true'),
    finding: /^User\.personal is new/,
  },
  {
    title: 'default for a NOT NULL column that has none',
    after: users('age int not null'),
    mapping: 'tables: { User: { columns: { age: default } } }',
    finding: /^User\.age is left to its default, but it has none and is NOT NULL/,
  },
  {
    title: 'default beside filled rows for a NOT NULL column that has none',
    after: user.replace('name text', 'name text not null'),
    mapping: `tables: { User: { rows: [{ from: User, columns: { id: "source.id || '2'", name: default } }] } }`,
    finding: /^User\.name is left to its default in tables\.User\.rows\[0\], but it has none and is NOT NULL/,
  },
  {
    title: 'default beside filled rows where the default is computed',
    before: users('at timestamp'),
    after: users('at timestamp default now()'),
    mapping: `tables: { User: { rows: [{ from: User, columns: { id: "source.id || '2'", name: default, at: default } }] } }`,
    finding: /^User\.at is left to its default in tables\.User\.rows\[0\] and filled from other rows too/,
  },
  {
    title: 'extra rows with an unexplained column',
    mapping: `tables: { User: { rows: [{ from: User, columns: { id: "'x' || source.id" } }] } }`,
    finding: /^User\.name is not explained for the extra rows from User/,
  },
  {
    title: 'an expression for a generated column',
    after: users('twice text generated always as (name || name) stored'),
    mapping: `tables: { User: { columns: { twice: source.name } } }`,
    finding: /^tables\.User\.columns\.twice: User\.twice is a generated column/,
  },
  {
    title: 'a plain column that becomes a generated one',
    before: users('twice text'),
    after: users('twice text generated always as (name || name) stored'),
    finding: /^Column User\.twice of production goes nowhere/,
  },
  {
    title: 'the drop of a table that is not there',
    mapping: 'drop: { tables: { Old: gone } }',
    finding: /^drop\.tables\.Old: Production has no table "Old"/,
  },
  {
    title: 'the drop of a column that is not there',
    mapping: 'drop: { columns: { User: { age: gone } } }',
    finding: /^drop\.columns\.User\.age: production's User has no column "age"/,
  },
  {
    title: 'a drop of a table without a reason',
    before: `${user} create table "Old" (id text)`,
    mapping: `drop: { tables: { Old: " " } }`,
    finding: /^drop\.tables\.Old has no reason/,
  },
  {
    title: 'a drop of a column without a reason',
    before: users('age int'),
    mapping: `drop: { columns: { User: { age: "" } } }`,
    finding: /^drop\.columns\.User\.age has no reason/,
  },
  {
    title: 'a table both dropped and copied under its own name',
    mapping: 'drop: { tables: { User: gone } }',
    finding: /^User is dropped, yet the new schema has a table of that name/,
  },
  {
    title: 'a table both dropped and copied under another name',
    before: `${user} create table "Old" (id text)`,
    after: `${user} create table "New" (id text)`,
    mapping: 'tables: { New: { from: Old } }\ndrop: { tables: { Old: gone } }',
    finding: /^Old is both dropped and copied to New/,
  },
  {
    title: 'a column both dropped and copied',
    mapping: 'drop: { columns: { User: { name: gone } } }',
    finding: /^User\.name is both dropped and copied/,
  },
  {
    title: 'a column both dropped and read by the expression of its name',
    mapping:
      'tables: { User: { columns: { name: upper(source.name) } } }\ndrop: { columns: { User: { name: gone } } }',
    finding: /^User\.name is both dropped and read by the expression of the column of that name/,
  },
  {
    title: 'a table both filled by the schema and by rows',
    mapping: 'tables: { User: {} }\nfilledBySchema: { User: seeds }',
    finding: /^filledBySchema\.User: tables\.User says how to fill the same table/,
  },
  {
    title: 'a table filled by the schema that the schema lacks',
    mapping: 'filledBySchema: { Seeds: seeds }',
    finding: /^filledBySchema\.Seeds: The new schema has no table "Seeds"/,
  },
  {
    title: 'a table filled by the schema without a reason',
    mapping: 'filledBySchema: { User: "" }',
    finding: /^filledBySchema\.User has no reason/,
  },
  {
    title: 'a column that changes between local and zoned time',
    before: users('at timestamp(3)'),
    after: users('at timestamptz(3)'),
    finding: /^User\.at changes its type .* depends on a time zone.*source\.\\"at\\" at time zone 'UTC'/,
  },
];

const mood = (...labels: string[]) =>
  `create type "Mood" as enum (${labels.map((label) => `'${label}'`).join(', ')});`;
const moods = 'create table "Day" (id int primary key, mood "Mood", seen "Mood"[]);';
const oldMood = mood('GOOD', 'BAD') + moods;

const enumRefusals: Refusal[] = [
  {
    title: 'an enum value without a counterpart',
    before: oldMood,
    after: mood('GOOD') + moods,
    finding: /^The value BAD of the enum Mood has no counterpart in Mood .*enums: \{ Mood: \{ BAD: … \} \}/,
  },
  {
    title: 'a change to a value that the new enum lacks',
    before: oldMood,
    after: mood('GOOD') + moods,
    mapping: 'enums: { Mood: { BAD: WORSE } }',
    finding: /^enums\.Mood: BAD becomes WORSE, which Mood of the new schema doesn't have/,
  },
  {
    title: 'a change of a value that the old enum lacks',
    before: oldMood,
    after: oldMood,
    mapping: 'enums: { Mood: { UGLY: BAD } }',
    finding: /^enums\.Mood: production's Mood has no value UGLY\. Its values: GOOD, BAD/,
  },
  {
    title: 'changes of an enum that is not there',
    before: oldMood,
    after: oldMood,
    mapping: 'enums: { Weather: { SUN: RAIN } }',
    finding: /^enums\.Weather: production has no such enum/,
  },
  {
    title: 'an enum that becomes an array of it',
    before: oldMood,
    after: oldMood.replace('mood "Mood"', 'mood "Mood"[]'),
    finding: /^Day\.mood changes its type .* for which there is no cast/,
  },
];

describe('refuses', () => {
  it.each([...refusals, ...enumRefusals])(
    '$title',
    async ({ before = user, after = user, mapping, finding }) => {
      const { findings } = await databases.compile(before, after, mapping);
      expect(findings.filter((sentence) => finding.test(sentence))).toHaveLength(1);
    },
  );

  const unsafe: [expression: string, finding: RegExp][] = [
    ['source.id, source.name', /more, or less, than one expression/],
    ['source.name; drop table "User"', /not one expression or query/],
    ['source.name as other', /more, or less/],
    ['source.name from "User"', /more, or less/],
    ['source.name) from "User" where (true', /syntax error/],
    ['all source.name', /more, or less/],
    ['source.name union select 1', /more, or less/],
    ['source.name /* and so on', /unterminated/],
    ['*', /more, or less|syntax error/],
    ['-- nothing', /it is empty/],
    ['source.nam', /reads the column "nam", which User doesn't have/],
    ['nam', /reads the column "nam"/],
    ['source.NAME || source."nAme"', /column "nAme", which User doesn't have; write it as source\."name"/],
    ['source.name || $1', /placeholder/],
    ['source.name || now()', /uses now\(\), which gives another value/],
    ['source.name || random()', /uses random\(\)/],
    ['source.name || pg_catalog.clock_timestamp()', /uses clock_timestamp\(\)/],
    ['coalesce(source.name, gen_random_uuid()::text)', /uses gen_random_uuid\(\)/],
    ['source.name || current_timestamp', /uses current_timestamp/],
    ['source.name || current_date', /uses current_date/],
    ['source.name || current_user', /uses current_user/],
    [`source.name || current_setting('work_mem')`, /uses current_setting\(\)/],
    ['source.name || pg_backend_pid()', /uses pg_backend_pid\(\)/],
    ['source.name || txid_current()', /uses txid_current\(\)/],
    [`source.name || 'now'::timestamp`, /uses 'now'/],
    [`source.name || date 'today'`, /uses 'today'/],
    [`age(timestamp '2020-01-01') || source.name`, /uses age\(\) of one argument/],
    ['source.name || moving()', /uses moving\(\)/],
    [
      'row_number() over (order by source.id) || source.name',
      /window function row_number\(\) over the source rows/,
    ],
    ['max(source.name)', /aggregate max\(\) over the source rows/],
    ['source.name || source.ctid::text', /system column ctid/],
    [`source.name || (select u.name from "User" u limit 1)`, /limit or offset without order by/],
    [`source.name || (select distinct on (name) id from "User")`, /distinct on without order by/],
    [`source.name || (select string_agg(u.name, ',') from "User" u)`, /string_agg\(\) without order by/],
    [`source.name || array(select u.name from "User" u)::text`, /array of a query without order by/],
    [`source.name || (select count(*) from "User" tablesample system (10))`, /uses tablesample/],
    [
      `source.name || (select count(*) from auth.users)`,
      /reads "auth\.users", which is no table of the managed schemas/,
    ],
    [`source.name || (select count(*) from "Nobody")`, /reads "Nobody", which is no table/],
    [
      `source.name || (select max(source.id) from "User" source)`,
      /gives the name "source" to something else/,
    ],
  ];
  const moving = `create function moving() returns text language sql as 'select ''x''';`;
  it.each(unsafe)('the expression %s', async (expression, finding) => {
    const mapping = JSON.stringify({ tables: { User: { columns: { name: expression } } } });
    const { findings } = await databases.compile(user + moving, user, mapping);
    expect(
      findings.filter((sentence) => /^tables\.User\.columns\.name /.test(sentence) && finding.test(sentence)),
    ).toHaveLength(1);
  });

  const joins: [join: string, finding: RegExp][] = [
    ['left join "User" u on u.id = source.id where true', /holds more than joins/],
    [', "User" u', /holds more than joins/],
    ['right join "User" u on u.id = source.id', /right or full join/],
    ['full join "User" u on u.id = source.id', /right or full join/],
    ['left join "Nobody" u on u.id = source.id', /reads "Nobody"/],
    ['left join "User" u on u.id = source.id and random() < 1', /uses random\(\)/],
    ['limit 1', /holds more than joins|must begin with join/],
    ['x', /syntax error|must begin with join/],
  ];
  it.each(joins)('the join %s', async (join, finding) => {
    const mapping = JSON.stringify({ tables: { User: { join } } });
    const { findings } = await databases.compile(user, user, mapping);
    expect(findings).toEqual([expect.stringMatching(finding)]);
  });

  it.each([
    ['true) or (true', /syntax error/],
    ['true limit 1', /more, or less/],
    ['source.nam is null', /reads the column "nam"/],
    ['random() < 0.5', /uses random/],
  ])('the where %s', async (where, finding) => {
    const rows = [{ from: 'User', where, columns: { id: `'x' || source.id`, name: 'null' } }];
    const { findings } = await databases.compile(user, user, JSON.stringify({ tables: { User: { rows } } }));
    expect(findings).toEqual([expect.stringMatching(finding)]);
    expect(findings[0]).toMatch(/^tables\.User\.rows\[0\]\.where /);
  });

  it.each([
    ['select 1; select 2'],
    ['delete from "User"'],
    ['with gone as (delete from "User" returning *) select * from gone'],
    ['select * into other from "User"'],
    ['select * from "User" for update'],
    ['nonsense'],
  ])('the assertion %s', async (sql) => {
    const { findings } = await databases.compile(
      user,
      user,
      JSON.stringify({ assertions: [{ name: 'a', sql }] }),
    );
    expect(findings).toEqual([
      expect.stringMatching(/^The assertion "a" is not one query that only reads: /),
    ]);
  });

  it('a partition in place of its table, and one whose rows are on another server', async () => {
    const parted =
      'create table "Log" (id int) partition by range (id); create table "Log1" partition of "Log" for values from (0) to (10);';
    const foreign = `create foreign data wrapper nowhere; create server there foreign data wrapper nowhere;
      create foreign table "Log2" partition of "Log" for values from (10) to (20) server there;`;
    try {
      const { findings } = await databases.compile(parted + foreign, parted, 'tables: { Log1: {} }');
      expect(findings).toEqual([
        'tables.Log1: "Log1" is a partition of Log. Name Log instead.',
        expect.stringMatching(/^Log2, a partition of Log, keeps its rows on another server/),
      ]);
    } finally {
      await databases.source.query('drop foreign data wrapper nowhere cascade');
    }
  });
});

describe('lets through', () => {
  it.each([
    [`coalesce(source.name, '') -- with a comment`],
    [`source.name || (select count(*) from "User" u where u.name = source.name)`],
    [`source.name || exists (select 1 from "User" u limit 1)`],
    [`(select string_agg(u.name, ',' order by u.id) from "User" u where u.name = source.name)`],
    [
      `(select n from (select row_number() over (order by u.id) as n, u.id from "User" u) x where x.id = source.id)::text || name`,
    ],
    [`(with a as (select u.name from "User" u where u.name = source.name) select max(a.name) from a)`],
    [`to_jsonb(source)::text`],
    [`concat(source.*)`],
  ])('the expression %s', async (expression) => {
    const mapping = JSON.stringify({ tables: { User: { columns: { name: expression } } } });
    const { findings } = await databases.compile(user, user, mapping);
    expect(findings).toEqual([]);
    expect((await databases.scan(user, user, mapping)).findings).toEqual([]);
  });

  it('a constant in place of a column that is dropped by name', async () => {
    const mapping = `tables: { User: { columns: { name: "'x'" } } }\ndrop: { columns: { User: { name: unused } } }`;
    expect((await databases.compile(user, user, mapping)).findings).toEqual([]);
  });

  it('a column that is used under another name and dropped by its own', async () => {
    const mapping =
      'tables: { User: { columns: { nick: source.name } } }\ndrop: { columns: { User: { name: see nick } } }';
    const after = 'create table "User" (id text primary key, nick text)';
    expect((await databases.compile(user, after, mapping)).findings).toEqual([]);
  });

  it('a table that the schema step fills, whose old rows count as dropped', async () => {
    const both = `${user} create table _prisma_migrations (id text); create table "Seeds" (id text)`;
    const before = `${user} create table _prisma_migrations (id text)`;
    const compiled = await databases.compile(
      before,
      both,
      'filledBySchema: { _prisma_migrations: Prisma, Seeds: seeds }',
    );
    expect(compiled.findings).toEqual([]);
    expect(compiled.tables.map((table) => table.target.name)).toEqual(['User']);
    expect(compiled.filledBySchema.map((table) => table.name)).toEqual(['_prisma_migrations', 'Seeds']);
    expect(compiled.drops).toMatchObject([
      { what: '_prisma_migrations', reason: 'Prisma', table: '"public"."_prisma_migrations"' },
    ]);
  });

  it('an assertion with comments and a semicolon, as a query that can stand in another', async () => {
    const { assertions } = await databases.compile(
      user,
      user,
      JSON.stringify({ assertions: [{ name: 'a', sql: 'select 1 -- one\n ;' }] }),
    );
    expect(assertions).toEqual([{ name: 'a', sql: 'select 1' }]);
  });

  it("Tumiki's mapping between Tumiki's schemas", async () => {
    const folder = path.join(__dirname, '../examples/tumiki');
    const sql = (side: string) =>
      readdirSync(path.join(folder, 'schema', side))
        .sort()
        .map((file) => readFileSync(path.join(folder, 'schema', side, file), 'utf8'))
        .join('\n');
    const mapping = readFileSync(path.join(folder, 'mapping.yaml'), 'utf8');
    const compiled = await databases.compile(sql('before'), sql('after'), mapping);
    expect(compiled.findings).toEqual([]);
    expect((await databases.scan(sql('before'), sql('after'), mapping)).findings).toEqual([]);
    const pure = compiled.tables.filter((table) =>
      table.sources.every((source) => source.checks.length === 0),
    );
    expect(pure.map((table) => table.target.name)).toEqual(
      expect.arrayContaining(['Chat', 'Message', 'Document']),
    );
  });
});

describe('the mapping file', () => {
  const problems = (text: string): string[] => {
    try {
      parseMapping(text, 'mapping.yaml');
    } catch (error) {
      if (error instanceof UsageError) return error.problems;
      throw error;
    }
    return [];
  };

  it.each([[''], ['{}'], ['# only a comment\n'], ['tables:\ndrop:\n']])('may be as empty as %j', (text) => {
    expect(parseMapping(text, 'mapping.yaml')).toEqual({
      enums: {},
      tables: {},
      drop: { tables: {}, columns: {} },
      filledBySchema: {},
      assertions: [],
    });
  });

  it('is refused with every problem at once', () => {
    expect(
      problems(
        'table: {}\ntables: { User: { columns: { a: null, b: [] }, row: [] } }\ndrop: { tables: { Old: } }',
      ),
    ).toEqual([
      'mapping.yaml: tables > User > columns > a: expected SQL in quotes, e.g. "false" or "source.name". Correct it there.',
      'mapping.yaml: tables > User > columns > b: expected SQL in quotes, e.g. "false" or "source.name". Correct it there.',
      'mapping.yaml: tables > User has the unknown key "row". Remove it or correct its spelling.',
      'mapping.yaml: drop > tables > Old: expected a reason in words. Correct it there.',
      'mapping.yaml: the file has the unknown key "table". Remove it or correct its spelling.',
    ]);
  });

  it('is refused in a sentence when it is no YAML, or says the same thing twice', () => {
    expect(problems('tables: {')).toEqual([
      expect.stringMatching(/^mapping\.yaml is not valid YAML: .* Correct it there\.$/),
    ]);
    expect(problems('tables: { User: {}, User: {} }')).toEqual([
      expect.stringMatching(/keys must be unique/),
    ]);
  });

  it('takes plain numbers and booleans as the SQL they look like', () => {
    const { tables } = parseMapping('tables: { T: { columns: { a: 1, b: false } } }', 'mapping.yaml');
    expect(tables.T?.columns).toEqual({ a: '1', b: 'false' });
  });
});
