/** Databases that aren't the run's own: another backup, the two addresses swapped, a user's schema `kirikae`. Nothing is read or written there. */
import { existsSync } from 'node:fs';
import { contentOf, leftovers } from '../lab/database-state';
import { query } from '../lab/stage';
import { writeMarker } from '../src/ledger/marker';
import { withClient } from '../src/postgres/connect';
import { asidePrefix } from '../src/way-back/aside';
import { onServer } from './support/environment';
import { approve, ending, startRun, untilStatus, withWorker, backupOf } from './support/migration';
import { laidOutForEach } from './support/laid-out';

jest.setTimeout(240_000);

const scene = laidOutForEach('wrong-databases');

/** The variable that the worker takes a database's address from. */
function variableOf(url: string): string {
  const found = Object.entries(scene.migration.env).find(([, value]) => value === url);
  if (!found) throw new Error('no such variable');
  return found[0];
}

async function expectAsBefore(): Promise<void> {
  expect(await contentOf(scene.migration.urls.production)).toEqual(scene.before);
  expect(await leftovers(scene.migration)).toEqual([]);
  expect(existsSync(scene.migration.flagFile)).toBe(false);
}

test('the two addresses swapped while the approval waits, then a cancel: parked with both names, and right after the repair', async () => {
  await scene.layOut();
  const { production, backup } = scene.migration.urls;
  const [first, second] = [variableOf(production), variableOf(backup)];
  await withWorker(scene.migration, scene.server.namespace, async () => {
    const handle = await startRun(scene.server.client);
    await untilStatus(handle, (s) => s.step === 'approval' && s.waitingFor !== null);
    Object.assign(process.env, { [first]: backup, [second]: production });
    try {
      await handle.cancel();
      const { waitingFor } = await untilStatus(handle, (s) => s.parked);
      expect(waitingFor).toContain('it is marked as backup of claim');
      expect(waitingFor).toContain(backupOf(scene.migration));
    } finally {
      Object.assign(process.env, { [first]: production, [second]: backup });
    }
    await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
    expect((await ending(handle)).outcome).toBe('cancelled');
  });
  await expectAsBefore();
});

test("another run's sealed backup under the backup's address restores nothing: parked, and right after the repair", async () => {
  await scene.layOut((plan) => (plan.smoke = [{ name: 'Looks right', kind: 'manual' }]));
  const other = `${scene.migration.production.name}_other`;
  const variable = variableOf(scene.migration.urls.backup);
  await withWorker(scene.migration, scene.server.namespace, async () => {
    const handle = await startRun(scene.server.client);
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
    await onServer(`create database "${other}" template "${scene.migration.production.name}_backup"`);
    const yesterday = scene.migration.urls.backup.replace(/[^/]+$/, other);
    await query(
      yesterday,
      `update kirikae.marker set claim = 'yesterday', oid = d.oid, name = datname
      from pg_database d where datname = current_database()`,
    );
    process.env[variable] = yesterday;
    try {
      await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: false }] });
      const parked = await untilStatus(handle, (s) => s.parked);
      expect(parked.waitingFor).toContain('it is marked as backup of claim yesterday');
      expect(parked.wayBack.find(({ name }) => name === 'empty')?.state).not.toBe('done');
    } finally {
      process.env[variable] = scene.migration.urls.backup;
    }
    await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
    expect((await ending(handle)).outcome).toBe('rolled-back');
  });
  await expectAsBefore();
});

test("another claim's database under the name of the copy set aside is left alone: parked, and right after the repair", async () => {
  await scene.layOut((plan) => (plan.smoke = [{ name: 'Looks right', kind: 'manual' }]));
  const { production, backup } = scene.migration.urls;
  await withWorker(scene.migration, scene.server.namespace, async () => {
    const handle = await startRun(scene.server.client);
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
    await query(production, `update "User" set name = 'late' where id = (select min(id) from "User")`);
    const [claim] = await query<{ id: string; backup: string }>(
      production,
      'select id, backup from kirikae.claim',
    );
    const name = `${asidePrefix(claim?.backup ?? '')}${claim?.id}_1`;
    const url = backup.replace(/[^/]+$/, name);
    await onServer(`create database "${name}"`);
    await withClient(url, 'test', (client) => writeMarker(client, 'yesterday', 'aside'));
    await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: false }] });
    const parked = await untilStatus(handle, (s) => s.parked);
    expect(parked.waitingFor).toContain(`${name} is not the copy set aside of this run`);
    expect(parked.waitingFor).toContain('it is marked as aside of claim yesterday');
    expect(await query(url, `select claim from kirikae.marker`)).toEqual([{ claim: 'yesterday' }]);
    expect(
      await query(url, `select relname from pg_class where relnamespace = 'public'::regnamespace`),
    ).toEqual([]);
    await onServer(`drop database "${name}"`);
    await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
    expect((await ending(handle)).outcome).toBe('rolled-back');
  });
  await expectAsBefore();
});

test("a user's own schema kirikae is refused, and stays", async () => {
  await scene.layOut();
  await query(scene.migration.urls.production, 'create schema kirikae; create table kirikae.mine (id int)');
  await withWorker(scene.migration, scene.server.namespace, async () => {
    const status = await ending(await startRun(scene.server.client));
    expect(status.outcome).toBe('refused');
    expect(status.notes.join(' ')).toMatch(/has a schema kirikae of .* that is not a ledger of Kirikae's/);
  });
  expect(await query(scene.migration.urls.production, 'select * from kirikae.mine')).toEqual([]);
});

test('a backup database that the run was given is emptied when the run goes back, and nobody is asked', async () => {
  await scene.layOut((plan) => {
    const databases = plan.databases as { backup: { create: boolean } };
    databases.backup.create = false;
  });
  await onServer(`create database "${scene.migration.production.name}_backup" template template0`);
  await withWorker(scene.migration, scene.server.namespace, async () => {
    const handle = await startRun(scene.server.client);
    await untilStatus(handle, (s) => s.step === 'approval' && s.waitingFor !== null);
    await handle.cancel();
    expect(await ending(handle)).toMatchObject({ outcome: 'cancelled', parked: false });
  });
  await expectAsBefore();
  const left = `select nspname from pg_namespace where nspname = 'kirikae'
    union all select relname from pg_class where relnamespace = 'public'::regnamespace`;
  expect(await query(scene.migration.urls.backup, left)).toEqual([]);
});
