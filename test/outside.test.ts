/** What a schema step does outside the managed schemas is undone on the way back, or refused before the night. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { stateOf } from '../lab/database-state';
import { withDatabase } from '../lab/stage';
import { emptyAndUndo, noteChangesOutside, noteOutside } from '../src/new-schema/undo-outside';
import { inTransaction } from '../src/postgres/connect';
import { outsideChanges, readOutside } from '../src/postgres/outside';
import { approve, type Migration } from './support/migration';
import { layOutOther, smokeFails, type Drawing } from './support/other-database';
import { checkHarmlessly, refusalOf } from './support/preflight';
import { runToEnd, sceneForEach } from './support/way-back';

const scene = sceneForEach('outside', 1);
let migration: Migration | undefined;
afterEach(async () => {
  await migration?.drop();
  migration = undefined;
});

const old = `
  create extension hstore; create table t (id int primary key, word text, tags hstore);
  insert into t select n, 'word ' || n, 'a=>1' from generate_series(1, 50) n;
  create function similarity(text, text) returns real language sql as 'select 1::real';
  create schema journal; create table journal.done (id serial primary key, name text, at timestamptz default now());
  insert into journal.done (name) values ('001'), ('002');
  create schema audit; create function audit.who() returns text language sql as 'select current_user::text';
  alter default privileges grant select on tables to pg_monitor; grant usage on schema public to pg_monitor`;

// As the tools and habits of the trade have it: a journal, views for an API in a schema of their own, functions in another.
const step = `
  create extension pg_trgm; create schema app_private;
  create function app_private.is_mine(text) returns boolean language sql stable as 'select true';
  create table t (id int primary key, word text, word_length int);
  create index t_word on t using gin (word gin_trgm_ops);
  alter table t enable row level security; create policy mine on t using (app_private.is_mine(word));
  create schema api; create view api.words as select id, word from t; create view api.first as select * from api.words limit 1;
  create type api.kind as enum ('a', 'b'); create table api.kinds (kind api.kind primary key, t int);
  create publication everything for table t;
  insert into journal.done (name) values ('003'); update journal.done set at = null where name = '001';
  create schema journal_of_tool; create table journal_of_tool.done (name text); insert into journal_of_tool.done values ('001');
  grant usage, create on schema public to pg_monitor; revoke usage on schema public from public;
  alter default privileges in schema public grant select on tables to pg_read_all_stats;
  alter default privileges revoke select on tables from pg_monitor; alter default privileges revoke execute on functions from public;
  comment on schema public is 'the new one';
  do $$ begin execute format('alter ' || 'database %I set search_path = "$user", public, api', current_database()); end $$;`;

const mapping = `
tables: { t: { columns: { word_length: length(source.word) } } }
drop: { columns: { t: { tags: no longer used } } }`;

async function layOut(drawing: Drawing): Promise<Migration> {
  const laidOut = await layOutOther(drawing);
  writeFileSync(path.join(laidOut.folder, 'mapping.yaml'), mapping);
  return laidOut;
}

test.each(['drop', 'keep'])('with reset.mode %s all of it goes again', async (mode) => {
  migration = await layOut({
    before: old,
    after: step,
    change: (plan) => {
      smokeFails(plan);
      Object.assign(plan, { reset: { mode }, mapping: './mapping.yaml' });
    },
  });
  const { url } = migration.production;
  expect((await checkHarmlessly(migration)).findings).toEqual([]);
  const before = await stateOf(url);
  const failed = await runToEnd(scene, migration, approve);
  expect(failed.status).toMatchObject({ outcome: 'rolled-back', parked: false });
  expect(failed.status.steps.find(({ state }) => state === 'failed')?.name).toBe('smoke');
  expect(await stateOf(url)).toEqual(before);
});

test('where the run ends as migrated all of it stays', async () => {
  migration = await layOut({ before: old, after: step, change: (plan) => (plan.mapping = './mapping.yaml') });
  const { url } = migration.production;
  const before = await stateOf(url);
  const { status } = await runToEnd(scene, migration, approve);
  expect({ outcome: status.outcome, notes: status.notes }).toMatchObject({ outcome: 'migrated' });
  const after = await stateOf(url);
  expect(after.definition.join('\n')).toContain('CREATE VIEW api.words');
  expect(after.definition.join('\n')).not.toContain('kirikae');
  expect(after.rows['journal.done']).not.toBe(before.rows['journal.done']);
});

// Where the step drops what the old schema needs, or brings what it had itself.
test('an extension that the step drops comes back, and one that brings what the old schema had itself goes', async () => {
  migration = await layOutOther({
    before: `create extension citext; create table t (id int primary key, word citext);
      insert into t values (1, 'One'); create function similarity(text, text) returns real language sql as 'select 1::real'`,
    after: 'drop extension citext; create extension pg_trgm; create table t (id int primary key, word text)',
    change: smokeFails,
  });
  const { url } = migration.production;
  expect((await checkHarmlessly(migration)).findings).toEqual([]);
  const before = await stateOf(url);
  const { status } = await runToEnd(scene, migration, approve);
  expect(status).toMatchObject({ outcome: 'rolled-back', parked: false });
  expect(await stateOf(url)).toEqual(before);
});

const large = `create schema ops; create table ops.log (id serial, line text);
  insert into ops.log (line) select repeat(md5(n::text), 20) from generate_series(1, 5000) n;`;
const plain = 'create table t (id int primary key);';
const refused: [string, string, string, RegExp][] = [
  [
    'drops a schema',
    `create schema legacy; create table legacy.x (id int); ${plain}`,
    'drop schema legacy cascade',
    /drops table legacy\.x\. That lies outside the managed schemas/,
  ],
  [
    'alters a table',
    large + plain,
    'alter table ops.log add column at timestamptz',
    /changes column at of ops\.log/,
  ],
  [
    'grants on a table',
    large + plain,
    'grant select on ops.log to pg_monitor',
    /changes relation r ops\.log/,
  ],
  [
    'writes to a large table',
    large + plain,
    `insert into ops.log (line) values ('step')`,
    /writes to ops\.log, which is too large to be kept/,
  ],
];
test.each(refused)('check refuses a step that %s outside', async (_what, before, after, finding) => {
  migration = await layOutOther({ before, after: `${after}; ${plain}` });
  expect(await refusalOf(migration)).toMatch(finding);
});

test('check refuses a dropped extension where old objects are kept', async () => {
  migration = await layOutOther({
    before: `create extension citext; ${plain}`,
    after: `drop extension citext; ${plain}`,
    change: (plan) => Object.assign(plan, { reset: { mode: 'keep' } }),
  });
  expect(await refusalOf(migration)).toMatch(/drops extension citext, on which old objects/);
});

test('each attempt begins as the first did, and what somebody else does meanwhile stays', async () => {
  migration = await layOutOther({
    before: `${plain} create schema journal; create table journal.done (name text); insert into journal.done values ('001');`,
    after: plain,
  });
  const { url } = migration.production;
  const schemas = ['public'];
  const half = 'create schema api; create extension pg_trgm;';
  const whole = `${half} create view api.words as select * from t; insert into journal.done values ('002');`;
  await withDatabase(url, async (client) => {
    await client.query('create schema kirikae');
    const before = await readOutside(client, schemas);
    await client.query(`begin; ${whole}`);
    const changes = outsideChanges(before, await readOutside(client, schemas));
    await client.query('rollback');
    const tables = [{ schema: 'journal', name: 'done' }];
    await inTransaction(client, () => noteOutside(client, schemas, { changes, tables }));
    // The first attempt dies in the middle, the second one ends.
    await client.query(half);
    await inTransaction(client, () => emptyAndUndo(client, schemas));
    expect(await readOutside(client, schemas)).toEqual(before);
    await client.query(`create table t (id int); ${whole} create schema somebodys;`);
    const notes = await noteChangesOutside(client, schemas);
    expect(notes).toEqual([expect.stringContaining('schema somebodys is new')]);
    await client.query(`create schema later; insert into journal.done values ('of a user')`);
    await inTransaction(client, () => emptyAndUndo(client, schemas));
    const now = outsideChanges(before, await readOutside(client, schemas));
    expect(now.added.map(({ identity }) => identity)).toEqual(['later', 'somebodys']);
    expect({ ...now, added: [] }).toEqual(outsideChanges(before, before));
    expect((await client.query('select * from journal.done')).rows).toEqual([
      { name: '001' },
      { name: 'of a user' },
    ]);
  });
});
