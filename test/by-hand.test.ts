/** docs/if-it-stops.md, "By hand": its own commands, run with bash after a terminate, bring the old database back. */
import path from 'node:path';
import { query, tumikiFolder, until, withDatabase } from '../lab/stage';
import {
  asTheRun,
  asideFiles,
  backupName,
  bash,
  block,
  byHandForEach,
  everything,
  followPage,
  layOut,
  leftBehind,
  mirrorAndClaim,
  nameOfUser,
  onBackup,
  onProduction,
  readOnlyDefault,
  restoreBegun,
  runByHand,
  runWithBash,
  scene,
  setAside,
  setReadOnlyDefault,
  terminateWhen,
} from './support/by-hand';
import { testPostgres } from './support/environment';
import { approve, startRun, untilStatus, withWorker } from './support/migration';

byHandForEach();

test('before the reset, production is writable and open again as it was, and its backup is gone', async () => {
  await layOut();
  await setReadOnlyDefault('off');
  const before = await everything();
  await terminateWhen(
    async (handle) => void (await untilStatus(handle, (s) => s.step === 'approval' && s.waitingFor !== null)),
  );
  expect(await readOnlyDefault()).toBe('on');
  await withDatabase(scene.migration.urls.production, async (application) => {
    await expect(application.query(`delete from "Counter"`)).rejects.toThrow('read-only');
    runByHand('become the holder');
    // Others that hold the ledger, or another place in it: refused.
    expect(runWithBash('restore').stderr).toContain('is not where this may be done');
    expect(runWithBash('roll back from live').stderr).toContain('is not where this may be done');
    await followPage('sealed');
    // A session of the fence's time would stay read-only: it has ended, so that the application opens a new one.
    await expect(application.query('select 1')).rejects.toThrow();
  });
  expect(await everything()).toEqual(before);
  expect(await readOnlyDefault()).toBe('off');
  expect(await leftBehind()).toEqual([]);
});

test('between the reset and the new schema, production is restored from the backup', async () => {
  // On production the schema step hangs when it has done a part: the run ends over a fenced database without tables.
  const { bin } = testPostgres();
  const outside = `create extension pg_trgm; create schema api; create view api.one as select 1 as n; grant create on schema public to pg_monitor;
    alter default privileges in schema public grant select on tables to pg_monitor; insert into journal.done values (2); delete from journal.done where n = 0`;
  const step = `${bin}/psql -q -v ON_ERROR_STOP=1 -c '${outside}' "$DATABASE_URL"; case "$DATABASE_URL" in *_shadow*) cat "$0"/*.sql | ${bin}/psql -q -v ON_ERROR_STOP=1 "$DATABASE_URL" ;; *) sleep 600 ;; esac`;
  await layOut((plan) => {
    plan.schema = {
      kind: 'command',
      run: ['bash', '-c', step, path.join(tumikiFolder, 'schema', 'after')],
      urlEnv: ['DATABASE_URL'],
    };
  });
  // What is made from here on would be readable by more than the old objects are.
  await onProduction(`alter default privileges in schema public grant select on tables to pg_read_all_stats;
    alter default privileges revoke execute on functions from public;
    create schema journal; create table journal.done (n int); insert into journal.done values (0), (1)`);
  const before = await everything();
  await terminateWhen(async (handle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'deploySchema');
    const done = `select from journal.done where n = 2`;
    await until(async () => (await query(scene.migration.urls.production, done)).length > 0);
  });
  expect((await everything()).tables).toEqual({});
  expect(await readOnlyDefault()).toBe('on');
  await followPage('reset');
  expect(asideFiles()).toEqual([]);
  expect(await everything()).toEqual(before);
  const left = `select array_agg(n order by n) as journal, to_regnamespace('api') as api,
    (select count(*)::int from pg_extension where extname = 'pg_trgm') as extensions from journal.done`;
  expect(await query(scene.migration.urls.production, left)).toEqual([
    { journal: [0, 1], api: null, extensions: 0 },
  ]);
  expect(await readOnlyDefault()).toBeNull();
  expect(await leftBehind()).toEqual([backupName()]);
});

test('after the deploys, a workflow that still lives is overtaken, an altered backup is found, and production is restored', async () => {
  await layOut((plan) => {
    plan.smoke = [{ name: 'Somebody looked', kind: 'manual' }];
  });
  await setReadOnlyDefault('off');
  const before = await everything();
  await withWorker(scene.migration, scene.server.namespace, async () => {
    const handle = await startRun(scene.server.client);
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
    runByHand('become the holder');
    const answer = { by: 'alice', check: 'Somebody looked', passed: true };
    // It may have found out by itself.
    await handle.executeUpdate('confirm', { args: [answer] }).catch(() => undefined);
    const { nextAction, notes } = await untilStatus(handle, (s) => s.parked);
    expect(JSON.stringify([nextAction, notes])).toContain('by hand');
    await handle.terminate('for the test');
  });
  expect((await everything()).tables).not.toEqual(before.tables);
  runByHand('turn back', 'page on', 'raise the fence');
  const name = await nameOfUser(scene.migration.urls.backup);
  await onBackup(`update "User" set name = 'another' where id = (select min(id) from "User")`);
  await onBackup(`update kirikae.backup set ddl_post = ddl_post || ' '`);
  expect(runWithBash('prove the backup')).toMatchObject({
    status: 1,
    stdout: 'the stored definition ddl_post was altered\npublic.User has other rows\n',
  });
  const held =
    'prove_backup || true; psql -X -c "set lock_timeout = 500" -c \'delete from public."User"\' "$BACKUP_DATABASE_URL"';
  expect(bash(`${block('prepare')}\n${held}`).stderr).toContain('canceling statement due to lock timeout');
  await onBackup(`update "User" set name = $1 where id = (select min(id) from "User")`, [name]);
  await onBackup(`update kirikae.backup set ddl_post = left(ddl_post, -1)`);
  expect(await followPage('returning', { from: 'deployed' })).toEqual(['proxy', 'manager']);
  expect(asideFiles()).toHaveLength(1);
  expect(await everything()).toEqual(before);
  expect(await readOnlyDefault()).toBe('off');
  expect(await leftBehind()).toEqual([backupName()]);
});

test('in the middle of a restore, and from each place after it, the way goes on; what differs is named and healed by repeating', async () => {
  await layOut((plan) => {
    plan.smoke = [{ name: 'Somebody looked', kind: 'manual' }];
  });
  const before = await everything();
  await terminateWhen(async (handle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
  });
  await restoreBegun();
  runByHand('become the holder', 'page on', 'raise the fence', 'restore', 'compare');
  for (const [sql, named] of [
    [
      `update "User" set name = 'another' where id = (select min(id) from "User")`,
      'public.User has other rows',
    ],
    [`delete from "Counter" where id = 3`, 'public.Counter does not have its 30 rows'],
    [`select nextval('tickets')`, 'sequence public.tickets is not where it was'],
    [`create table more ()`, 'public.more is there though it was not'],
  ] as const) {
    await onProduction(sql);
    expect(runWithBash('compare')).toMatchObject({
      status: 1,
      stdout: expect.stringContaining(named) as unknown,
    });
  }
  await followPage('emptied', { from: 'deployed', until: 'undo the deploys' });
  expect(await readOnlyDefault()).toBeNull();
  await followPage('restored', { from: 'deployed', until: 'page off' });
  expect(await mirrorAndClaim()).toMatchObject([{ phase: 'home' }, { phase: 'home' }]);
  await followPage('home', { from: 'deployed' });
  expect(await everything()).toEqual(before);
  expect(await leftBehind()).toEqual([backupName()]);
});

test('old objects that were kept are moved home, from aside', async () => {
  await layOut((plan) => {
    plan.reset = { mode: 'keep' };
    plan.smoke = [{ name: 'Somebody looked', kind: 'manual' }];
  });
  const before = await everything();
  await terminateWhen(async (handle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
  });
  await asTheRun(setAside);
  await followPage('aside', { from: 'deployed', restore: 'move home' });
  expect(await everything()).toEqual(before);
  expect(await leftBehind()).toEqual([backupName()]);
});
