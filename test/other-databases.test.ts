/** What ordinary databases hold: found by preflight, or carried both ways, by a user who owns the database and nothing more. */
import { contentOf, definitionOf } from '../lab/database-state';
import { onServer } from './support/environment';
import { approve, type Migration } from './support/migration';
import { definitionReadAgain, layOutOther, type Drawing } from './support/other-database';
import { checkHarmlessly } from './support/preflight';
import { runToEnd, sceneForEach } from './support/way-back';

const scene = sceneForEach('other-databases', 1);
let migration: Migration | undefined;
afterEach(async () => {
  await migration?.drop();
  migration = undefined;
});

// PostgreSQL casts each of the words, and once that is read again, the whole list.
const printedOtherwise = `
  create domain state as varchar(20) check (value in ('a', 'b'));
  create table t (id int primary key, state varchar(20) check (state in ('a', 'b')), other state default 'a',
    big boolean generated always as (state in ('a', 'c')) stored);
  create index t_open on t (id) where state in ('a', 'b');
  create view open as select id from t where state in ('a', 'b');
  alter table t enable row level security;
  create policy p on t using (state in ('a', 'b'));
  create function f() returns trigger language plpgsql as 'begin return new; end';
  create trigger g before update on t for each row when (new.state in ('a', 'b')) execute function f();
  create rule r as on delete to t where old.state in ('z', 'y') do instead nothing;
`;
const rows = `insert into t (id, state) select n, case when n % 2 = 0 then 'a' else 'b' end from generate_series(1, 100) n;`;

const smokeFails = (plan: Record<string, unknown>) => {
  plan.smoke = [{ name: 'fails', kind: 'sql', sql: 'select 1 / 0' }];
  plan.rollbackSmoke = [];
};

async function comesBack(drawing: Drawing): Promise<void> {
  migration = await layOutOther({ ...drawing, change: smokeFails });
  const { url } = migration.production;
  expect((await checkHarmlessly(migration)).findings).toEqual([]);
  const content = await contentOf(url);
  const expected = await definitionReadAgain(url);
  const { status } = await runToEnd(scene, migration, approve);
  expect(status).toMatchObject({ outcome: 'rolled-back', parked: false });
  expect(status.steps.filter(({ state }) => state === 'failed').map(({ name }) => name)).toEqual(['smoke']);
  expect(status.notes.join()).not.toContain('otherwise than before');
  expect(await contentOf(url)).toEqual(content);
  expect((await definitionOf(url, [])).sort()).toEqual(expected.sort());
}

test('what PostgreSQL prints otherwise once it was read again comes back', () =>
  comesBack({ before: printedOtherwise + rows, after: printedOtherwise }));

test('and arrives in the new schema', async () => {
  migration = await layOutOther({ before: printedOtherwise + rows, after: printedOtherwise });
  const content = await contentOf(migration.production.url);
  const { status } = await runToEnd(scene, migration, approve);
  expect(status.outcome).toBe('migrated');
  expect(await contentOf(migration.production.url)).toEqual(content);
});

// Hosted services have default privileges for roles of their own.
test('default privileges of a role that the owner is no member of stay where they are', async () => {
  const role = 'other_defaults';
  const before = `create table t (id int primary key); insert into t values (1);`;
  await onServer(`drop role if exists ${role}; create role ${role}`);
  try {
    await comesBack({
      prepared: `alter default privileges for role ${role} in schema public grant select on tables to pg_monitor;
        comment on schema public is 'ours'; grant usage on schema public to pg_monitor with grant option`,
      before,
      after: 'create table t (id int primary key);',
    });
  } finally {
    await migration?.drop();
    migration = undefined;
    await onServer(`drop role ${role}`);
  }
});
