/** After the point of no return, with stubbed activities: nothing restores by itself, the day of watching, and the way back with accepted loss. */
import type { WorkflowHandle } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { Report } from '../src/contract';
import { approve, ending, statusOf, untilStatus } from './support/talk';
import {
  failure,
  makeStubs,
  openTimeSkipping,
  wayBackOf,
  withStubbedRun,
  type Stubs,
} from './support/stubbed-run';

let environment: TestWorkflowEnvironment;
beforeAll(async () => {
  environment = await openTimeSkipping();
});
afterAll(() => environment.teardown());

const hourMs = 3_600_000;
const rollBack = { by: 'bob', acceptLoss: true };

test('a page that does not go down after live parks the run, and retry takes it down', async () => {
  const stubs = makeStubs();
  stubs.failures.pageOff = [failure('The proxy is stuck.'), failure('Still stuck.')];
  const status = await withStubbedRun(environment, stubs, async (handle) => {
    await approve(handle);
    for (const sentence of ['The proxy is stuck.', 'Still stuck.']) {
      const parked = await untilStatus(handle, (s) => s.parked && s.waitingFor?.includes(sentence) === true);
      expect(parked).toMatchObject({ step: 'maintenanceOff', live: true, outcome: null });
      expect(parked.waitingFor).toContain('Taking the maintenance page down did not succeed');
      await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
    }
    return ending(handle);
  });
  expect(status.outcome).toBe('migrated');
  expect(stubs.calls.filter((call) => call === 'goLive' || call === 'pageOff')).toEqual([
    'goLive',
    ...['pageOff', 'pageOff', 'pageOff'],
  ]);
  expect(stubs.calls).not.toContain('takeStock');
});

test('cancelling while that is parked does not restore, and the page still has to go down', async () => {
  const stubs = makeStubs();
  stubs.failures.pageOff = [failure('The proxy is stuck.')];
  const status = await withStubbedRun(environment, stubs, async (handle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.parked);
    await handle.cancel();
    await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
    return ending(handle);
  });
  expect(status).toMatchObject({ outcome: 'migrated', live: true });
  expect(stubs.world.page).toBe('off');
  expect(stubs.calls).not.toContain('beginRestore');
});

test('a lost answer to the phase live does not restore: stock shows that users may write', async () => {
  const stubs = makeStubs();
  stubs.lost.goLive = [failure('The answer was lost.')];
  const status = await withStubbedRun(environment, stubs, async (handle) => {
    await approve(handle);
    return ending(handle);
  });
  expect(status).toMatchObject({ outcome: 'migrated', live: true });
  expect(wayBackOf(stubs).slice(0, 3)).toEqual(['takeStock', 'pageOff', 'finish']);
  expect(stubs.calls).not.toContain('beginRestore');
  expect(stubs.calls).not.toContain('removeBackup');
});

describe('the monitoring', () => {
  test('checks every 5 minutes for 24 hours, with a history that stays small', async () => {
    const stubs = makeStubs({ monitor: { forMs: 24 * hourMs, everyMs: hourMs / 12 } });
    const { report, histories } = await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      await handle.result();
      const found = await handle.query<Report>('report');
      return { report: found, histories: await historiesOf(await monitorOf(handle)) };
    });
    expect(report.checks).toContainEqual(
      expect.objectContaining({ step: 'monitor', name: '288 rounds of 1 checks', passed: true }),
    );
    expect(stubs.calls.filter((call) => call === 'watch API')).toHaveLength(288);
    expect(histories).toHaveLength(3);
    expect(Math.max(...histories)).toBeLessThan(2_000);
    const step = report.status.steps.find(({ name }) => name === 'monitor');
    const tookMs = Date.parse(step?.finishedAt ?? '') - Date.parse(step?.startedAt ?? '');
    expect(Math.round(tookMs / hourMs)).toBe(24);
    expect(report.status.downtimeMs).toBeLessThan(hourMs);
  });

  test('a failing check tells people and waits for retry, then goes on for the rest of the time', async () => {
    const stubs = monitoring();
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await toMonitor(handle);
      const waiting = await untilStatus(handle, (s) => s.step === 'monitor' && s.waitingFor !== null);
      expect(waiting).toMatchObject({ parked: false, live: true });
      expect(waiting.waitingFor).toBe('a person: the check "API" fails (It answers 500.)');
      expect(waiting.nextAction).toContain('roll-back');
      expect(stubs.calls.at(-1)).toBe('notify');
      await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
      return ending(handle);
    });
    expect(status.outcome).toBe('migrated');
    expect(stubs.calls).not.toContain('takeStock');
  });

  test('a roll back with accepted loss sets the present database aside before it restores', async () => {
    const stubs = monitoring();
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await toMonitor(handle);
      await untilStatus(handle, (s) => s.step === 'monitor' && s.waitingFor !== null);
      const refused: unknown = await handle
        .executeUpdate('rollBack', { args: [{ by: 'bob' }] })
        .catch((error: unknown) => (error as { cause?: Error }).cause?.message);
      expect(refused).toContain('Send rollBack with "acceptLoss": true if that is accepted.');
      await handle.executeUpdate('rollBack', { args: [rollBack] });
      return ending(handle);
    });
    expect(status).toMatchObject({ outcome: 'rolled-back', live: false });
    expect(wayBackOf(stubs)).toEqual([
      ...['takeStock', 'turnBack', 'proveBackup', 'pageOn', 'fence'],
      ...['beginAside', 'copyGroup aside', 'sealAside'],
      ...[
        'proveKept',
        'beginRestore',
        'copyGroup restore',
        'finishRestore',
        'compareRestored',
        'markRestored',
      ],
      ...['deploysToUndo', 'previous proxy', 'previous manager', 'smoke API (old)'],
      ...['comeHome', 'pageOff', 'finish'],
    ]);
    expect(status.notes.join('\n')).toContain('kept as shop_abandoned (5 rows)');
  });

  test('a roll back needs as many persons as the reset did', async () => {
    const stubs = monitoring({ approval: { minimum: 2, timeoutMs: hourMs, requesterMayApprove: false } });
    await withStubbedRun(environment, stubs, async (handle) => {
      const { backup } = await untilStatus(handle, (s) => s.step === 'approval' && s.waitingFor !== null);
      await handle.signal('approve', { by: 'carol', fingerprint: backup?.fingerprint });
      await toMonitor(handle);
      await untilStatus(handle, (s) => s.step === 'monitor' && s.waitingFor !== null);
      await handle.executeUpdate('rollBack', { args: [rollBack] });
      expect(await statusOf(handle)).toMatchObject({ outcome: null, step: 'monitor' });
      await handle.executeUpdate('rollBack', { args: [{ ...rollBack, by: 'carol' }] });
      expect((await ending(handle)).outcome).toBe('rolled-back');
    });
  });
});

test('the backup is deleted only after a second approval, and can be kept by cancelling', async () => {
  for (const [ends, dropped] of [
    ['retire', true],
    ['cancel', false],
  ] as const) {
    const stubs = makeStubs({ retireAfterApproval: true });
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      await untilStatus(handle, (s) => s.step === 'retireBackup' && s.waitingFor !== null);
      expect(stubs.calls).not.toContain('removeBackup');
      if (ends === 'cancel') await handle.cancel();
      else await handle.executeUpdate('retireBackup', { args: [{ by: 'bob' }] });
      return ending(handle);
    });
    expect(status.outcome).toBe('migrated');
    expect(stubs.calls.includes('removeBackup')).toBe(dropped);
  }
});

test.each([
  ['rollBack', 'update'],
  ['rollBack', 'signal'],
  ['retireBackup', 'update'],
  ['retireBackup', 'signal'],
] as const)(
  '%s by %s is refused where another run holds production, and the run parks at once',
  async (said, by) => {
    const stubs = makeStubs({ retireAfterApproval: true });
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      await untilStatus(handle, (s) => s.step === 'retireBackup' && s.waitingFor !== null);
      if (stubs.world.claim) stubs.world.claim.holder = 'another run';
      const payload = { ...rollBack, ...(said === 'retireBackup' ? { acceptLoss: undefined } : {}) };
      if (by === 'signal') await handle.signal(said, payload);
      else await expect(handle.executeUpdate(said, { args: [payload] })).rejects.toThrow();
      const { notes } = await untilStatus(handle, (s) => s.parked);
      if (by === 'signal') expect(notes.join('\n')).toContain("This run can't do what was asked");
      await handle.executeUpdate('retry', { args: [{ by: 'carol' }] });
      return ending(handle);
    });
    expect(status.outcome).toBe('migrated');
    expect(stubs.calls).not.toContain('removeBackup');
    expect(stubs.rollBacks).toBe(0);
  },
);

// The check passes in the step smoke and fails in the first round of the monitoring.
function monitoring(plan: Parameters<typeof makeStubs>[0] = {}): Stubs {
  const stubs = makeStubs({ monitor: { forMs: 3_000, everyMs: 1_000 }, ...plan });
  stubs.failures['watch API'] = [failure('It answers 500.')];
  return stubs;
}

async function toMonitor(handle: WorkflowHandle): Promise<void> {
  await approve(handle);
  await untilStatus(handle, (s) => s.live);
}

async function monitorOf(handle: WorkflowHandle): Promise<string> {
  const { events } = await handle.fetchHistory();
  const started = events?.find((event) => event.childWorkflowExecutionStartedEventAttributes);
  return started?.childWorkflowExecutionStartedEventAttributes?.workflowExecution?.workflowId ?? '';
}

// Number of events of each run of a workflow that continued as new.
async function historiesOf(workflowId: string): Promise<number[]> {
  const lengths: number[] = [];
  let runId: string | undefined;
  do {
    const { events } = await environment.client.workflow.getHandle(workflowId, runId).fetchHistory();
    lengths.push(events?.length ?? 0);
    runId = events?.[0]?.workflowExecutionStartedEventAttributes?.continuedExecutionRunId || undefined;
  } while (runId !== undefined);
  return lengths;
}
