/** What the mapping compiler refuses, one thing at a time, each with its own sentence. */
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
