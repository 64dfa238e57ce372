/** The way back before anything is dropped: fence lifted, page down, backup removed, production untouched. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client } from 'pg';
import { stateOf, type DatabaseState } from '../lab/database-state';
import { withDatabase } from '../lab/stage';
import { hasDatabase, onServer, testPostgres } from './support/environment';
import { approve, untilStatus, type Migration, backupOf } from './support/migration';
import { expectAsBefore, expectRolledBack, runToEnd, sceneForEach } from './support/way-back';

const scene = sceneForEach('back-early');
let migration: Migration;

test('takes the page down again when the probe never shows it', async () => {
  migration = await scene.layOut((plan) => {
    const { probe } = plan.maintenance as { probe: { url: string } };
    probe.url += 'health';
  });
  const before = await stateOf(migration.production.url);
  const ending = await runToEnd(scene, migration);
  await expectRolledBack(migration, ending, {
    before,
    step: 'maintenanceOn',
    because: /should show 503 \(page on\) but shows 200 after 3s/,
  });
  expect(await hasDatabase(backupOf(migration))).toBe(false);
  expect(migration.log()).toEqual([]);
});

test('lifts the fence when a session of another does not let itself be ended', async () => {
  migration = await scene.layOut();
  const role = `owner_of_${migration.production.name}`;
  await onServer(`create role ${role} login password 'owned' in role pg_signal_backend, pg_read_all_stats`);
  const superuser = new Client({ connectionString: migration.production.url });
  superuser.on('error', () => undefined);
  try {
    await giveAway(migration.production.url, role);
    const url = new URL(migration.production.url);
    [url.username, url.password] = [role, 'owned'];
    for (const [name, value] of Object.entries(migration.env))
      if (value === migration.production.url) process.env[name] = url.toString();
    const before = await stateOf(migration.production.url);
    await superuser.connect();
    const ending = await runToEnd(scene, migration);
    await expectRolledBack(migration, ending, {
      before,
      step: 'fence',
      because: /Sessions of others in production do not end: pid \d+ of postgres/,
    });
    expect((await superuser.query<{ one: number }>('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(await hasDatabase(backupOf(migration))).toBe(false);
  } finally {
    await superuser.end();
    await withDatabase(migration.production.url, (client) =>
      client.query(
        `reassign owned by ${role} to postgres; alter database "${migration.production.name}" owner to postgres; drop owned by ${role}`,
      ),
    );
    await onServer(`drop role ${role}`);
  }
});

test('leaves a database alone that somebody made in the place of the backup meanwhile', async () => {
  const { before, ending } = await runChangedAtAnnouncement(() => makeForeignDatabase(backupOf(migration)));
  await expectRolledBack(migration, ending, {
    before,
    step: 'backup',
    because: new RegExp(`${backupOf(migration)}.*(holds|strangers)`),
  });
  await withDatabase(migration.urls.backup, async (client) => {
    const { rows } = await client.query<{ n: number }>('select n from public.strangers');
    expect(rows).toEqual([{ n: 42 }]);
    const schemas = await client.query(`select 1 from pg_namespace where nspname = 'kirikae'`);
    expect(schemas.rows).toEqual([]);
  });
});

test('finds a table that was created between preflight and fence before anything is dropped', async () => {
  let changed: DatabaseState | undefined;
  const { before, ending } = await runChangedAtAnnouncement(async () => {
    await withDatabase(migration.production.url, (client) =>
      client.query('create table public.late (n int)'),
    );
    changed = await stateOf(migration.production.url);
  });
  expect(changed?.definition).not.toEqual(before.definition);
  await expectRolledBack(migration, ending, {
    before: changed ?? before,
    step: 'backup',
    because: /Production is not what preflight looked at: TABLE public\.late was added.*Nothing was dropped/,
  });
});

// The announcement comes after preflight and before the page.
async function runChangedAtAnnouncement(change: () => Promise<unknown>) {
  let changed: Promise<unknown> | undefined;
  const announced = createServer((_request, response) => {
    changed ??= change();
    changed.then(
      () => response.end('told'),
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => announced.listen(0, '127.0.0.1', resolve));
  try {
    migration = await scene.layOut((plan) => {
      plan.notify = [{ kind: 'webhook', urlEnv: 'ANNOUNCE_URL' }];
    });
    process.env.ANNOUNCE_URL = `http://127.0.0.1:${(announced.address() as AddressInfo).port}/`;
    const before = await stateOf(migration.production.url);
    const ending = await runToEnd(scene, migration);
    await changed;
    return { before, ending };
  } finally {
    delete process.env.ANNOUNCE_URL;
    await new Promise((resolve) => announced.close(resolve));
  }
}

test('drops nothing and names the table when a write went round the fence', async () => {
  migration = await scene.layOut();
  let before = await stateOf(migration.production.url);
  const ending = await runToEnd(scene, migration, async (handle) => {
    await untilStatus(handle, ({ step, waitingFor }) => step === 'approval' && waitingFor !== null);
    await withDatabase(migration.production.url, async (client) => {
      await expect(client.query(`update "User" set name = 'late'`)).rejects.toThrow(/read-only/);
      await client.query('set default_transaction_read_only = off');
      await client.query(
        `update "User" set name = 'late' where id = (select id from "User" order by id limit 1)`,
      );
    });
    const written = await stateOf(migration.production.url);
    expect(written.rows['public."User"']).not.toBe(before.rows['public."User"']);
    before = { ...before, rows: { ...before.rows, 'public."User"': written.rows['public."User"'] ?? '' } };
    await approve(handle);
  });
  await expectRolledBack(migration, ending, {
    before,
    step: 'reset',
    because: /a write went round the fence: table "?public"?\."User" .*Nothing was dropped/,
  });
  expect(ending.status.notes.join('\n')).toMatch(
    /"User" has \d+ rows on both sides, but their content differs: id = '[^']+'[.;]/,
  );
  expect(await hasDatabase(backupOf(migration))).toBe(false);
});

test('drops nothing and names the table when the backup was changed since it was sealed', async () => {
  migration = await scene.layOut();
  const before = await stateOf(migration.production.url);
  const ending = await runToEnd(scene, migration, async (handle) => {
    await untilStatus(handle, ({ step, waitingFor }) => step === 'approval' && waitingFor !== null);
    await withDatabase(migration.urls.backup, (client) =>
      client.query(`delete from "Vote" where ctid = (select min(ctid) from "Vote")`),
    );
    await approve(handle);
  });
  await expectRolledBack(migration, ending, {
    before,
    step: 'reset',
    because:
      /The backup is not what was sealed: table "?public"?\."Vote" has .*: \("chatId", "messageId"\) = \('[^']+', '[^']+'\) \(missing in the backup\)\. Nothing was dropped/,
  });
});

test('drops nothing when the page went down while the approval was awaited', async () => {
  migration = await scene.layOut();
  const before = await stateOf(migration.production.url);
  const ending = await runToEnd(scene, migration, async (handle) => {
    await untilStatus(handle, ({ step, waitingFor }) => step === 'approval' && waitingFor !== null);
    // By something else than its flag: whoever watches it can't put it back before the reset looks.
    migration.shown.on = 200;
    await approve(handle);
  });
  await expectRolledBack(migration, ending, {
    before,
    step: 'reset',
    because: /should show 503 \(page on\) but shows 200/,
  });
});

test('undoes everything when it is cancelled while the approval is awaited', async () => {
  migration = await scene.layOut();
  const before = await stateOf(migration.production.url);
  const ending = await runToEnd(scene, migration, async (handle) => {
    await untilStatus(handle, ({ step, waitingFor }) => step === 'approval' && waitingFor !== null);
    await handle.cancel();
  });
  expect(ending).toMatchObject({ closed: 'CANCELLED', status: { outcome: 'cancelled', parked: false } });
  expect(ending.status.notes).toContain('The run was cancelled; production is what it was before.');
  expect(ending.status.notes.join()).not.toContain('The backup could not note');
  await expectAsBefore(migration, before);
  expect(await hasDatabase(backupOf(migration))).toBe(false);
});

async function makeForeignDatabase(name: string): Promise<void> {
  await onServer(`create database "${name}" template template0`);
  await withDatabase(testPostgres().url(name), (client) =>
    client.query('create table public.strangers (n int); insert into public.strangers values (42)'),
  );
}

// The database and everything in its schema public get another owner, as on a hosted service.
async function giveAway(url: string, role: string): Promise<void> {
  await withDatabase(url, (client) =>
    client.query(`do $$
      declare it record;
      begin
        execute format('alter database %I owner to ${role}', current_database());
        alter schema public owner to ${role};
        for it in select oid::regclass as name from pg_class
          where relnamespace = 'public'::regnamespace and relkind in ('r', 'S')
            and not exists (select from pg_depend d where d.objid = pg_class.oid and d.deptype in ('a', 'i') and relkind = 'S')
        loop execute format('alter table %s owner to ${role}', it.name); end loop;
        for it in select oid::regtype as name from pg_type where typnamespace = 'public'::regnamespace and typtype = 'e'
        loop execute format('alter type %s owner to ${role}', it.name); end loop;
      end $$`),
  );
}
