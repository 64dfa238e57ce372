/** The way back with `backup.method: clone`: a clone of the backup takes production's place, with all that a database has. */
import { stateOf } from '../lab/database-state';
import { schemaWith, until, withDatabase } from '../lab/stage';
import { clone, holdClones } from './support/clone-door';
import { hasDatabase, onServer, testPostgres } from './support/environment';
import { approve, changePlan, layOutMigration, startRun, withWorker } from './support/migration';
import type { Migration } from './support/migration';
import { endOf, expectRolledBack, openScene, runToEnd, type Scene } from './support/way-back';
import { startWorkerProcess } from './support/worker-process';

let scene: Scene;
let migration: Migration;
const roles = ['owner', 'granting', 'granted'].map((role) => `clone_${role}_${process.pid}`);
const [owner = '', granting = '', granted = ''] = roles;

beforeAll(async () => {
  scene = await openScene('restore-clone');
  for (const role of roles) await onServer(`create role ${role}`);
});
afterAll(async () => {
  for (const role of roles) await onServer(`drop role ${role}`);
  await scene.close();
});
afterEach(() => migration.drop());

const production = () => `"${migration.production.name}"`;

test.each(['drop', 'keep'])(
  'brings everything back when the migration fails (reset.mode %s)',
  async (mode) => {
    migration = await layOutMigration(scene.template, (plan) => {
      clone(plan);
      plan.reset = { mode };
    });
    const dir = schemaWith(
      migration,
      'alter table "McpServerRequestLog" add constraint log_of_a_user foreign key ("method") references "User" ("id")',
    );
    changePlan(migration, (plan) => (plan.schema = { kind: 'sql', dir }));
    const [before, database] = [await stateOf(migration.production.url), await databaseItself()];
    const ending = await runToEnd(scene, migration, approve);
    await expectRolledBack(migration, ending, { before, step: 'migrate', because: /log_of_a_user/ });
    // Objects that were set aside only move home; otherwise it is another database by now.
    const { oid } = await databaseItself();
    expect(oid === database.oid).toBe(mode === 'keep');
    expect(await hasDatabase(`${migration.production.name}_backup`)).toBe(true);
    expect(await strays()).toEqual([]);
  },
);

test('gives the clone the owner, grants, settings, comment and limit that production had', async () => {
  migration = await layOutFailing();
  for (const sql of [
    `alter database ${production()} owner to ${owner}`,
    `revoke all on database ${production()} from public`,
    `grant connect on database ${production()} to ${granting} with grant option`,
    `alter database ${production()} set search_path = 'public', "$user", 'odd name'`,
    `alter database ${production()} set "kirikae_test.text" = 'it''s, "so"'`,
    `alter role ${granted} in database ${production()} set search_path = ''`,
    `alter role all in database ${production()} set statement_timeout = '5min'`,
    `alter database ${production()} connection limit 50`,
    `comment on database ${production()} is 'The one of ''production'''`,
  ])
    await onServer(sql);
  const [before, database] = [await stateOf(migration.production.url), await databaseItself()];
  const ending = await runToEnd(scene, migration, approve);
  expect(ending.status.outcome).toBe('rolled-back');
  expect(await stateOf(migration.production.url)).toEqual(before);
  const restored = await databaseItself();
  expect(restored).toEqual({ ...database, oid: restored.oid });
  expect(restored.oid).not.toBe(database.oid);
  expect(ending.status.notes.filter((note) => /copied back/.test(note))).toEqual([]);
  expect(await strays()).toEqual([]);
});

test('copies the rows back where the clone could not have what production had, and says so', async () => {
  migration = await layOutFailing();
  await onServer(`grant connect on database ${production()} to ${granting} with grant option`);
  await onServer(`set role ${granting}; grant connect on database ${production()} to ${granted}; reset role`);
  const [before, database] = [await stateOf(migration.production.url), await databaseItself()];
  const ending = await runToEnd(scene, migration, approve);
  await expectRolledBack(migration, ending, { before, step: 'smoke', because: /"API answers" fails/ });
  expect(await databaseItself()).toEqual(database);
  expect(ending.status.notes).toContain(
    "A clone of the backup can't take production's place, so its rows are copied back: it would not have its grants (pg_database).",
  );
  expect(await strays()).toEqual([]);
});

test('a worker killed while the backup is cloned back is replaced, and leaves no database behind', async () => {
  migration = await layOutFailing();
  const before = await stateOf(migration.production.url);
  const first = await startWorkerProcess(migration, scene.namespace);
  const handle = await startRun(scene.client);
  await approve(handle);
  const door = await holdClones(`${migration.production.name}_backup`);
  await until(() => door.reached('kirikae_restored_'));
  await first.kill();
  await withWorker(migration, scene.namespace, async () => {
    await door.open();
    await expectRolledBack(migration, await endOf(handle), { before, step: 'smoke', because: /fails/ });
  });
  expect(await strays()).toEqual([]);
});

async function layOutFailing(): Promise<Migration> {
  const laidOut = await layOutMigration(scene.template, (plan) => {
    clone(plan);
    plan.rollbackSmoke = [];
  });
  laidOut.health.status = 500;
  return laidOut;
}

/** What a server knows of production besides its content. */
async function databaseItself(): Promise<Record<string, unknown>> {
  return withDatabase(testPostgres().url('postgres'), async (client) => {
    const { rows } = await client.query<Record<string, unknown>>(
      `select oid, pg_get_userbyid(datdba) as owner, datacl::text, datconnlimit, datistemplate, datallowconn, datcollate, encoding,
         shobj_description(oid, 'pg_database') as comment,
         (select array_agg(setrole || ' ' || setconfig::text order by setrole) from pg_db_role_setting where setdatabase = d.oid)
           as settings
       from pg_database d where datname = $1`,
      [migration.production.name],
    );
    return rows[0] ?? {};
  });
}

/** Databases that only the way back makes. */
async function strays(): Promise<unknown[]> {
  return withDatabase(testPostgres().url('postgres'), async (client) => {
    const sql = `select datname from pg_database where datname ~ '^kirikae_(restored|replaced)_'`;
    return (await client.query<Record<string, unknown>>(sql)).rows;
  });
}
