/** SQL in a mapping: only one repeatable expression, one join, one query gets through. */
import { openMappingDatabases, type MappingDatabases } from './support/mapping-databases';

let databases: MappingDatabases;
beforeAll(async () => {
  databases = await openMappingDatabases();
});
afterAll(() => databases.end());

const user = 'create table "User" (id text primary key, name text);';

describe('refuses', () => {
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
});
