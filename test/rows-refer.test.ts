/** Preflight of rows: foreign keys of the new schema, and production's own checks. */
import { openMappingDatabases, type MappingDatabases } from './support/mapping-databases';
import { misfitsIn } from './support/misfits';

let databases: MappingDatabases;
beforeAll(async () => {
  databases = await openMappingDatabases();
});
afterAll(() => databases.end());

const look = (before: string, after: string, mapping?: string) =>
  misfitsIn(databases, { before, after, mapping });

const p = (rows = '') => `create table p (id int primary key); ${rows && `insert into p values ${rows};`}`;
const c = (rest: string, rows = '') =>
  `create table c (id int primary key, p int ${rest}); ${rows && `insert into c values ${rows};`}`;
const seeded = JSON.stringify({ filledBySchema: { p: 'seeds' } });

test.each([
  [
    'a mapped table',
    p('(1), (2)') + c('', '(10, 1), (11, 3), (12, null), (13, 4)'),
    p() + c('constraint to_p references p'),
    undefined,
    /^2 rows for c would refer by the foreign key to_p of the new schema \(p\) to no row of p\. Correct the rows.* Which \(id\): 11; 13\.$/,
  ],
  [
    'a table that the schema step fills',
    c('', '(10, 1), (11, 3)'),
    p('(1), (2)') + c('constraint to_p references p'),
    seeded,
    /^1 row for c would refer by the foreign key to_p .* \(id\): 11\.$/,
  ],
  [
    'a table that stays empty',
    c('', '(10, 1), (11, null)'),
    p() + c('constraint to_p references p'),
    seeded,
    /^1 row for c would refer by the foreign key to_p .* \(id\): 10\.$/,
  ],
  [
    'the table itself',
    c('', '(10, 10), (11, 12)'),
    c('references c deferrable initially deferred'),
    undefined,
    /^1 row for c would refer by the foreign key c_p_fkey .* \(id\): 11\.$/,
  ],
  [
    'all columns or none',
    `create table p (a int, b text, primary key (a, b)); insert into p values (1, 'x');
     create table c (id int primary key, a int, b text); insert into c values (1, 1, 'x'), (2, 1, null), (3, null, null), (4, 1, 'y');`,
    `create table p (a int, b text, primary key (a, b));
     create table c (id int primary key, a int, b text, constraint whole foreign key (a, b) references p match full);`,
    undefined,
    /^2 rows for c would refer by the foreign key whole of the new schema \(a, b\).* \(id\): 2; 4\.$/,
  ],
  [
    'values of an enum',
    `create type e as enum ('a', 'b'); create table p (id e primary key); insert into p values ('a');
     create table c (id int primary key, p e); insert into c values (1, 'a'), (2, 'b');`,
    `create type e as enum ('a', 'b'); create table p (id e primary key); create table c (id int primary key, p e references p);`,
    undefined,
    /^1 row for c would refer by the foreign key c_p_fkey.* \(id\): 2\.$/,
  ],
])('finds rows that refer to none in %s', async (_title, before, after, mapping, finding) => {
  const { findings, notes } = await look(before, after, mapping);
  expect(findings).toEqual([expect.stringMatching(finding)]);
  expect(notes).toEqual([]);
});

test('finds nothing where a key is NULL in part, not validated, or met by seeds', async () => {
  const two = `create table p (a int, b int, primary key (a, b)); create table q (id int primary key);`;
  const before = `create table p (a int, b int, primary key (a, b));
    create table c (id int primary key, a int, b int, q int); insert into c values (1, 1, null, 7);`;
  const after = `${two} insert into q values (7);
    create table c (id int primary key, a int, b int, q int references q, foreign key (a, b) references p);
    alter table c add foreign key (id) references q not valid;`;
  const mapping = JSON.stringify({ filledBySchema: { q: 'seeds' } });
  expect(await look(before, after, mapping)).toEqual({ findings: [], notes: [] });
});

describe("production's own", () => {
  test('check that answers otherwise today', async () => {
    const table = 'create table d (id int primary key, a int constraint own check (fine(a)));';
    const fine = (what: string) =>
      `create or replace function fine(a int) returns boolean immutable language sql as 'select ${what}';`;
    const { findings } = await look(
      `${fine('true')} ${table} insert into d values (1, 1), (2, 2); ${fine('a = 1')}`,
      `${fine('true')} ${table}`,
    );
    expect(findings).toEqual([
      expect.stringMatching(
        /^1 row of d in production breaks production's own check own \(public\.fine\(a\)\), so that a restore would fail\. Correct the rows.* \(id\): 2\.$/,
      ),
    ]);
  });

  test('domain that answers otherwise today', async () => {
    const fine = (what: string) =>
      `create or replace function fine(a int) returns boolean immutable language sql as 'select ${what}';`;
    const { findings } = await look(
      `${fine('true')} create domain f as int check (fine(value)); create table d (id int primary key, a f);
       insert into d values (1, 1), (2, 2); ${fine('a = 1')}`,
      'create table d (id int primary key, a int);',
    );
    expect(findings).toEqual([
      expect.stringMatching(
        /^1 row of d in production breaks production's own f_check of the domain public\.f .* \(id\): 2\.$/,
      ),
    ]);
  });

  test('check in the same words is counted once, over the old rows', async () => {
    const table = 'create table d (id int primary key, a int);';
    const check = 'alter table d add constraint own check (a > 0)';
    const before = `${table} insert into d values (1, -1), (2, null); ${check} not valid;
      update pg_constraint set convalidated = true where conname = 'own' and conrelid = 'd'::regclass;`;
    expect(await look(before, `${table} ${check};`)).toEqual({
      findings: [expect.stringMatching(/^1 row of d in production breaks .* \(id\): 1\.$/)],
      notes: [],
    });
    const mapping = JSON.stringify({ tables: { d: { columns: { a: 'source.a * 1' } } } });
    expect((await look(before, `${table} ${check};`, mapping)).findings).toHaveLength(2);
  });

  test('check that is not validated stops nothing', async () => {
    const table = 'create table d (id int primary key, a int);';
    const before = `${table} insert into d values (1, -1); alter table d add check (a > 0) not valid;`;
    expect(await look(before, table)).toEqual({ findings: [], notes: [] });
  });
});
