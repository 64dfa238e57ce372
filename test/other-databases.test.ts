/** What ordinary databases hold: found by preflight, or carried both ways, by a user who owns the database and nothing more. */
import { contentOf } from '../lab/database-state';
import { onServer } from './support/environment';
import { approve, type Migration } from './support/migration';
import { expectBack, layOutOther, smokeFails, type Drawing } from './support/other-database';
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

async function comesBack(drawing: Drawing): Promise<void> {
  migration = await layOutOther({ ...drawing, change: smokeFails });
  await expectBack(scene, migration);
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

const plain = 'create table t (id int primary key, word text);';

/** Roles of a test, dropped with all that they own. */
async function withRoles(names: readonly string[], work: () => Promise<void>): Promise<void> {
  for (const name of names) await onServer(`drop role if exists ${name}; create role ${name}`);
  try {
    await work();
  } finally {
    await migration?.drop();
    migration = undefined;
    for (const name of names) await onServer(`drop role ${name}`);
  }
}

// Each is refused by production only, or by the shadow as well; none was found before the page was on.
const refused: [string, Drawing, RegExp][] = [
  [
    'a schema of another, in which the owner may not create',
    {
      prepared: 'alter schema public owner to other_a; grant usage on schema public to public',
      before: '',
      after: plain,
    },
    /permission denied for schema public\. Grant it: grant create, usage on schema "public" to "owner_/,
  ],
  [
    'a table of a role that may not create in the schema',
    {
      prepared: `${plain} alter table t owner to other_a; grant other_a to current_owner; revoke create on schema public from public`,
      before: '',
      after: plain,
    },
    /for objects of other_a: .* permission denied for schema public\. Grant it: grant create, usage on schema "public" to "owner_\w+", "other_a"/,
  ],
  [
    'a function that only a superuser may make so',
    {
      prepared: `create function f() returns int language sql leakproof as 'select 1'; alter function f() owner to current_owner`,
      before: '',
      after: plain,
    },
    /A way back could not make production's definition again, as production's user\. function public\.f\(\): only superuser can define a leakproof function/,
  ],
  [
    'an event trigger of a superuser that refuses functions',
    {
      prepared: `create schema audit; create function audit.watch() returns event_trigger language plpgsql as 'begin raise ''ask the platform team''; end';
        create event trigger watcher on ddl_command_end when tag in ('CREATE FUNCTION') execute function audit.watch()`,
      before: plain,
      after: plain,
    },
    /ask the platform team\. The event trigger "watcher" of postgres says so/,
  ],
  [
    'a child whose parent got a column later',
    {
      before: `create table t (id int primary key); create table child (own text) inherits (t); alter table t add column later int;
        insert into child values (1, 'x', 2);`,
      after: `${plain} create table child (own text) inherits (t);`,
    },
    /^public\.child has its own column own before the inherited later, which came later\./m,
  ],
  [
    'a grant of a grantor that the owner is no member of',
    {
      prepared: `${plain} insert into t values (1); alter table t owner to current_owner; grant select on t to other_a with grant option;
        set role other_a; grant select on t to other_b; reset role`,
      before: '',
      after: plain,
    },
    /acl public\.TABLE "t": (permission denied to set role "other_a"|must be able to SET ROLE)/,
  ],
];

test.each(refused)('check names %s', (_what, drawing, finding) =>
  withRoles(['other_a', 'other_b'], async () => {
    migration = await layOutOther(drawing);
    expect((await checkHarmlessly(migration)).findings.join('\n')).toMatch(finding);
  }),
);

test('grants of a grantor that the owner is a member of come back, and event triggers that let all pass', () =>
  withRoles(['other_a', 'other_b'], () =>
    comesBack({
      prepared: `create schema audit; create function audit.watch() returns event_trigger language plpgsql as 'begin end';
        create event trigger watcher on ddl_command_end execute function audit.watch();
        ${plain} insert into t values (1); alter table t owner to other_b; grant create on schema public to other_b;
        grant other_a, other_b to current_owner; grant select on t to other_a with grant option;
        set role other_a; grant select on t to current_owner; reset role`,
      before: '',
      after: plain,
    }),
  ));

// Both are a superuser's, whoever made them.
test('ranges and trusted extensions that the owner made are no reason to refuse', () => {
  const ranged = `create type span as range (subtype = numeric); create type spans as (all_of span[]);
    create table t (id int primary key, word citext, during span);`;
  return comesBack({
    before: `create extension citext; ${ranged} insert into t values (1, 'a', '[1,2)');`,
    after: ranged,
  });
});

test('a run with thousands of findings is refused with its reasons', async () => {
  const tables = (columns: string) =>
    Array.from({ length: 300 }, (_, n) => `create table table_${n} (id int primary key${columns});`).join(
      '\n',
    );
  const added = Array.from({ length: 20 }, (_, n) => `, a_column_that_nothing_explains_${n} text not null`);
  migration = await layOutOther({ before: tables(''), after: tables(added.join('')) });
  const { status, type } = await runToEnd(scene, migration);
  expect({ type, outcome: status.outcome }).toEqual({ type: 'refused', outcome: 'refused' });
  expect(status.notes.join('\n')).toContain('table_0.a_column_that_nothing_explains_0');
  expect(status.notes.join('\n')).toContain('more findings are left out here; kirikae check prints them all');
});

test('hundreds of sequences are read, backed up and brought back', () => {
  const sequences = Array.from({ length: 350 }, (_, n) => `create sequence s_${n} start ${n + 1};`).join(
    '\n',
  );
  return comesBack({
    before: `${plain} ${sequences} select setval('s_7', 70, false), nextval('s_8');`,
    after: plain + sequences,
  });
});
