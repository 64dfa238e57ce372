/** After the point of no return, with stubbed activities: nothing restores by itself, the day of watching, and the way back with accepted loss. */
import type { WorkflowHandle } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { Report } from '../src/contract';
import { approve, ending, statusOf, untilStatus } from './support/migration';
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
  stubs.failures.maintenanceOff = [failure('The proxy is stuck.'), failure('Still stuck.')];
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
  expect(stubs.calls.filter((call) => call === 'markLive' || call === 'maintenanceOff')).toEqual([
    'markLive',
    'maintenanceOff',
    'maintenanceOff',
    'maintenanceOff',
  ]);
  expect(stubs.calls).not.toContain('takeStock');
});

test('cancelling while that is parked does not restore, and the page still has to go down', async () => {
  const stubs = makeStubs();
  stubs.failures.maintenanceOff = [failure('The proxy is stuck.')];
  const status = await withStubbedRun(environment, stubs, async (handle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.parked);
    await handle.cancel();
    await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
    return ending(handle);
  });
  expect(status).toMatchObject({ outcome: 'migrated', live: true });
  expect(stubs.ledger.pageOn).toBe(false);
  expect(stubs.calls).not.toContain('beginRestore');
});

test('a lost answer to the mark live does not restore: stock shows that users may write', async () => {
  const stubs = makeStubs();
  stubs.replace.markLive = () => {
    throw failure('The answer was lost.');
  };
  const status = await withStubbedRun(environment, stubs, async (handle) => {
    await approve(handle);
    return ending(handle);
  });
  expect(status).toMatchObject({ outcome: 'migrated', live: true });
  expect(wayBackOf(stubs).slice(0, 3)).toEqual(['takeStock', 'maintenanceOff', 'notePage off']);
  expect(stubs.calls).not.toContain('beginRestore');
  expect(stubs.calls).not.toContain('dropBackup');
});

describe('the monitoring', () => {
  test('checks every 5 minutes for 24 hours, with a history that stays small', async () => {
    const stubs = makeStubs({ monitor: { forMs: 24 * hourMs, everyMs: hourMs / 12 } });
    const { report, histories } = await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      await handle.result();
      const found = await handle.query<Report>('report');
      return { report: found, histories: await historiesOf(monitorOf(handle, found)) };
    });
    expect(report.checks).toContainEqual(
      expect.objectContaining({ step: 'monitor', name: '288 rounds of 1 checks', passed: true }),
    );
    // One more than the rounds: the smoke step before.
    expect(stubs.calls.filter((call) => call === 'smoke API')).toHaveLength(289);
    expect(histories).toHaveLength(3);
    expect(Math.max(...histories)).toBeLessThan(2_000);
    const step = report.status.steps.find(({ name }) => name === 'monitor');
    const tookMs = Date.parse(step?.finishedAt ?? '') - Date.parse(step?.startedAt ?? '');
    expect(Math.round(tookMs / hourMs)).toBe(24);
    expect(report.status.downtimeMs).toBeLessThan(hourMs);
  });

  test('a failing check tells people and waits for retry, then goes on for the rest of the time', async () => {
    const stubs = monitoring();
    stubs.failures['smoke API'] = [];
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await toMonitor(handle, stubs);
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
      await toMonitor(handle, stubs);
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
      ...['takeStock', 'acceptLoss', 'notePage on', 'maintenanceOn', 'fence'],
      ...['beginAside', 'copyGroup aside', 'sealAside', 'countLateWrites'],
      ...['nextRestore', 'beginRestore', 'copyGroup restore', 'finishRestore', 'liftFence'],
      ...[
        'previous proxy',
        'previous manager',
        'smoke API (old)',
        'maintenanceOff',
        'notePage off',
        'release',
      ],
    ]);
    expect(status.notes.join('\n')).toContain('kept as shop_abandoned (5 rows)');
  });

  test('a roll back needs as many persons as the reset did', async () => {
    const stubs = monitoring({ approval: { minimum: 2, timeoutMs: hourMs, requesterMayApprove: false } });
    await withStubbedRun(environment, stubs, async (handle) => {
      const { backup } = await untilStatus(handle, (s) => s.step === 'approval' && s.waitingFor !== null);
      await handle.signal('approve', { by: 'carol', fingerprint: backup?.fingerprint });
      await toMonitor(handle, stubs);
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
      expect(stubs.calls).not.toContain('dropBackup');
      if (ends === 'cancel') await handle.cancel();
      else await handle.executeUpdate('retireBackup', { args: [{ by: 'bob' }] });
      return ending(handle);
    });
    expect(status.outcome).toBe('migrated');
    expect(stubs.calls.includes('dropBackup')).toBe(dropped);
  }
});

function monitoring(plan: Parameters<typeof makeStubs>[0] = {}): Stubs {
  return makeStubs({ monitor: { forMs: 3_000, everyMs: 1_000 }, ...plan });
}

// The check passes in the step smoke and fails in the first round of the monitoring.
async function toMonitor(handle: WorkflowHandle, stubs: Stubs): Promise<void> {
  stubs.replace.markLive = () => {
    stubs.failures['smoke API'] = [failure('It answers 500.')];
  };
  await approve(handle);
  await untilStatus(handle, (s) => s.live);
}

function monitorOf(handle: WorkflowHandle, { runId }: Report): string {
  return `${handle.workflowId}-monitor-${runId.slice(0, 8)}-1`;
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
