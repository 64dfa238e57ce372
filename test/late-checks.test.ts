/** CHECKs that call somebody's function come after all rows, on the way forward and back. */
import { definitionOf } from '../lab/database-state';
import { lateChecks, aroundRows } from '../src/postgres/around-rows';
import { dumpSchema, dumpSql, parseDump } from '../src/postgres/dump';
import { query } from '../lab/stage';
import { createDatabase } from './support/environment';
import type { Migration } from './support/migration';
import { expectBack, layOutOther, smokeFails } from './support/other-database';
import { sceneForEach } from './support/way-back';

const scene = sceneForEach('around-rows', 1);
let migration: Migration | undefined;
afterEach(async () => {
  await migration?.drop();
  migration = undefined;
});

// False for everything while the table that the function reads is empty. The last table by name is the one that is read.
const schema = `
  create table z_limits (most int);
  create function within(int) returns boolean language sql stable as 'select $1 <= coalesce((select most from public.z_limits), -1)';
  create function is_word(text) returns boolean language sql stable as 'select exists (select from public.z_limits) and $1 <> '''' ';
  create domain word as text constraint "is, a (word)" check (is_word(value)) not null constraint short check (length(value) < 100);
  create table a (n int constraint "odd, ""name"" (" check (within(n)), plain int check (plain > 0), w word,
    constraint two check (within(n) and plain <> 7) no inherit);
  comment on constraint two on a is 'looks (elsewhere), too';
  create table parent (n int constraint up check (within(n)));
  create table child (more text check (more <> 'check (')) inherits (parent);
  create table parted (n int, constraint fits check (within(n))) partition by range (n);
  create table parted_1 partition of parted for values from (0) to (10);
  create domain inner_word as text check (is_word(value)); create domain outer_word as inner_word;
  create table b (words word[], pair outer_word); create table only_checks (constraint alone check (within(0)));`;
const rows = `insert into z_limits values (10); insert into a select n, n, 'word' from generate_series(1, 6) n; insert into parent values (1);
  insert into child values (2, 'x'); insert into parted values (3); alter table a add constraint later check (within(n - 100)) not valid;
  insert into b values (null, 'x');`;

test('they are cut out of tables and domains, and the definition that they are part of comes out the same', async () => {
  const [database, again] = [await createDatabase('late'), await createDatabase('late_again')];
  try {
    await query(database.url, schema);
    const dump = await dumpSchema(database.url, ['public'], { owners: false });
    expect(lateChecks(dump).map(({ name }) => name)).toEqual(
      expect.arrayContaining(['a odd, "name" (', 'a two', 'parent up', 'parted fits', 'only_checks alone']),
    );
    expect(
      lateChecks(dump)
        .map(({ name }) => name)
        .join(),
    ).not.toMatch(/inner_word|short|plain|more/);
    const late = aroundRows(dump);
    await query(again.url, dumpSql(late, late.pre, 15));
    await query(again.url, dumpSql(late, late.post, 15));
    expect((await definitionOf(again.url, [])).sort()).toEqual((await definitionOf(database.url, [])).sort());
    expect(parseDump(dumpSql(late, late.post, 15)).entries.length).toBe(late.post.length);
  } finally {
    await database.drop();
    await again.drop();
  }
});

test('rows come both ways', async () => {
  migration = await layOutOther({
    before: schema.replace(/create domain inner_word[^]*/, '') + rows.replace(/insert into b[^]*/, ''),
    after: schema.replace(/create domain inner_word[^]*/, ''),
    change: smokeFails,
  });
  await expectBack(scene, migration);
});
