/** The mapping compiler against real schemas: what it lets through, Tumiki's mapping, and the mapping file. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseMapping } from '../src/mapping/file';
import { generateTumiki } from '../examples/tumiki/generate';
import { UsageError } from '../src/errors';
import { checkAssertions, scanMapping } from '../src/mapping/scan';
import { sqlFiles } from '../src/settings/read';
import { openMappingDatabases, type MappingDatabases } from './support/mapping-databases';

let databases: MappingDatabases;
beforeAll(async () => {
  databases = await openMappingDatabases();
});
afterAll(() => databases.end());

const user = 'create table "User" (id text primary key, name text);';

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

  it("Tumiki's mapping between Tumiki's schemas, and its awkward rows", async () => {
    const folder = path.join(__dirname, '../examples/tumiki');
    const sql = (side: string) =>
      sqlFiles(path.join(folder, 'schema', side))
        .map((file) => readFileSync(file, 'utf8'))
        .join('\n');
    const mapping = readFileSync(path.join(folder, 'mapping.yaml'), 'utf8');
    const compiled = await databases.compile(sql('before'), sql('after'), mapping);
    expect(compiled.findings).toEqual([]);
    expect(await checkAssertions(databases.target, compiled, { schemas: ['public'], own: {} })).toEqual([]);
    const plain = compiled.tables.filter((table) =>
      table.sources.every((source) => source.checks.length === 0),
    );
    expect(plain.map((table) => table.target.name)).toEqual(
      expect.arrayContaining(['Chat', 'Message', 'Document', 'McpServer']),
    );
    await generateTumiki(databases.source, { users: 30 });
    const scan = await scanMapping(databases.source, compiled, ['public']);
    expect(scan.findings).toEqual([]);
    expect(scan.dropped.map((drop) => drop.what)).toContain('User.hasCompletedOnboarding');
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
