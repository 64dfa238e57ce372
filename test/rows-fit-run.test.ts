/** Rows that preflight finds nothing against arrive in the new schema; those it names stop the run before the page. */
import { query } from '../lab/stage';
import { approve, type Migration } from './support/migration';
import { layOutOther } from './support/other-database';
import { checkHarmlessly } from './support/preflight';
import { runToEnd, sceneForEach } from './support/way-back';

const scene = sceneForEach('rows-fit-run', 1);
let migration: Migration | undefined;
afterEach(async () => {
  await migration?.drop();
  migration = undefined;
});

const before = `
  create table p (a int, b int, word text, primary key (a, b));
  create table r (id int primary key, during int4range, place int);
  create table c (id int primary key, a int, b int, at date not null, word text, list int[]);
`;
const after = `
  create domain positive as int check (value > 0);
  create function known(w text) returns boolean immutable language sql as 'select w <> ''unknown''';
  create table p (a int, b int, word text check (known(word)), primary key (a, b));
  create table r (id int primary key, during int4range, place int,
    constraint apart exclude using gist (during with &&) where (place > 0));
  create table c (
    id int not null, a positive, b int, at date not null, word text, list positive[],
    twice int generated always as (a * 2) stored check (twice > a),
    constraint whole foreign key (a, b) references p match full deferrable initially deferred
  ) partition by range (at);
  create table c_early partition of c for values from (minvalue) to ('2020-01-01');
  create table c_late partition of c (check (id > 1)) for values from ('2020-01-01') to ('2040-01-01');
  create unique index c_word on c_late (lower(word)) where word <> '';
  alter table c add check (id < 0) not valid;
`;

test('NULLs, keys that are NULL as a whole, alike rows that no index covers: no finding, and a run that migrates', async () => {
  const rows = `
    insert into p values (1, 1, null), (2, 2, 'known');
    insert into r values (1, '[1,5)', 1), (2, '[4,9)', null), (3, null, 2), (4, 'empty', 3), (5, '[5,6)', 4);
    insert into c values (1, 1, 1, '2019-01-01', 'Same', '{1,null}'), (2, null, null, '2021-01-01', 'same', null),
      (3, 2, 2, '2021-01-02', '', '{}'), (4, 2, 2, '2022-01-01', '', '{{1},{2}}'), (5, null, null, '2030-01-01', null, null);
  `;
  migration = await layOutOther({ before: before + rows, after });
  const { findings, notes } = await checkHarmlessly(migration);
  expect(findings).toEqual([]);
  expect(notes.join()).not.toContain("can't be evaluated");
  const { status } = await runToEnd(scene, migration, approve);
  expect(status.outcome).toBe('migrated');
  const { url } = migration.production;
  expect(await query(url, 'select count(*)::int as rows, count(twice)::int as twice from c')).toEqual([
    { rows: 5, twice: 3 },
  ]);
});

test('check names the rows that the new schema would refuse, and a run ends before the page', async () => {
  const rows = `
    insert into p values (1, 1, 'unknown'), (1, 2, 'x');
    insert into r values (1, '[1,5)', 1), (2, '[4,9)', 1);
    insert into c values (1, -1, 1, '2021-01-01', 'Same', '{0}'), (2, 1, null, '2021-01-01', 'same', null), (3, 1, 2, '2050-01-01', null, null);
  `;
  // Row security that holds for the owner too hides no row from the look.
  const secured = 'alter table p enable row level security; alter table p force row level security;';
  migration = await layOutOther({ before: before + rows, after: after + secured });
  const found = (await checkHarmlessly(migration)).findings.join('\n');
  for (const name of [
    'p_word_check',
    'apart',
    'positive_check',
    'whole',
    'c_late_id_check',
    'c_word',
    'c_check',
  ])
    expect(found).toContain(` ${name} `);
  expect(found).toMatch(/p_word_check .* \(a, b\): 1, 1\.$/m);
  expect(found).toContain('1 row for c would find no partition');
  const { status } = await runToEnd(scene, migration);
  expect(status.outcome).toBe('refused');
});
