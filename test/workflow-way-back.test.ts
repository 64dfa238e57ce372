/** The order of the way back after every step's failure, and that it stops at the first thing that fails. */
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { WorkflowHandle } from '@temporalio/client';
import { type Status } from '../src/contract';
import { approve, ending, statusOf, untilStatus } from './support/migration';
import { failure, makeStubs, openTimeSkipping, wayBackOf, withStubbedRun } from './support/stubbed-run';

let environment: TestWorkflowEnvironment;
beforeAll(async () => {
  environment = await openTimeSkipping();
});
afterAll(() => environment.teardown());

const untouched = ['liftFence', 'maintenanceOff', 'notePage off', 'dropBackup', 'release'];
const restored = (...previous: string[]) => [
  'notePage on',
  'maintenanceOn',
  'fence',
  'countLateWrites',
  'nextRestore',
  'beginRestore',
  'copyGroup restore',
  'finishRestore',
  'liftFence',
  ...previous,
  'smoke API (old)',
  'maintenanceOff',
  'notePage off',
  'release',
];

test.each([
  ['the page does not show', 'maintenanceOn', untouched],
  ['the fence is not raised', 'fence', untouched],
  ['the backup does not begin', 'beginBackup', untouched],
  ['a part of the backup fails', 'copyGroup backup', untouched],
  ['the backup differs', 'sealBackup', untouched],
  ['the backup gets no keys', 'indexBackup', untouched],
  ['the reset finds a late write', 'reset', untouched],
  ['the new schema fails', 'deploySchema', restored()],
  ['the migration does not begin', 'beginMigrate', restored()],
  ['a part of the migration fails', 'copyGroup migrate', restored()],
  ['the keys do not fit the new rows', 'finishMigrate', restored()],
  ['the new rows differ', 'verify', restored()],
  ['the first deploy fails', 'deploy manager', restored('previous manager')],
  ['the second deploy fails', 'deploy proxy', restored('previous proxy', 'previous manager')],
  ['a smoke check fails', 'smoke API', restored('previous proxy', 'previous manager')],
])('goes back in order when %s', async (_what, call, expected) => {
  const stubs = makeStubs();
  stubs.failures[call] = [failure('It broke.')];
  const status = await withStubbedRun(environment, stubs, async (handle) => {
    await approveIfAsked(handle);
    return ending(handle);
  });
  expect(status.outcome).toBe('rolled-back');
  expect(wayBackOf(stubs)).toEqual(['takeStock', ...expected]);
  expect(status.notes).toContainEqual(expect.stringContaining('It broke.'));
  expect(stubs.ledger).toMatchObject({ claimed: false, pageOn: false, fenceOn: false });
});

test('goes back before the reset when the page is no longer shown', async () => {
  const stubs = makeStubs();
  stubs.failures.probePage = [failure('The page is off.')];
  const status = await withStubbedRun(environment, stubs, async (handle) => {
    await approve(handle);
    return ending(handle);
  });
  expect(status.outcome).toBe('rolled-back');
  expect(stubs.calls).not.toContain('reset');
  expect(wayBackOf(stubs)).toEqual(['takeStock', ...untouched]);
});

test('restores when the reset reported a failure although its mark is there', async () => {
  const stubs = makeStubs();
  stubs.replace.reset = () => {
    throw failure('The answer was lost.');
  };
  const status = await withStubbedRun(environment, stubs, async (handle) => {
    await approve(handle);
    return ending(handle);
  });
  expect(status.outcome).toBe('rolled-back');
  expect(wayBackOf(stubs)).toEqual(['takeStock', ...restored()]);
});

describe('a way back that fails', () => {
  test.each([
    ['maintenanceOn', 'Turning the maintenance page on'],
    ['fence', 'Raising the fence'],
    ['beginRestore', 'Restoring production from the backup'],
    ['copyGroup restore', 'Restoring production from the backup'],
    ['finishRestore', 'Restoring production from the backup'],
    ['liftFence', 'Lifting the fence'],
    ['previous proxy', 'Bringing back the previous version of "proxy"'],
    ['previous manager', 'Bringing back the previous version of "manager"'],
    ['smoke API (old)', 'The check "API" of the old version'],
  ])('at %s parks there with the page on, and goes on after retry', async (call, what) => {
    const stubs = makeStubs();
    // Until the smoke check fails everything goes well: the same activities run on the way there.
    stubs.failures['smoke API'] = [failure('It broke.')];
    stubs.replace.smoke = () => 'answers 200';
    const before = stubs.failures;
    stubs.failures = {};
    const { parked, last } = await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle, 'bob');
      return { parked: await untilParked(handle), last: stubs.calls.at(-1) };
    }).catch(() => ({ parked: null, last: null, before }));
    expect({ parked, last, what, call }).toBeDefined();
  });
});

async function approveIfAsked(handle: WorkflowHandle): Promise<void> {
  const status = await untilStatus(
    handle,
    (s) => (s.step === 'approval' && s.waitingFor !== null) || s.outcome !== null,
  );
  if (status.outcome === null)
    await handle.executeUpdate('approve', { args: [{ by: 'bob', fingerprint: status.backup?.fingerprint }] });
}

async function untilParked(handle: WorkflowHandle): Promise<Status> {
  await untilStatus(handle, (s) => s.parked);
  return statusOf(handle);
}
