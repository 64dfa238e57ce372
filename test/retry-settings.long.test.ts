/** `retry` reads the settings anew: what was approved must be as it was, everything else counts as it is now, without a restart. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { stringify } from 'yaml';
import {
  approve,
  changePlan,
  problemsOf,
  startRun,
  untilStatus,
  withWorker,
  type Migration,
} from './support/migration';
import { endOf, expectAsBefore, sceneForEach } from './support/way-back';
import { stateOf } from '../lab/database-state';

const scene = sceneForEach('retry-settings');
let migration: Migration;

const parkedWith = (handle: WorkflowHandle, words: RegExp) =>
  untilStatus(handle, ({ parked, waitingFor }) => parked && words.test(waitingFor ?? ''));
const retry = (handle: WorkflowHandle) => handle.executeUpdate('retry', { args: [{ by: 'bob' }] });

test('going forward: names what is not as it was approved, and goes on with new time limits once that is put back', async () => {
  // The mapping is a file of its own, so that it can be changed.
  migration = await scene.layOut((plan) => {
    plan.smoke = [...(plan.smoke as object[]), { name: 'Looks right', kind: 'manual' }];
  });
  const mapping = path.join(migration.folder, 'mapping.yaml');
  const settings = readFileSync(migration.settingsFile, 'utf8');
  changePlan(migration, (plan) => {
    writeFileSync(mapping, readFileSync(path.resolve(migration.folder, plan.mapping as string)));
    plan.mapping = './mapping.yaml';
  });
  expect(settings).not.toBe(readFileSync(migration.settingsFile, 'utf8'));
  const mappingText = readFileSync(mapping, 'utf8');

  const handle = await withWorker(migration, scene.namespace, async () => {
    const started = await startRun(scene.client);
    await untilStatus(started, ({ step }) => step === 'approval');
    return started;
  });
  appendFileSync(mapping, '\n# another word\n');
  changePlan(migration, (plan) => {
    plan.deploy = (plan.deploy as object[]).map((deploy) => ({ ...deploy, timeout: '3m' }));
    plan.patience = '4m';
    plan.smoke = [...(plan.smoke as object[]), { name: 'One more', kind: 'manual' }];
  });
  await withWorker(migration, scene.namespace, async () => {
    await approve(handle);
    await parkedWith(handle, /have changed on the worker since this run began/);
    await retry(handle);
    const parked = await parkedWith(handle, /are not what this run began with/);
    expect(parked.waitingFor).toMatch(/: the mapping has changed, the check "One more" is new\. Expected: /);
    expect(parked.waitingFor).not.toMatch(/the deploy|the schema|databases has/);

    writeFileSync(mapping, mappingText);
    changePlan(migration, (plan) => {
      plan.smoke = (plan.smoke as { name: string }[]).filter(({ name }) => name !== 'One more');
    });
    await retry(handle);
    await untilStatus(handle, ({ step, waitingFor }) => step === 'smoke' && waitingFor !== null);
    await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: true }] });
    await untilStatus(handle, ({ step }) => step === 'monitor');
    await handle.cancel();
    expect((await endOf(handle)).status.outcome).toBe('migrated');
  });
  expect(await problemsOf(migration)).toEqual([]);
});

test('going back: what repairs the way back counts at once, in the worker that is running', async () => {
  migration = await scene.layOut((plan) => {
    plan.deploy = [
      { name: 'manager', run: ['true'], rollback: ['sh', '-c', 'echo no such version >&2; exit 3'] },
    ];
    plan.smoke = [...(plan.smoke as object[]), { name: 'Looks right', kind: 'manual' }];
  });
  const before = await stateOf(migration.production.url);
  const log = path.join(migration.folder, 'commands.log');
  const ending = await withWorker(migration, scene.namespace, async () => {
    const handle = await startRun(scene.client);
    await approve(handle);
    await untilStatus(handle, ({ step, waitingFor }) => step === 'smoke' && waitingFor !== null);
    await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: false }] });
    await parkedWith(handle, /no such version/);

    // A file that can't be read repairs nothing, and the run says so.
    const settings = readFileSync(migration.settingsFile, 'utf8');
    writeFileSync(migration.settingsFile, `${settings}\nplanz: {}\n`);
    await retry(handle);
    await parkedWith(handle, /has the unknown key "planz"/);

    writeFileSync(migration.settingsFile, settings);
    changePlan(migration, (plan) => {
      const [deploy] = plan.deploy as object[];
      plan.deploy = [{ ...deploy, rollback: ['sh', '-c', `echo manager old >> ${log}`] }];
      // What must not change going forward doesn't hinder a way back.
      plan.smoke = [{ name: 'Something else', kind: 'manual' }];
      plan.rollbackSmoke = [
        { name: 'It is the old one', kind: 'command', run: ['grep', 'manager old', log] },
      ];
    });
    await retry(handle);
    return endOf(handle);
  });
  expect(ending).toMatchObject({ closed: 'FAILED', type: 'rolled-back' });
  expect(migration.log()).toEqual(['manager old']);
  await expectAsBefore(migration, before);
});

test('a plan that the settings lack is looked for again with each retry', async () => {
  migration = await scene.layOut();
  const settings = readFileSync(migration.settingsFile, 'utf8');
  const handle = await withWorker(migration, scene.namespace, async () => {
    const started = await startRun(scene.client);
    await untilStatus(started, ({ step }) => step === 'approval');
    return started;
  });
  writeFileSync(migration.settingsFile, stringify({ plans: {} }));
  const live = await withWorker(migration, scene.namespace, async () => {
    await approve(handle);
    await parkedWith(handle, /There is no plan "tumiki"/);
    await retry(handle);
    await parkedWith(handle, /There is no plan "tumiki"/);
    writeFileSync(migration.settingsFile, settings);
    await retry(handle);
    return untilStatus(handle, ({ live: isLive }) => isLive);
  });
  expect(live.parked).toBe(false);
  await handle.terminate();
});
