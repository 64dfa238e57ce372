/** docs/if-it-stops.md, "By hand", after going live, and the commands that a settled run hands over. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import {
  asideFiles,
  backupName,
  bash,
  byHandForEach,
  everything,
  followPage,
  goLive,
  layOut,
  leftBehind,
  mirrorAndClaim,
  onProduction,
  readOnlyDefault,
  runByHand,
  scene,
} from './support/by-hand';
import { approve, startRun, untilStatus, withWorker } from './support/migration';

byHandForEach();

test.each(['drop', 'keep'])('after live, only what the run left is removed (reset.mode %s)', async (mode) => {
  await layOut((plan) => (plan.reset = { mode }));
  await goLive();
  const live = await everything();
  expect(live.ledger).toBe(true);
  await followPage('live');
  expect(await everything()).toEqual({ ...live, ledger: false });
  expect(await leftBehind()).toEqual([backupName()]);
});

test('after live, where people accept the loss, what users wrote is set aside and production restored; or it stays live', async () => {
  await layOut();
  const before = await everything();
  await goLive();
  await onProduction(`update "User" set name = 'written after live' where id = (select min(id) from "User")`);
  const live = await everything();
  // People take it back, behind the page.
  runByHand('become the holder', 'roll back from live', 'page on', 'raise the fence');
  expect(await readOnlyDefault()).toBe('on');
  runByHand('stand down', 'page off');
  expect(await everything()).toEqual(live);
  expect(await readOnlyDefault()).toBeNull();
  expect(await mirrorAndClaim()).toMatchObject([
    { phase: 'live', from: null },
    { phase: 'live', from: null },
  ]);
  await followPage('live', { way: 1, until: 'over' });
  expect(await mirrorAndClaim()).toMatchObject([
    { phase: 'home', window: 3 },
    { phase: 'home', window: 3 },
  ]);
  runByHand('over');
  expect(asideFiles()).toEqual([expect.stringMatching(/_abandoned_.*_3\.sql$/)]);
  expect(readFileSync(path.join(scene.migration.folder, asideFiles()[0] ?? ''), 'utf8')).toContain(
    'written after live',
  );
  expect(await everything()).toEqual(before);
  expect(await leftBehind()).toEqual([backupName()]);
});

test('the commands that a settled run hands over lift the fence and take the page down', async () => {
  await layOut();
  const before = await everything();
  const variable = Object.keys(scene.migration.env)[0] ?? '';
  const notes = await withWorker(scene.migration, scene.server.namespace, async () => {
    const handle = await startRun(scene.server.client);
    await untilStatus(handle, (s) => s.step === 'approval' && s.waitingFor !== null);
    // Without its variable the worker can't go on, which parks the run.
    delete process.env[variable];
    await approve(handle);
    await untilStatus(handle, (s) => s.parked);
    process.env[variable] = scene.migration.urls.production;
    await handle.executeUpdate('settle', { args: [{ by: 'alice' }] });
    await handle.result().catch(() => undefined);
    return (await handle.query<{ notes: string[] }>('status')).notes;
  });
  expect(await readOnlyDefault()).toBe('on');
  const commands = notes.flatMap(
    (note) => /^(?:To lift|To take|When production).*?: (.*)$/.exec(note)?.[1] ?? [],
  );
  expect(commands).toHaveLength(2);
  for (const command of commands) {
    const { status, stderr } = bash(command);
    expect({
      command,
      status,
      stderr: stderr.replace(/^NOTICE.*|^DETAIL.*|^drop cascades.*|^\s*$/gm, '').trim(),
    }).toEqual({ command, status: 0, stderr: '' });
  }
  expect(await everything()).toEqual({ ...before, ledger: true });
  expect(await readOnlyDefault()).toBeNull();
  expect(existsSync(scene.migration.flagFile)).toBe(false);
});
