/** The order of the way back after every step's failure, and that it stops at the first thing that fails. */
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { WorkflowFailedError, WorkflowHandle } from '@temporalio/client';
import {
  failWhenCancelled,
  failure,
  makeStubs,
  openTimeSkipping,
  wayBackOf,
  withStubbedRun,
  type Stubs,
} from './support/stubbed-run';
import type { StubClaim } from './support/stub-world';
import { approve, ending, statusOf, untilStatus } from './support/talk';
import { until } from '../lab/stage';

let environment: TestWorkflowEnvironment;
beforeAll(async () => {
  environment = await openTimeSkipping();
});
afterAll(() => environment.teardown());

const asBefore = { claim: null, page: 'off', fenceOn: false, rows: 'old', wrongs: [] as string[] };
const untouched = ['turnBack', 'liftFence', 'comeHome', 'pageOff', 'removeBackup', 'finish'];
const restored = (...previous: string[]) => [
  ...['turnBack', 'pageOn', 'fence', 'proveBackup', 'beginAside', 'sealAside'],
  ...['proveKept', 'beginRestore', 'copyGroup restore', 'finishRestore', 'compareRestored', 'markRestored'],
  'deploysToUndo',
  ...previous,
  ...['smoke API (old)', 'comeHome', 'pageOff', 'finish'],
];

test.each([
  ['the page does not show', 'pageOn', untouched],
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
  expect(stubs.world).toMatchObject(asBefore);
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
  stubs.lost.reset = [failure('The answer was lost.')];
  const status = await withStubbedRun(environment, stubs, async (handle) => {
    await approve(handle);
    return ending(handle);
  });
  expect(status.outcome).toBe('rolled-back');
  expect(wayBackOf(stubs)).toEqual(['takeStock', ...restored()]);
});

const beforeApproval = ['checkDatabases', 'claim', 'fence', 'sealBackup'];

test.each([
  ['of preflight', 'checkDatabases', null],
  ['of the claim', 'claim', untouched],
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
    expect(wayBackOf(stubs).slice(0, 1 + (expected?.length ?? 0))).toEqual(
      expected ? ['takeStock', ...expected] : [],
    );
    expect(stubs.world).toMatchObject(asBefore);
  },
);

describe('a way back that fails', () => {
  test.each([
    ['pageOn', 'returning'],
    ['fence', 'returning'],
    ['proveBackup', 'returning'],
    ['sealAside', 'returning'],
    ['beginRestore', 'aside'],
    ['copyGroup restore', 'emptied'],
    ['compareRestored', 'emptied'],
    ['markRestored', 'emptied'],
    ['previous proxy', 'restored'],
    ['previous manager', 'restored'],
    ['smoke API (old)', 'restored'],
    ['comeHome', 'restored'],
  ] as const)('at %s keeps the page on, parks, and goes on from %s after retry', async (call, phase) => {
    const stubs = failingOnTheWayBack(call);
    const order = ['takeStock', ...restored('previous proxy', 'previous manager')];
    await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      const parked = await untilStatus(handle, (s) => s.parked && s.waitingFor !== null);
      expect(parked).toMatchObject({ phase, outcome: null });
      expect(parked.waitingFor).toContain('No way. The maintenance page is on.');
      expect(wayBackOf(stubs)).toEqual(order.slice(0, order.indexOf(call) + 1));
      expect(stubs.world.page).toBe('on');
      stubs.calls = [];
      await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
      expect((await ending(handle)).outcome).toBe('rolled-back');
    });
    expect(wayBackOf(stubs).slice(0, 3)).toEqual(['takeStock', 'turnBack', 'pageOn']);
    expect(stubs.calls.includes('proveBackup')).toBe(phase === 'returning' || phase === 'aside');
    expect(stubs.calls.includes('beginRestore')).toBe(phase !== 'restored');
    expect(stubs.world).toMatchObject(asBefore);
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
    expect(error.cause?.message).toContain('No way.');
    expect(status.notes).toContain('To lift the fence: psql …');
    expect(stubs.world.stands).toEqual({ phase: 'emptied', page: 'on', fenceOn: true, rows: 'partly' });
    expect(stubs.calls).not.toContain('pageOff');
    expect(stubs.calls).not.toContain('finish');
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
    expect(wayBackOf(stubs).at(-1)).toBe('finish');
  });
});

// The same activities run on the way there, so they begin to fail only when the way back begins.
function failingOnTheWayBack(call: string): Stubs {
  const stubs = makeStubs();
  stubs.failures['smoke API'] = [failure('It broke.')];
  stubs.replace.turnBack = () => {
    stubs.failures[call] ??= [failure('No way.')];
    return stubs.world.mirrored(stubs.world.claim as StubClaim);
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
