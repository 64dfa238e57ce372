/** `reset.mode: keep`: old objects wait in a schema of their own, come home in one transaction, and are gone at the end. */
import { setAside, moveBack, dropKept, keptSchemas } from '../src/reset/set-aside';
import { inTransaction, withClient } from '../src/postgres/connect';
import { leftovers, stateOf } from '../lab/database-state';
import { brokenByRows, schemaWith, withDatabase } from '../lab/stage';
import { createDatabase, hasDatabase, onServer } from './support/environment';
import { type Migration, approve, backupOf, changePlan, untilStatus } from './support/migration';
import { checkTumikiMigration } from '../lab/tumiki-checker';
import { refusalOf as preflightRefusal } from './support/preflight';
import { expectAsBefore, expectRolledBack, runToEnd, sceneForEach } from './support/way-back';

const scene = sceneForEach('reset-keep');
let migration: Migration;

const keep = (plan: Record<string, unknown>) => {
  plan.reset = { mode: 'keep' };
};

// One of everything that a schema can hold, each leaning on another.
const everyKind = `
  create extension citext schema public;
  create type mood as enum ('sad', 'glad');
  create type pair as (a int, b mood);
  create domain short as citext check (length(value) < 50);
  create type span as range (subtype = float8, multirange_type_name = spans);
  create sequence tickets start 100 increment 5;
  create table person (id serial primary key, name short not null, mood mood default 'glad', two pair, during span, at spans,
    ticket bigint default nextval('tickets'), boss int references person (id), loud text generated always as (upper(name::text)) stored);
  create table counter (id bigint generated always as identity, day date not null) partition by range (day);
  create table counter_old partition of counter for values from ('2000-01-01') to ('2020-01-01');
  create table counter_new partition of counter default;
  create index on counter (day);
  create function twice(p person) returns text language sql stable as 'select (p.name || p.name)::text';
  create function same(a mood, b mood) returns boolean language sql immutable as 'select a = b';
  create operator === (leftarg = mood, rightarg = mood, function = same);
  create aggregate all_moods(mood) (sfunc = array_append, stype = mood[], initcond = '{}');
  create procedure nothing() language plpgsql as 'begin end';
  create function louder() returns trigger language plpgsql as 'begin new.mood := ''glad''; return new; end';
  create trigger louder before insert on person for each row execute function louder();
  create rule quiet as on delete to person do instead nothing;
  create view people as select p.id, twice(p) as name from person p;
  create materialized view moods as select mood, count(*) from person group by mood;
  create unique index on moods (mood);
  create statistics of_person on id, mood from person;
  create collation german (locale = 'C');
  create text search dictionary simple_words (template = pg_catalog.simple);
  create text search configuration words (copy = pg_catalog.simple);
  create operator family moods_family using hash;
  create operator class mood_ops for type mood using hash as operator 1 === ;
  alter table person enable row level security;
  create policy mine on person using (mood = 'glad');
  insert into person (name, boss, during) select 'name ' || n, case when n > 1 then 1 end, span(0, n) from generate_series(1, 100) n;
  insert into counter (day) select date '2019-12-01' + n from generate_series(1, 60) n;
  refresh materialized view moods;
  grant select on person to public;
  grant create on schema public to public;
  alter default privileges in schema public grant select on tables to public;
  comment on table person is 'people';
  comment on schema public is 'ours';
  create schema "Second One";
  create table "Second One"."T" (m public.mood, p int references public.person (id));
  insert into "Second One"."T" values ('sad', 3);`;

test('moves an object of every kind away and home, and the database is what it was', async () => {
  const database = await createDatabase('kinds');
  const schemas = ['public', 'Second One'];
  try {
    await withDatabase(database.url, (client) => client.query(everyKind));
    const before = await stateOf(database.url);
    await withClient(database.url, 'keep', async (client) => {
      await inTransaction(client, async () => {
        await client.query('create schema kirikae');
        await setAside(client, schemas);
      });
      expect(await keptSchemas(client)).toEqual([
        { home: 'public', schema: 'kirikae_old_1' },
        { home: 'Second One', schema: 'kirikae_old_2' },
      ]);
      // What the new schema makes under the same names is no obstacle, the extension is there, and the old objects work.
      await client.query(`
        set search_path = public;
        create type mood as enum ('other');
        create type span as range (subtype = float8);
        create table person (id serial primary key, name citext);
        create function twice(p person) returns text language sql as 'select 1::text';
        set search_path = '';
        create table "Second One"."T" ();`);
      const { rows } = await client.query(
        `select count(*) from kirikae_old_1.person where during operator(pg_catalog.&&) kirikae_old_1.span(1, 2)`,
      );
      expect(rows).toEqual([{ count: '99' }]);
      await inTransaction(client, () => moveBack(client, schemas));
      expect(await keptSchemas(client)).toEqual([]);
      await client.query('drop schema kirikae cascade');
    });
    expect(await stateOf(database.url)).toEqual(before);
    await withClient(database.url, 'keep', async (client) => {
      await client.query('create schema kirikae');
      await inTransaction(client, () => setAside(client, schemas));
      expect(await inTransaction(client, () => dropKept(client))).toEqual(['kirikae_old_1', 'kirikae_old_2']);
      const { rows } = await client.query(
        `select nspname from pg_namespace where nspname like 'kirikae_old%'`,
      );
      expect(rows).toEqual([]);
    });
  } finally {
    await database.drop();
  }
});

describe('a run', () => {
  const waiting = async () =>
    withDatabase(migration.production.url, async (client) => {
      const { rows } = await client.query<{ n: string }>(
        `select count(*) as n from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'kirikae_old_1' and relkind = 'r'`,
      );
      return Number(rows[0]?.n);
    });

  test('ends as migrated with every row right; the old objects wait until it ends, and none stays', async () => {
    migration = await scene.layOut((plan) => {
      keep(plan);
      plan.monitor = { for: '10m', every: '1s' };
    });
    const ending = await runToEnd(scene, migration, async (handle) => {
      await approve(handle);
      await untilStatus(handle, ({ live, step, waitingFor }) => live && step === 'monitor' && !waitingFor);
      expect(await waiting()).toBeGreaterThan(20);
      await handle.cancel();
    });
    expect(ending).toMatchObject({ closed: 'COMPLETED', status: { outcome: 'migrated' } });
    expect(ending.status.notes).toContain(
      'The old objects were dropped from production for good (schema kirikae_old_1).',
    );
    expect(await waiting()).toBe(0);
    await expectNoOldSchema();
    expect(await leftovers(migration)).toEqual([]);
    expect(await hasDatabase(backupOf(migration))).toBe(true);
    await withDatabase(migration.urls.backup, (before) =>
      withDatabase(migration.production.url, async (after) => {
        const { rowsJudged, problems } = await checkTumikiMigration(before, after);
        expect(rowsJudged).toBeGreaterThan(0);
        expect(problems).toEqual([]);
      }),
    );
  });

  test('moves the old objects home when a smoke check fails, without copying a row', async () => {
    migration = await scene.layOut(keep);
    migration.health.status = 500;
    changePlan(migration, (plan) => (plan.rollbackSmoke = []));
    const before = await stateOf(migration.production.url);
    let copied: (string | null | undefined)[] = [];
    const ending = await runToEnd(scene, migration, async (handle) => {
      await approve(handle);
      await untilEnd(handle);
      const { events } = await handle.fetchHistory();
      copied = (events ?? []).flatMap(({ userMetadata }) =>
        userMetadata?.summary?.data ? [Buffer.from(userMetadata.summary.data).toString()] : [],
      );
    });
    await expectRolledBack(migration, ending, { before, step: 'smoke', because: /"API answers" fails/ });
    expect(copied.filter((summary) => summary?.includes('migrate'))).not.toEqual([]);
    expect(copied.filter((summary) => summary?.includes('restore'))).toEqual([]);
  });

  test('moves them home when the schema step fails half-way on production', async () => {
    migration = await scene.layOut(keep);
    const dir = schemaWith(
      migration,
      `do $$ begin if current_database() not like '%_shadow' then raise 'not here'; end if; end $$`,
    );
    changePlan(migration, (plan) => (plan.schema = { kind: 'sql', dir }));
    const before = await stateOf(migration.production.url);
    const ending = await runToEnd(scene, migration, approve);
    await expectRolledBack(migration, ending, { before, step: 'deploySchema', because: /not here/ });
  });

  test('moves them home when the rows break a check that comes after them', async () => {
    migration = await scene.layOut(keep);
    const dir = schemaWith(migration, brokenByRows);
    changePlan(migration, (plan) => (plan.schema = { kind: 'sql', dir }));
    const before = await stateOf(migration.production.url);
    const ending = await runToEnd(scene, migration, approve);
    await expectRolledBack(migration, ending, { before, step: 'migrate', because: /fails_on_purpose/ });
  });

  // A check fails, and the way back finds what was done before.
  async function failInSmokeAfter(spoil: () => Promise<unknown>) {
    migration = await scene.layOut((plan) => {
      keep(plan);
      plan.smoke = [{ name: 'Looks right', kind: 'manual' }];
    });
    const before = await stateOf(migration.production.url);
    const ending = await runToEnd(scene, migration, async (handle) => {
      await approve(handle);
      await untilStatus(handle, ({ step, waitingFor }) => step === 'smoke' && waitingFor !== null);
      await spoil();
      const confirm = { by: 'bob', check: 'Looks right', passed: false };
      await handle.executeUpdate('confirm', { args: [confirm] });
    });
    expect(ending.status.outcome).toBe('rolled-back');
    return { before, status: ending.status };
  }

  test('restores from the backup when the old objects were touched while they waited, and says so', async () => {
    const { before, status } = await failInSmokeAfter(() =>
      withDatabase(migration.production.url, (client) => client.query(`delete from kirikae_old_1."Vote"`)),
    );
    expect(status.notes.join()).toMatch(
      /old objects that were kept are not what was sealed, so the backup's rows are copied back: .*"Vote"/,
    );
    await expectAsBefore(migration, before);
  });

  test.each([
    ['is gone', () => onServer(`drop database "${backupOf(migration)}" with (force)`)],
    [
      'was written to',
      () => withDatabase(migration.urls.backup, (client) => client.query(`delete from "Vote"`)),
    ],
  ] as const)('moves them home without the backup, which %s', async (_, spoil) => {
    const { before, status } = await failInSmokeAfter(spoil);
    expect(status.wayBack.map(({ name, state }) => `${name} ${state}`)).toEqual(
      expect.arrayContaining(['proveBackup done', 'restore done', 'pageOff done']),
    );
    expect(await stateOf(migration.production.url)).toEqual(before);
  });

  test('is refused when the schema for the old objects is there already', async () => {
    migration = await scene.layOut(keep);
    await withDatabase(migration.production.url, (client) => client.query('create schema kirikae_old_1'));
    expect(await preflightRefusal(migration)).toMatch(
      /Production has a schema "kirikae_old_1".*drop schema "kirikae_old_1" cascade/,
    );
  });

  async function expectNoOldSchema(): Promise<void> {
    await withDatabase(migration.production.url, async (client) => {
      const { rows } = await client.query(`select nspname from pg_namespace where nspname like 'kirikae%'`);
      expect(rows).toEqual([]);
    });
  }
});

async function untilEnd(handle: Parameters<typeof untilStatus>[0]): Promise<void> {
  await handle.result().catch(() => undefined);
}
