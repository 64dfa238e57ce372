/** The runbook with stubbed activities: what is waited for, what parks, what people may say, and how a run closes. */
import { ApplicationFailure, type WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { StepName } from '../src/contract';
import {
  failure,
  makeStubs,
  openTimeSkipping,
  wayBackOf,
  withStubbedRun,
  withoutTelling,
} from './support/stubbed-run';
import type { StubClaim } from './support/stub-world';
import { approve, ending, statusOf, untilStatus } from './support/talk';

let environment: TestWorkflowEnvironment;
beforeAll(async () => {
  environment = await openTimeSkipping();
});
afterAll(() => environment.teardown());

const hourMs = 3_600_000;
const untouched = ['takeStock', 'turnBack', 'liftFence', 'comeHome', 'pageOff', 'removeBackup', 'finish'];

test('does the steps of the runbook in order', async () => {
  const stubs = makeStubs();
  const status = await withStubbedRun(environment, stubs, async (handle) => {
    await approve(handle);
    return ending(handle);
  });
  expect(status).toMatchObject({ outcome: 'migrated', step: 'report', parked: false, live: true });
  expect(status.steps.map(({ state }) => state)).toEqual(status.steps.map(() => 'done'));
  const calls = withoutTelling(stubs.calls);
  // Keys of the backup follow while the approval is waited for.
  expect(calls.filter((call) => call !== 'indexBackup')).toEqual([
    ...['outlinePlan', 'checkHost', 'checkDatabases', 'deployToShadow', 'checkMapping'],
    ...['claim', 'pageOn', 'fence'],
    ...['beginBackup', 'copyGroup backup', 'sealBackup', 'openApproval', 'approve'],
    ...['probePage', 'reset', 'deploySchema'],
    ...['beginMigrate', 'copyGroup migrate', 'finishMigrate', 'verify'],
    ...['probePage', 'deploy manager', 'probePage', 'deploy proxy', 'probePage', 'endDeploys'],
    ...['smoke API', 'endChecks', 'goLive', 'pageOff', 'confirmLive', 'watch API', 'finish'],
  ]);
});

describe('the approval', () => {
  test('is waited for two hours, and then everything is undone', async () => {
    const stubs = makeStubs();
    const { status, result } = await withStubbedRun(environment, stubs, async (handle) => ({
      result: (await handle.result()) as unknown,
      status: await statusOf(handle),
    }));
    expect(status.outcome).toBe('rejected');
    expect(result).toEqual(status);
    expect(status.notes).toContain('No approval came within 120 minutes.');
    expect(status.downtimeMs).toBeGreaterThanOrEqual(2 * hourMs);
    expect(status.downtimeMs).toBeLessThan(2 * hourMs + 120_000);
    expect(stubs.calls).not.toContain('reset');
    expect(wayBackOf(stubs)).toEqual(untouched);
  });

  test('can be rejected with a reason', async () => {
    const stubs = makeStubs();
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      const { backup } = await atApproval(handle);
      const args = [{ by: 'carol', fingerprint: backup?.fingerprint, note: 'too many drops' }] as [unknown];
      await handle.executeUpdate('reject', { args });
      return ending(handle);
    });
    expect(status.outcome).toBe('rejected');
    expect(status.notes).toContain('carol rejected the reset: too many drops.');
    expect(wayBackOf(stubs)).toEqual(untouched);
  });

  test('counts only with the fingerprint, from different persons, and not from the requester', async () => {
    const stubs = makeStubs({ approval: { minimum: 2, timeoutMs: hourMs, requesterMayApprove: false } });
    await withStubbedRun(environment, stubs, async (handle) => {
      const fingerprint = (await atApproval(handle)).backup?.fingerprint;
      const say = (by: string, print = fingerprint) =>
        handle.executeUpdate('approve', { args: [{ by, fingerprint: print }] });
      expect(await refusal(say('bob', 'f00d'))).toContain(
        'The fingerprint "f00d" is not the one of this run',
      );
      expect(await refusal(say(' Alice '))).toContain('requested this run and may not approve it');
      expect(await say('bob')).toBe('Approved by bob (1 of 2).');
      expect(await refusal(say('bob'))).toContain('bob has approved already; 2 different persons must.');
      await handle.signal('approve', { by: 'dave', fingerprint: 'f00d' });
      const { notes } = await untilStatus(handle, (s) => s.notes.some((note) => note.includes('f00d')));
      expect(notes.at(-1)).toContain('The signal approve was ignored: The fingerprint "f00d"');
      expect(stubs.calls).not.toContain('reset');
      await handle.signal('approve', { by: 'carol', fingerprint });
      expect((await ending(handle)).outcome).toBe('migrated');
    });
  });
});

describe('what makes no sense now', () => {
  test.each([
    [
      'approve',
      { by: 'bob', fingerprint: 'x' },
      /^approve counts only while the step approval waits: the run is in step smoke, waiting for a person to confirm/,
    ],
    ['approve', { by: 'bob' }, /^approve needs the payload \{ by, note, fingerprint \}/],
    [
      'confirm',
      { by: 'bob', check: 'Other', passed: true },
      /^The check waited for is "Log in", not "Other"\.$/,
    ],
    ['retry', { by: 'bob' }, /^Nothing waits for retry/],
    ['settle', { by: 'bob' }, /^Only a parked run can be settled/],
    [
      'rollBack',
      { by: 'bob', acceptLoss: true },
      /^rollBack is for after the point of no return; before it, cancel/,
    ],
    ['retireBackup', { by: 'bob' }, /^The backup can be retired only in the step retireBackup/],
    ['settle', null, /^settle needs the payload \{ by, note \}/],
  ])('refuses %s with a sentence', async (name, payload, sentence) => {
    const stubs = makeStubs({ smoke: [{ name: 'Log in', kind: 'manual' }] });
    await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
      expect(await refusal(handle.executeUpdate(name, { args: [payload] }))).toMatch(sentence);
      const args = [{ by: 'bob', check: 'Log in', passed: true }] as [unknown];
      await handle.executeUpdate('confirm', { args });
      expect((await ending(handle)).outcome).toBe('migrated');
    });
  });

  test('a manual check that failed takes the run back', async () => {
    const stubs = makeStubs({ smoke: [{ name: 'Log in', kind: 'manual' }] });
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
      await handle.signal('confirm', { by: 'bob', check: 'Log in', passed: false });
      return ending(handle);
    });
    expect(status.outcome).toBe('rolled-back');
    expect(status.notes.join()).toContain('The manual check "Log in" failed, said bob.');
  });
});

describe('parking', () => {
  test.each<[string, StepName]>([
    ['fence', 'fence'],
    ['copyGroup backup', 'backup'],
    ['finishMigrate', 'migrate'],
    ['deploy proxy', 'deploy'],
  ])('%s that needs an operator parks, and retry repeats the step', async (call, step) => {
    const stubs = makeStubs();
    stubs.failures[call] = [failure('The disk is full.', 'NeedsOperator')];
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      const parked = await approveOnTheWay(handle, (s) => s.parked);
      expect(parked).toMatchObject({ step, parked: true, outcome: null });
      expect(parked.waitingFor).toBe(`an operator: ${step}: The disk is full.`);
      expect(parked.nextAction).toContain(`kirikae retry ${handle.workflowId} --by NAME`);
      await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
      await approveOnTheWay(handle, (s) => s.live);
      return ending(handle);
    });
    expect(status.outcome).toBe('migrated');
    expect(status.steps.find(({ name }) => name === step)).toMatchObject({ state: 'done', attempt: 2 });
    expect(stubs.calls.filter((made) => made === call)).toHaveLength(2);
  });

  test.each(['fence', 'copyGroup backup'])(
    'before the reset a full disk or a refused password in %s goes back by itself',
    async (call) => {
      const stubs = makeStubs();
      stubs.failures[call] = [failure('The disk is full.', 'NeedsRepair')];
      const status = await withStubbedRun(environment, stubs, ending);
      expect(status).toMatchObject({ outcome: 'rolled-back', parked: false });
      expect(status.notes.join()).toContain('The disk is full.');
      expect(wayBackOf(stubs)).toEqual(untouched);
    },
  );

  test('from the reset on it parks', async () => {
    const stubs = makeStubs();
    stubs.failures.finishMigrate = [failure('The disk is full.', 'NeedsRepair')];
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await approveOnTheWay(handle, (s) => s.parked);
      await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
      return ending(handle);
    });
    expect(status.outcome).toBe('migrated');
  });

  test('an outage that lasts is told again and again, and waited out from the reset on', async () => {
    const stubs = makeStubs();
    stubs.failures.finishMigrate = [1, 2, 3].map(() => longOutage());
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      return ending(handle);
    });
    expect(status).toMatchObject({ outcome: 'migrated', waitingFor: null });
    expect(status.notes.join()).toMatch(/No progress since .*: connect ECONNREFUSED/);
    expect(stubs.calls.filter((call) => call === 'finishMigrate')).toHaveLength(4);
  });

  test('before the reset an outage longer than the time-out of the approval goes back', async () => {
    const stubs = makeStubs();
    const { timeoutMs } = stubs.plan.approval;
    stubs.failures['copyGroup backup'] = [longOutage(), longOutage(timeoutMs + 1_000)];
    // The way back waits for as long as it takes.
    stubs.failures.liftFence = [longOutage(3 * timeoutMs), longOutage(4 * timeoutMs)];
    const status = await withStubbedRun(environment, stubs, ending);
    expect(status.outcome).toBe('rolled-back');
    expect(status.notes.join()).toContain('The step backup failed');
    expect(stubs.calls.filter((call) => call === 'liftFence')).toHaveLength(3);
  });

  test('a parked run that is cancelled goes back', async () => {
    const stubs = makeStubs();
    stubs.failures.fence = [failure('Wrong password.', 'NeedsOperator')];
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await untilStatus(handle, (s) => s.parked);
      await handle.cancel();
      return ending(handle);
    });
    expect(status).toMatchObject({ outcome: 'cancelled', parked: false });
    expect(wayBackOf(stubs)).toEqual(untouched);
  });

  test('an outage is waited out without parking', async () => {
    const stubs = makeStubs();
    stubs.failures.reset = [1, 2, 3].map(() => failure('connect ECONNREFUSED', 'Outage'));
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      return ending(handle);
    });
    expect(status.outcome).toBe('migrated');
    expect(stubs.calls.filter((call) => call === 'reset')).toHaveLength(4);
    expect(stubs.calls).not.toContain('takeStock');
  });
});

describe('cancelling', () => {
  test('before the reset undoes everything, however often it is asked', async () => {
    const stubs = makeStubs();
    const { status, error } = await withStubbedRun(environment, stubs, async (handle) => {
      stubs.replace.turnBack = async () => {
        await handle.cancel();
        return stubs.world.mirrored(stubs.world.claim as StubClaim);
      };
      await atApproval(handle);
      await handle.cancel();
      const thrown: unknown = await handle.result().catch((reason: unknown) => reason);
      return { status: await statusOf(handle), error: thrown as WorkflowFailedError };
    });
    expect(status.outcome).toBe('cancelled');
    expect(error.cause?.name).toBe('CancelledFailure');
    expect(wayBackOf(stubs)).toEqual(untouched);
  });

  test('while the monitoring runs ends it, and the run is migrated', async () => {
    const stubs = makeStubs({ monitor: { forMs: 24 * hourMs, everyMs: hourMs } });
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      await untilStatus(handle, (s) => s.step === 'monitor');
      await handle.cancel();
      return ending(handle);
    });
    expect(status.outcome).toBe('migrated');
    expect(status.notes.join()).toContain(
      'cancelled after it went live: the monitoring ended, the backup is kept',
    );
    expect(stubs.rollBacks).toBe(0);
    expect(stubs.calls).not.toContain('removeBackup');
    expect(stubs.world).toMatchObject({ claim: null, page: 'off', rows: 'new', backup: 'sealed' });
  });
});

function atApproval(handle: WorkflowHandle) {
  return untilStatus(handle, (s) => s.step === 'approval' && s.waitingFor !== null);
}

type Wanted = Parameters<typeof untilStatus>[1];

// Approves if the run comes to its approval before it shows what is wanted.
async function approveOnTheWay(handle: WorkflowHandle, wanted: Wanted) {
  const status = await untilStatus(
    handle,
    (s) => wanted(s) || (s.step === 'approval' && s.waitingFor !== null),
  );
  if (wanted(status)) return status;
  const args = [{ by: 'bob', fingerprint: status.backup?.fingerprint }] as [unknown];
  await handle.executeUpdate('approve', { args });
  return untilStatus(handle, wanted);
}

async function refusal(update: Promise<unknown>): Promise<string> {
  const thrown: unknown = await update.catch((reason: unknown) => reason);
  return (thrown as WorkflowFailedError).cause?.message ?? `accepted: ${String(thrown)}`;
}

function longOutage(lastedMs = 400_000): ApplicationFailure {
  return ApplicationFailure.create({
    type: 'LongOutage',
    message: 'connect ECONNREFUSED',
    details: [Date.now() - lastedMs],
    nonRetryable: true,
  });
}
