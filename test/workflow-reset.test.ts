/** What a run with a past ends as: after a Temporal reset the ledger decides, and "refused: nothing was changed" is never said. */
import { Client, Connection, type WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime } from '@temporalio/worker';
import { testTemporal } from './support/environment';
import {
  failWhenCancelled,
  failure,
  makeStubs,
  wayBackOf,
  withStubbedRun,
  type Stubs,
} from './support/stubbed-run';
import { approve, statusOf, untilStatus } from './support/talk';
import { until } from '../lab/stage';

jest.setTimeout(120_000);

// The time-skipping server knows no reset.
let environment: { client: Client; nativeConnection: NativeConnection };
beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const { address } = testTemporal();
  environment = {
    client: new Client({ connection: await Connection.connect({ address }) }),
    nativeConnection: await NativeConnection.connect({ address }),
  };
});
afterAll(async () => {
  await environment.client.connection.close();
  await environment.nativeConnection.close();
});

type Failing = (stubs: Stubs) => void;
const outages = () => [1, 2, 3].map(() => failure('connect ECONNREFUSED', 'Outage'));

const failingPreflights: [string, Failing][] = [
  ['meets an outage', (stubs) => (stubs.failures.checkDatabases = outages())],
  ['finds something', (stubs) => (stubs.replace.checkDatabases = () => findings('The disk is full.'))],
  ['has no host', (stubs) => (stubs.failures.checkHost = [failure('No host.')])],
  ["can't read its plan", (stubs) => (stubs.failures.outlinePlan = [failure('No such plan.', 'UsageError')])],
  ['fails at the shadow', (stubs) => (stubs.failures.deployToShadow = [failure('The shadow is gone.')])],
];

describe('a run that is reset to its beginning and whose preflight', () => {
  test.each(failingPreflights)('%s parks, and retry restores what it dropped', async (_what, fail) => {
    const stubs = makeStubs({ smoke: [{ name: 'Looks right', kind: 'manual' }] });
    await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
      stubs.calls = [];
      fail(stubs);
      const again = await resetToBeginning(handle);
      const parked = await untilStatus(again, (s) => s.parked);
      expect(parked).toMatchObject({ step: 'preflight', outcome: null });
      expect(stubs.calls).not.toContain('finish');
      await again.executeUpdate('retry', { args: [{ by: 'bob' }] });
      expect(await endOf(again)).toMatchObject({ type: 'rolled-back', status: { outcome: 'rolled-back' } });
    });
    expect(wayBackOf(stubs)).toContain('finishRestore');
    expect(stubs.world).toMatchObject(whole('old'));
  });

  test.each(failingPreflights)('%s after it went live ends as migrated', async (_what, fail) => {
    const stubs = makeStubs({ monitor: { forMs: 3_600_000, everyMs: 3_600_000 } });
    await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      await untilStatus(handle, (s) => s.step === 'monitor');
      fail(stubs);
      const again = await resetToBeginning(handle);
      await untilStatus(again, (s) => s.parked);
      await again.executeUpdate('retry', { args: [{ by: 'bob' }] });
      expect((await endOf(again)).status).toMatchObject({ outcome: 'migrated', live: true });
    });
    expect(stubs.calls).not.toContain('beginRestore');
    expect(stubs.world).toMatchObject(whole('new'));
  });
});

test.each([
  ['live', 'migrated', 'Production was live already'],
  ['home', 'rolled-back', 'Production was brought back already'],
  ['nothing', 'refused', 'made by a reset of a run that had ended'],
] as const)(
  'a run that is reset after its end, of which the backup tells %s, ends as %s',
  async (witness, outcome, sentence) => {
    const stubs = makeStubs();
    if (witness === 'home') stubs.failures['smoke API'] = [failure('It broke.')];
    await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      await endOf(handle);
      if (witness === 'nothing') stubs.world.mirror = null;
      stubs.failures.checkDatabases = outages();
      stubs.calls = [];
      const again = await resetToBeginning(handle);
      const { status } = await endOf(again);
      expect(status).toMatchObject({ outcome, live: outcome === 'migrated' });
      expect(status.notes.join()).toContain(sentence);
      expect(status.notes).toContain('connect ECONNREFUSED');
    });
    expect(stubs.calls).not.toContain('beginRestore');
    expect(stubs.calls).not.toContain('pageOn');
  },
);

test('a run that is reset after its end, of which nothing tells, says when cancelled that it touched nothing', async () => {
  const stubs = makeStubs();
  await withStubbedRun(environment, stubs, async (handle) => {
    await approve(handle);
    await endOf(handle);
    stubs.world.mirror = null;
    let cancel: () => Promise<unknown> = () => Promise.resolve();
    stubs.replace.checkDatabases = async () => {
      await cancel();
      return findings('The disk is full.');
    };
    const again = await resetToBeginning(handle);
    cancel = () => again.cancel();
    const { status } = await endOf(again);
    expect(status.outcome).toBe('cancelled');
    expect(status.notes.join()).toContain('made by a reset of a run that had ended');
    expect(status.nextAction).not.toContain('what it was before');
  });
  expect(stubs.world).toMatchObject(whole('new'));
});

test('a run that is reset after its end, and whose preflight passes, claims nothing and ends as it had ended', async () => {
  const stubs = makeStubs();
  await withStubbedRun(environment, stubs, async (handle) => {
    await approve(handle);
    await endOf(handle);
    const again = await resetToBeginning(handle);
    expect((await endOf(again)).status).toMatchObject({ outcome: 'migrated', live: true });
  });
  expect(stubs.world).toMatchObject(whole('new'));
});

test('a run whose claim failed half-way goes back instead of leaving its claim behind', async () => {
  const stubs = makeStubs();
  stubs.lost.claim = [failure('The answer was lost.')];
  await withStubbedRun(environment, stubs, async (handle) => {
    expect((await endOf(handle)).status.outcome).toBe('rolled-back');
  });
  expect(stubs.world).toMatchObject(whole('old'));
});

test('a run that is reset while a roll back after live was under way opens nothing, and goes on from there after retry', async () => {
  const stubs = makeStubs({ monitor: { forMs: 3_600_000, everyMs: 3_600_000 } });
  stubs.failures.finishRestore = [failure('No way.')];
  await withStubbedRun(environment, stubs, async (handle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'monitor');
    await handle.executeUpdate('rollBack', { args: [{ by: 'bob', acceptLoss: true }] });
    await untilStatus(handle, (s) => s.parked);
    stubs.calls = [];
    const again = await resetToBeginning(handle);
    await untilStatus(again, (s) => s.parked);
    expect(stubs.calls).not.toContain('takeOver');
    expect(stubs.world.stands).toEqual({ phase: 'emptied', page: 'on', fenceOn: true, rows: 'partly' });
    await again.executeUpdate('retry', { args: [{ by: 'bob' }] });
    expect((await endOf(again)).status.outcome).toBe('rolled-back');
  });
  expect(stubs.world).toMatchObject(whole('old'));
});

test.each([
  ['roll back', 'rolled-back'],
  ['cancel', 'migrated'],
] as const)('a %s that meets the start of the monitoring takes effect', async (what, outcome) => {
  // The moment between the start of the child workflow being asked for and its start: met about every third time.
  for (let attempt = 1; attempt <= 6; attempt++) {
    const stubs = makeStubs({ monitor: { forMs: 3_600_000, everyMs: 3_600_000 } });
    await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      while ((await statusOf(handle)).step !== 'monitor');
      if (what === 'cancel') await handle.cancel();
      else await handle.executeUpdate('rollBack', { args: [{ by: 'bob', acceptLoss: true }] });
      expect((await endOf(handle)).status.outcome).toBe(outcome);
    });
  }
});

test('an outage that a cancelled step meets is no reason to call the run rolled back', async () => {
  const stubs = makeStubs();
  stubs.replace.beginMigrate = () => failWhenCancelled(failure('terminating connection', 'Outage'));
  await withStubbedRun(environment, stubs, async (handle) => {
    await approve(handle);
    await until(() => Promise.resolve(stubs.calls.includes('beginMigrate')));
    await handle.cancel();
    expect(await endOf(handle)).toMatchObject({ name: 'CancelledFailure', status: { outcome: 'cancelled' } });
  });
});

describe('a monitoring that is ended from outside', () => {
  test.each([
    ['terminated', 'retry', 'migrated'],
    ['cancelled', 'rollBack', 'rolled-back'],
  ] as const)('%s waits for a person, and %s ends the run as %s', async (how, answer, outcome) => {
    const stubs = makeStubs({ monitor: { forMs: 30_000, everyMs: 30_000 } });
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      await untilStatus(handle, (s) => s.step === 'monitor');
      const child = environment.client.workflow.getHandle(await childOf(handle));
      await (how === 'terminated' ? child.terminate() : child.cancel());
      const waiting = await untilStatus(handle, (s) => s.step === 'monitor' && s.waitingFor !== null);
      expect(waiting.waitingFor).toContain('"the monitoring itself"');
      await handle.executeUpdate(answer, { args: [{ by: 'bob', acceptLoss: true }] });
      if (answer === 'retry') await handle.cancel();
      return (await endOf(handle)).status;
    });
    expect(status.outcome).toBe(outcome);
  });
});

async function childOf(handle: WorkflowHandle): Promise<string> {
  for (;;) {
    const { events } = await handle.fetchHistory();
    const started = events?.find((event) => event.childWorkflowExecutionStartedEventAttributes);
    const id = started?.childWorkflowExecutionStartedEventAttributes?.workflowExecution?.workflowId;
    if (id) return id;
  }
}

function whole(rows: 'old' | 'new') {
  return { claim: null, page: 'off', fenceOn: false, rows, wrongs: [] as string[] };
}

function findings(sentence: string) {
  return { findings: [sentence], notes: [], shadowReady: false, catalogue: 'c', rows: 5, bytes: 100 };
}

async function endOf(handle: WorkflowHandle) {
  const cause = await handle.result().then(
    () => undefined,
    (thrown: unknown) => (thrown as WorkflowFailedError).cause as { name: string; type?: string } | undefined,
  );
  return { name: cause?.name, type: cause?.type, status: await statusOf(handle) };
}

async function resetToBeginning(handle: WorkflowHandle): Promise<WorkflowHandle> {
  const { client } = environment;
  const { events } = await handle.fetchHistory();
  const task = events?.find((event) => event.workflowTaskCompletedEventAttributes);
  const { runId } = await client.workflowService.resetWorkflowExecution({
    namespace: client.options.namespace,
    workflowExecution: { workflowId: handle.workflowId },
    workflowTaskFinishEventId: task?.eventId,
    requestId: `reset-${handle.workflowId}`,
    reason: 'test',
  });
  return client.workflow.getHandle(handle.workflowId, runId);
}
