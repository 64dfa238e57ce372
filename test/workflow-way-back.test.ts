/** The order of the way back after every step's failure, and that it stops at the first thing that fails. */
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { WorkflowFailedError, WorkflowHandle } from '@temporalio/client';
import { approve, ending, statusOf, untilStatus } from './support/migration';
import {
  failWhenCancelled,
  failure,
  makeStubs,
  openTimeSkipping,
  wayBackOf,
  withStubbedRun,
  type Stubs,
} from './support/stubbed-run';
import { until } from '../lab/stage';

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

const beforeApproval = ['checkDatabases', 'claim', 'fence', 'sealBackup'];

test.each([
  ['of preflight', 'checkDatabases', []],
  ['of the claim', 'claim', ['liftFence', 'dropBackup', 'release']],
  ['of the fence', 'fence', untouched],
  ['of the backup', 'sealBackup', untouched],
  ['of the reset', 'reset', restored()],
  ['of the migration', 'beginMigrate', restored()],
  ['of the verification', 'verify', restored()],
] as const)(
  'a cancel that meets a failure %s on its way is still a cancel',
  async (_what, name, expected) => {
    const stubs = makeStubs();
    stubs.replace[name] = () => failWhenCancelled(failure('It broke.'));
    const { status, error } = await withStubbedRun(environment, stubs, async (handle) => {
      if (!beforeApproval.includes(name)) await approve(handle);
      await until(() => Promise.resolve(stubs.calls.includes(name)));
      await handle.cancel();
      const thrown: unknown = await handle.result().catch((reason: unknown) => reason);
      return { status: await statusOf(handle), error: thrown as WorkflowFailedError };
    });
    expect(error.cause?.name).toBe('CancelledFailure');
    expect(status).toMatchObject({ outcome: 'cancelled', parked: false });
    // What it met is told all the same.
    expect(status.steps.filter(({ state }) => state === 'failed').map((step) => step.error)).toEqual([
      'It broke.',
    ]);
    expect(wayBackOf(stubs).slice(0, 1 + expected.length)).toEqual(['takeStock', ...expected]);
    expect(stubs.ledger).toMatchObject({ claimed: false, pageOn: false, fenceOn: false });
  },
);

describe('a way back that fails', () => {
  test.each([
    ['maintenanceOn', 'notePage on', 'Turning the maintenance page on'],
    ['fence', 'fence', 'Raising the fence'],
    ['countLateWrites', 'countLateWrites', 'Counting later writes'],
    ['beginRestore', 'nextRestore', 'Restoring production from the backup'],
    ['copyGroup restore', 'nextRestore', 'Restoring production from the backup'],
    ['finishRestore', 'nextRestore', 'Restoring production from the backup'],
    ['liftFence', 'liftFence', 'Lifting the fence'],
    ['previous proxy', 'previous proxy', 'Bringing back the previous version of "proxy"'],
    ['previous manager', 'previous manager', 'Bringing back the previous version of "manager"'],
    ['smoke API (old)', 'smoke API (old)', 'The check "API" of the old version'],
  ])('at %s keeps the page on, parks, and goes on from %s after retry', async (call, again, what) => {
    const stubs = failingOnTheWayBack(call);
    const order = ['takeStock', ...restored('previous proxy', 'previous manager')];
    await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      const parked = await untilStatus(handle, (s) => s.parked);
      expect(parked.waitingFor).toContain(`${what} did not succeed: No way. The maintenance page stays on.`);
      expect(wayBackOf(stubs)).toEqual(order.slice(0, order.indexOf(call) + 1));
      expect(stubs.ledger.pageOn).toBe(true);
      await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
      expect((await ending(handle)).outcome).toBe('rolled-back');
    });
    expect(wayBackOf(stubs)).toEqual([
      ...order.slice(0, order.indexOf(call) + 1),
      ...order.slice(order.indexOf(again)),
    ]);
  });

  test('is ended by settle with page and fence as they are, and the commands that lift them', async () => {
    const stubs = failingOnTheWayBack('finishRestore');
    const { status, error } = await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      await untilStatus(handle, (s) => s.parked);
      await handle.executeUpdate('settle', { args: [{ by: 'bob' }] });
      const failed: unknown = await handle.result().catch((thrown: unknown) => thrown);
      return { status: await statusOf(handle), error: failed as WorkflowFailedError };
    });
    expect(status.outcome).toBe('needs-operator');
    expect(error.cause).toMatchObject({ type: 'needs-operator' });
    expect(error.cause?.message).toContain('Restoring production from the backup did not succeed: No way.');
    expect(status.notes).toContain('To lift the fence: psql …');
    expect(stubs.ledger).toEqual({ claimed: true, pageOn: true, fenceOn: true, reset: true, live: false });
    expect(stubs.calls).not.toContain('maintenanceOff');
    expect(stubs.calls).not.toContain('release');
  });

  test('is not hindered by cancelling the run, which changes nothing of why it failed', async () => {
    const stubs = failingOnTheWayBack('finishRestore');
    const error = await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      await untilStatus(handle, (s) => s.parked);
      await handle.cancel();
      await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
      return handle.result().then(
        () => null,
        (thrown: unknown) => thrown as WorkflowFailedError,
      );
    });
    expect((error as WorkflowFailedError).cause).toMatchObject({
      type: 'rolled-back',
      message: 'The step smoke failed and production is what it was before: It broke.',
    });
    expect(wayBackOf(stubs).at(-1)).toBe('release');
  });
});

// The same activities run on the way there, so they begin to fail only when stock is taken.
function failingOnTheWayBack(call: string): Stubs {
  const stubs = makeStubs();
  stubs.failures['smoke API'] = [failure('It broke.')];
  stubs.replace.takeStock = () => {
    stubs.failures[call] = [failure('No way.')];
    return { ...stubs.ledger };
  };
  return stubs;
}

async function approveIfAsked(handle: WorkflowHandle): Promise<void> {
  const status = await untilStatus(
    handle,
    (s) => (s.step === 'approval' && s.waitingFor !== null) || s.outcome !== null,
  );
  if (status.outcome === null)
    await handle.executeUpdate('approve', { args: [{ by: 'bob', fingerprint: status.backup?.fingerprint }] });
}
