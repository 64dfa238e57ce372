/** After the point of no return: only persons who accept the loss bring the old database back. */
import type { WorkflowHandle } from '@temporalio/client';
import { contentOf, leftovers, stateOf } from '../lab/database-state';
import { withDatabase, query } from '../lab/stage';
import { asidePrefix } from '../src/way-back/aside';
import { hasDatabase, onServer, testPostgres } from './support/environment';
import { approve, backupOf, untilStatus, type Migration } from './support/migration';
import { expectAsBefore, refusalOf, runToEnd, sceneForEach } from './support/way-back';

const scene = sceneForEach('back-live');
let migration: Migration;

const monitored = (handle: WorkflowHandle) =>
  untilStatus(handle, ({ live, step, waitingFor }) => live && step === 'monitor' && waitingFor === null);

test('brings the old rows back when enough persons accept the loss, and keeps the present ones aside', async () => {
  migration = await scene.layOut((plan) => {
    plan.monitor = { for: '10m', every: '1s' };
    plan.approval = { minimum: 2, timeout: '10m' };
  });
  const before = await stateOf(migration.production.url);
  let abandoned: Record<string, string> = {};
  const rollBack = (by: string) => ({ by, acceptLoss: true });
  const ending = await runToEnd(scene, migration, async (handle) => {
    await untilStatus(handle, ({ step, waitingFor }) => step === 'approval' && waitingFor !== null);
    expect(await refusalOf(handle, 'rollBack', rollBack('bob'))).toMatch(
      /after the point of no return; before it, cancel the run/,
    );
    await approve(handle, 'bob');
    await approve(handle, 'carol');
    await monitored(handle);
    await withDatabase(migration.production.url, (client) =>
      client.query(`update "User" set name = 'user at work' where id = (select min(id) from "User")`),
    );
    abandoned = (await stateOf(migration.production.url)).rows;
    expect(await refusalOf(handle, 'rollBack', { by: 'bob' })).toMatch(
      /Send rollBack with "acceptLoss": true/,
    );
    expect(await refusalOf(handle, 'rollBack', rollBack('bob'))).toBe('accepted');
    expect(await refusalOf(handle, 'rollBack', rollBack('bob'))).toMatch(/2 different persons must/);
    expect(await refusalOf(handle, 'rollBack', rollBack('carol'))).toBe('accepted');
  });
  expect(ending).toMatchObject({
    closed: 'FAILED',
    type: 'rolled-back',
    sentence: 'Roll back asked for by bob, carol.',
    status: { outcome: 'rolled-back', live: false, parked: false },
  });
  await expectAsBefore(migration, before);
  expect(migration.log()).toEqual(['manager new', 'proxy new', 'proxy old', 'manager old']);
  const aside = await stateOf(testPostgres().url(await asideOf()));
  const asideRows = Object.entries(aside.rows).filter(([table]) => !table.startsWith('kirikae.'));
  expect(Object.fromEntries(asideRows)).toEqual(
    Object.fromEntries(Object.entries(abandoned).filter(([table]) => !table.startsWith('kirikae.'))),
  );
  expect(ending.status.notes.join('\n')).toContain(`is kept as ${await asideOf()}`);
});

test('brings the old rows back to a database with signs in its name that a URL writes otherwise', async () => {
  const monitor = { for: '10m', every: '1s' };
  migration = await scene.layOut((plan) => Object.assign(plan, { monitor }), `shop+eu & co:'é/50%`);
  const before = await stateOf(migration.production.url);
  const ending = await runToEnd(scene, migration, async (handle) => {
    await approve(handle);
    await monitored(handle);
    await query(migration.production.url, `update "User" set name = 'user at work'`);
    expect(await refusalOf(handle, 'rollBack', { by: 'bob', acceptLoss: true })).toBe('accepted');
  });
  expect(ending).toMatchObject({ closed: 'FAILED', status: { outcome: 'rolled-back', parked: false } });
  await expectAsBefore(migration, before);
  expect(await asideOf()).not.toBe('');
});

test.each([
  [
    'is gone',
    () => onServer(`alter database "${backupOf(migration)}" rename to "${migration.production.name}_lost"`),
    /: database "\S+" does not exist\. Production stays live: nothing was changed\.$/,
  ],
  [
    'had one column changed',
    () =>
      query(
        migration.urls.backup,
        `update "User" set name = 'changed' where id = (select min(id) from "User")`,
      ),
    /: The backup is not what was sealed: table "?public"?\."User" .* Production stays live: nothing was changed\.$/s,
  ],
] as const)('stays live by itself when the backup that a roll back would need %s', async (_, spoil, why) => {
  migration = await scene.layOut((plan) => (plan.monitor = { for: '10m', every: '1s' }));
  let before: unknown;
  const ending = await runToEnd(scene, migration, async (handle) => {
    await approve(handle);
    await monitored(handle);
    before = await contentOf(migration.urls.production);
    await spoil();
    expect(await refusalOf(handle, 'rollBack', { by: 'bob', acceptLoss: true })).toBe('accepted');
    const stays = (text: string) => text.includes('Production stays live');
    const { notes } = await untilStatus(
      handle,
      (status) => status.notes.some(stays) && status.step === 'monitor' && status.phase === 'live',
    );
    expect(notes.find(stays)).toMatch(why);
    expect(notes.find(stays)).toContain(
      `The old rows are not to be had from the backup ${backupOf(migration)}: `,
    );
    expect((await fetch(migration.pageUrl)).status).toBe(200);
    await handle.cancel();
  });
  expect(ending.status).toMatchObject({ outcome: 'migrated', live: true });
  expect(await contentOf(migration.urls.production)).toEqual(before);
});

test('waits for a person when a check fails while monitoring, restores nothing, and goes on after retry', async () => {
  migration = await scene.layOut((plan) => {
    plan.monitor = { for: '8s', every: '1s' };
  });
  const ending = await runToEnd(scene, migration, async (handle) => {
    await approve(handle);
    await monitored(handle);
    migration.health.status = 500;
    const status = await untilStatus(handle, ({ waitingFor }) => waitingFor !== null);
    expect(status).toMatchObject({ step: 'monitor', live: true, parked: false, outcome: null });
    expect(status.waitingFor).toMatch(/a person: the check "API answers" fails/);
    expect((await fetch(migration.pageUrl)).status).toBe(200);
    migration.health.status = 200;
    expect(await refusalOf(handle, 'retry', { by: 'bob' })).toBe('accepted');
  });
  expect(ending).toMatchObject({ closed: 'COMPLETED', status: { outcome: 'migrated', live: true } });
  expect(migration.log()).toEqual(['manager new', 'proxy new']);
  expect(await leftovers(migration)).toEqual([]);
});

test('deletes the backup only when a person retires it', async () => {
  migration = await scene.layOut((plan) => {
    plan.retireBackup = { after: 'approval' };
  });
  const backup = backupOf(migration);
  const ending = await runToEnd(scene, migration, async (handle) => {
    await untilStatus(handle, ({ step, waitingFor }) => step === 'approval' && waitingFor !== null);
    expect(await refusalOf(handle, 'retireBackup', { by: 'bob' })).toMatch(/only in the step retireBackup/);
    await approve(handle);
    await untilStatus(handle, ({ step, waitingFor }) => step === 'retireBackup' && waitingFor !== null);
    expect(await hasDatabase(backup)).toBe(true);
    expect(await refusalOf(handle, 'retireBackup', { by: 'bob' })).toBe('accepted');
  });
  expect(ending).toMatchObject({ closed: 'COMPLETED', status: { outcome: 'migrated' } });
  expect(await hasDatabase(backup)).toBe(false);
  expect(await leftovers(migration)).toEqual([]);
});

test('ends as migrated and keeps the backup when it is cancelled while monitoring', async () => {
  migration = await scene.layOut((plan) => {
    plan.monitor = { for: '10m', every: '1s' };
  });
  const ending = await runToEnd(scene, migration, async (handle) => {
    await approve(handle);
    await monitored(handle);
    await handle.cancel();
  });
  expect(ending).toMatchObject({ closed: 'COMPLETED', status: { outcome: 'migrated', live: true } });
  expect(migration.log()).toEqual(['manager new', 'proxy new']);
  expect(await hasDatabase(backupOf(migration))).toBe(true);
  expect(await leftovers(migration)).toEqual([]);
});

// The database that the present rows were copied into.
async function asideOf(): Promise<string> {
  const prefix = asidePrefix(backupOf(migration));
  const [found] = await query<{ name: string }>(
    testPostgres().url('postgres'),
    'select datname as name from pg_database where starts_with(datname, $1)',
    [prefix],
  );
  return found?.name ?? '';
}
