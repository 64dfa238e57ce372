/** `backup.method: clone`: production's files copied by the server, verified and sealed as ever, also when the worker dies. */
import { existsSync } from 'node:fs';
import { Client } from 'pg';
import { leftovers, stateOf } from '../lab/database-state';
import { until, withDatabase } from '../lab/stage';
import { clone, holdClones } from './support/clone-door';
import { hasDatabase, onServer, testPostgres } from './support/environment';
import { approve, startRun, untilStatus, withWorker, type Migration, backupOf } from './support/migration';
import { pointTo, refusalOf } from './support/preflight';
import { checkTumikiMigration } from '../lab/tumiki-checker';
import { endOf, expectAsBefore, runToEnd, sceneForEach } from './support/way-back';
import { startWorkerProcess } from './support/worker-process';

const scene = sceneForEach('clone');
let migration: Migration;

test('ends as migrated with every row right, from a backup that was cloned although clients kept coming back', async () => {
  migration = await scene.layOut(clone);
  const clients = keepConnecting(migration.production.url);
  let indexes: unknown;
  const ending = await runToEnd(scene, migration, async (handle) => {
    await untilStatus(handle, ({ step, waitingFor }) => step === 'approval' && waitingFor !== null);
    indexes = await countIndexes(migration.urls.backup);
    expect(await clients.stop()).toBeGreaterThan(0);
    await approve(handle);
  });
  expect(ending).toMatchObject({ closed: 'COMPLETED', status: { outcome: 'migrated' } });
  expect(Number(indexes)).toBeGreaterThan(20);
  expect(await leftovers(migration)).toEqual([]);
  await withDatabase(migration.urls.backup, (before) =>
    withDatabase(migration.production.url, async (after) => {
      const { rowsJudged, problems } = await checkTumikiMigration(before, after);
      expect(rowsJudged).toBeGreaterThan(0);
      expect(problems).toEqual([]);
      const { rows } = await before.query(
        `select plan, created_database, sealed_at is not null as sealed from kirikae.backup`,
      );
      expect(rows).toEqual([{ plan: 'tumiki', created_database: true, sealed: true }]);
    }),
  );
});

test('is removed when the reset is rejected', async () => {
  migration = await scene.layOut(clone);
  const before = await stateOf(migration.production.url);
  const ending = await runToEnd(scene, migration, async (handle) => {
    const { backup } = await untilStatus(handle, (s) => s.step === 'approval' && s.waitingFor !== null);
    await handle.executeUpdate('reject', { args: [{ by: 'bob', fingerprint: backup?.fingerprint }] });
  });
  expect(ending.status.outcome).toBe('rejected');
  await expectAsBefore(migration, before);
  expect(await hasDatabase(backupOf(migration))).toBe(false);
});

test('a worker killed in the middle of the clone is replaced, and production lets everybody in at the end', async () => {
  migration = await scene.layOut(clone);
  const door = await holdClones(migration.production.name);
  const first = await startWorkerProcess(migration, scene.namespace);
  const handle = await startRun(scene.client);
  await until(() => door.reached(backupOf(migration)));
  await first.kill();
  await door.open();
  await withWorker(migration, scene.namespace, async () => {
    await approve(handle);
    expect((await endOf(handle)).status.outcome).toBe('migrated');
  });
  expect(await leftovers(migration)).toEqual([]);
  expect(await databaseDoor()).toEqual([{ datallowconn: true, datconnlimit: -1 }]);
});

test('a run cancelled in the middle of the clone leaves production as it was and no clone', async () => {
  migration = await scene.layOut(clone);
  const before = await stateOf(migration.production.url);
  const door = await holdClones(migration.production.name);
  const ending = await runToEnd(scene, migration, async (handle) => {
    await until(() => door.reached(backupOf(migration)));
    await handle.cancel();
    await untilStatus(handle, ({ nextAction }) => /the way back runs by itself/.test(nextAction ?? ''));
    await door.open();
  });
  expect(ending.status.outcome).toBe('cancelled');
  await expectAsBefore(migration, before);
  expect(await hasDatabase(backupOf(migration))).toBe(false);
  expect(existsSync(migration.flagFile)).toBe(false);
  expect(await databaseDoor()).toEqual([{ datallowconn: true, datconnlimit: -1 }]);
});

test('is refused where the backup database is there already', async () => {
  migration = await scene.layOut(clone);
  await onServer(`create database "${backupOf(migration)}" template template0`);
  expect(await refusalOf(migration)).toMatch(
    /is there already, and a clone is always made anew\. Name one that isn't there \(kirikae remove-backup removes a backup of this plan\), or set databases\.backup\.method to copy\./,
  );
});

test('is refused where the backup would be made by a user that may not', async () => {
  migration = await scene.layOut(clone);
  const role = `cloner_${Date.now()}`;
  await onServer(`create role ${role} login createdb password 'secret of a test'`);
  const url = new URL(migration.urls.backup);
  url.username = role;
  url.password = 'secret of a test';
  try {
    pointTo(migration, 'backup', url.toString());
    expect(await refusalOf(migration)).toMatch(
      new RegExp(`The backup's user ${role} may not clone production, which belongs to postgres\\.`),
    );
  } finally {
    await onServer(`drop role ${role}`);
  }
});

/** Connects again and again, as a pool does that lost its sessions. @returns `stop` counts the sessions that were ended */
function keepConnecting(url: string): { stop: () => Promise<number> } {
  let stopped = false;
  let ended = 0;
  const loop = async () => {
    while (!stopped) {
      const client = new Client({ connectionString: url });
      const lost = new Promise<void>((resolve) => client.on('error', () => resolve()));
      try {
        await client.connect();
        await Promise.race([lost.then(() => (ended += 1)), until(() => Promise.resolve(stopped))]);
      } catch {
        ended += 1;
      }
      await client.end().catch(() => undefined);
    }
  };
  const loops = [loop(), loop(), loop()];
  return {
    stop: async () => {
      stopped = true;
      await Promise.all(loops);
      return ended;
    },
  };
}

async function databaseDoor(): Promise<unknown[]> {
  return withDatabase(testPostgres().url('postgres'), async (client) => {
    const sql = 'select datallowconn, datconnlimit from pg_database where datname = $1';
    return (await client.query<Record<string, unknown>>(sql, [migration.production.name])).rows;
  });
}

async function countIndexes(url: string): Promise<string | undefined> {
  return withDatabase(url, async (client) => {
    const sql = `select count(*) as n from pg_index i join pg_class c on c.oid = i.indrelid where c.relnamespace = 'public'::regnamespace`;
    return (await client.query<{ n: string }>(sql)).rows[0]?.n;
  });
}
