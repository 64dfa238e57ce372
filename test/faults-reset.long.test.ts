/** Temporal resets: history goes back, production doesn't. The run parks, drops nothing, and `retry` does what the ledger calls for. */
import { existsSync } from 'node:fs';
import type { WorkflowHandle } from '@temporalio/client';
import { Client } from 'pg';
import { contentOf, leftovers as leftBehind } from '../lab/database-state';
import { query, until, withDatabase } from '../lab/stage';
import { laidOutForEach } from './support/laid-out';
import {
  type PlanChange,
  approve,
  ending,
  problemsOf,
  startRun,
  untilStatus,
  withWorker,
} from './support/migration';

jest.setTimeout(240_000);

const scene = laidOutForEach('reset');

const manualSmoke: PlanChange = (plan) => (plan.smoke = [{ name: 'Looks right', kind: 'manual' }]);

test.each(['signal', 'update'] as const)(
  'an approval sent before a Temporal reset, as %s, does not run the destructive step after it',
  async (kind) => {
    await scene.layOut();
    const handle = await withWorker(scene.migration, scene.server.namespace, async () => {
      const started = await startRun(scene.server.client);
      await untilApproval(started);
      return started;
    });
    // Nobody works on it now: the approval is recorded, nothing acts on it.
    const old = await fingerprintWithoutWorker(handle);
    const approval = { by: 'mallory', fingerprint: old };
    let sent: Promise<unknown> = Promise.resolve();
    if (kind === 'signal') await handle.signal('approve', approval);
    else sent = handle.executeUpdate('approve', { args: [approval] }).catch((error: unknown) => error);
    await withWorker(scene.migration, scene.server.namespace, async () => {
      const again = await resetBeforeApproval(handle);
      await untilParked(again, 'sealed');
      expect(await contentOf(scene.migration.urls.production)).toEqual(scene.before);
      await again.executeUpdate('retry', { args: [{ by: 'bob' }] });
      expect((await ending(again)).outcome).toBe('rolled-back');
      await sent;
    });
    await expectAsBefore();
  },
);

test('a run that is reset to before its approval after it has dropped everything parks, and retry restores', async () => {
  await scene.layOut(manualSmoke);
  await withWorker(scene.migration, scene.server.namespace, async () => {
    const handle = await startRun(scene.server.client);
    await approve(handle);
    await untilStatus(handle, (status) => status.step === 'smoke' && status.waitingFor !== null);
    const dropped = await contentOf(scene.migration.urls.production);
    const again = await resetBeforeApproval(handle);
    await untilParked(again, 'checked|deployed');
    expect(existsSync(scene.migration.flagFile)).toBe(true);
    expect(await contentOf(scene.migration.urls.production)).toEqual(dropped);
    await again.executeUpdate('retry', { args: [{ by: 'bob' }] });
    expect((await ending(again)).outcome).toBe('rolled-back');
  });
  await expectAsBefore();
});

test('a run that is reset to before its approval after it went live parks, and retry ends it as migrated without restoring', async () => {
  await scene.layOut((plan) => (plan.monitor = { for: '1h', every: '1h' }));
  await withWorker(scene.migration, scene.server.namespace, async () => {
    const handle = await startRun(scene.server.client);
    await approve(handle);
    await untilStatus(handle, (status) => status.step === 'monitor' && status.live);
    const again = await resetBeforeApproval(handle);
    await untilParked(again, 'live');
    await again.executeUpdate('retry', { args: [{ by: 'bob' }] });
    const status = await ending(again);
    expect(status.outcome).toBe('migrated');
    expect(status.live).toBe(true);
  });
  expect(existsSync(scene.migration.flagFile)).toBe(false);
  expect(await problemsOf(scene.migration)).toEqual([]);
});

test('a run that is reset while a roll back after live restores opens nothing over an empty database, and goes on from there after retry', async () => {
  await scene.layOut((plan) => (plan.monitor = { for: '1h', every: '1h' }));
  const { production } = scene.migration.urls;
  await withWorker(scene.migration, scene.server.namespace, async () => {
    const handle = await startRun(scene.server.client);
    await approve(handle);
    await untilStatus(handle, (status) => status.step === 'monitor' && status.live);
    await handle.executeUpdate('rollBack', { args: [{ by: 'bob', acceptLoss: true }] });
    // The way back ends others' sessions, this look among them.
    const look = () => query(production, `select 1 from kirikae.claim where phase = 'emptied'`);
    await until(async () => (await look().catch(() => [])).length > 0);
    await handle.terminate();
    const again = await resetBeforeApproval(handle);
    await untilParked(again, 'emptied|restored');
    expect((await fetch(scene.migration.pageUrl)).status).toBe(503);
    await again.executeUpdate('retry', { args: [{ by: 'bob' }] });
    expect((await ending(again)).outcome).toBe('rolled-back');
  });
  await expectAsBefore();
});

test('a run that is reset to its very beginning takes no new backup, and retry restores what it dropped', async () => {
  await scene.layOut(manualSmoke);
  await withWorker(scene.migration, scene.server.namespace, async () => {
    const handle = await startRun(scene.server.client);
    await approve(handle);
    await untilStatus(handle, (status) => status.step === 'smoke' && status.waitingFor !== null);
    const again = await resetTo(handle, await firstWorkflowTask(handle));
    const parked = await untilStatus(again, (status) => status.parked);
    expect(parked.step).toBe('preflight');
    await again.executeUpdate('retry', { args: [{ by: 'bob' }] });
    expect((await ending(again)).outcome).toBe('rolled-back');
  });
  await expectAsBefore();
});

test.each([
  ['', true],
  [', also when its last activity removes the ledger after the reset', false],
])(
  'a run that is reset after it was restored and opened again keeps what users have written since%s',
  async (_when, ledgerStays) => {
    await scene.layOut((plan) => (plan.rollbackSmoke = []));
    scene.migration.health.status = 500;
    await withWorker(scene.migration, scene.server.namespace, async () => {
      const handle = await startRun(scene.server.client);
      await untilApproval(handle);
      // The ledger can't be removed while somebody reads it; a name like the run's own keeps the fence from ending the reader.
      const reader = new Client({
        connectionString: scene.migration.urls.production,
        application_name: 'kirikae test',
      });
      await reader.connect();
      await reader.query('begin; lock table kirikae.claim in access share mode');
      await approve(handle);
      await until(() => Promise.resolve(!existsSync(scene.migration.flagFile)));
      await withDatabase(scene.migration.urls.production, async (user) => {
        await user.query(`update "User" set name = 'written since'`);
        const waiting = `from pg_locks join pg_database d on d.oid = database
        where not granted and datname = current_database()`;
        await until(async () => (await user.query(`select ${waiting}`)).rows.length > 0);
        await handle.terminate();
        const again = await resetBeforeApproval(handle);
        if (ledgerStays) await user.query(`select pg_terminate_backend(pid) ${waiting}`);
        await reader.end();
        const ledger = `select 1 from pg_namespace where nspname = 'kirikae'`;
        await until(async () => (await user.query(ledger)).rows.length > 0 === ledgerStays);
        // Without a ledger the mirror tells how the run had ended, and nothing is asked.
        if (ledgerStays) {
          await untilParked(again, 'over');
          await again.executeUpdate('retry', { args: [{ by: 'bob' }] });
        }
        const { outcome, notes } = await ending(again);
        expect(outcome).toBe('rolled-back');
        expect(notes.join()).toContain('Production was brought back already and is open to its users');
        const { rows } = await user.query<{ name: string }>('select distinct name from "User"');
        expect(rows).toEqual([{ name: 'written since' }]);
      });
    });
    expect(await leftBehind(scene.migration)).toEqual([]);
  },
);

test('a run that is reset after its end closes as it had ended, without touching production', async () => {
  await scene.layOut();
  await withWorker(scene.migration, scene.server.namespace, async () => {
    const handle = await startRun(scene.server.client);
    await approve(handle);
    expect((await ending(handle)).outcome).toBe('migrated');
    const migrated = await contentOf(scene.migration.urls.production);
    const again = await resetBeforeApproval(handle);
    expect((await ending(again)).outcome).toBe('migrated');
    expect(await contentOf(scene.migration.urls.production)).toEqual(migrated);
  });
  expect(await problemsOf(scene.migration)).toEqual([]);
});

async function untilApproval(handle: WorkflowHandle) {
  return untilStatus(handle, (status) => status.step === 'approval' && status.waitingFor !== null);
}

/** Waits until the run has found that another Temporal run holds the ledger, at that phase. */
async function untilParked(handle: WorkflowHandle, phase: string): Promise<void> {
  const { waitingFor } = await untilStatus(handle, (status) => status.parked);
  expect(waitingFor).toMatch(new RegExp(`is held by the Temporal run \\S+ and is at phase (${phase}),`));
}

async function expectAsBefore(): Promise<void> {
  expect(await contentOf(scene.migration.urls.production)).toEqual(scene.before);
  expect(await leftBehind(scene.migration)).toEqual([]);
  expect(existsSync(scene.migration.flagFile)).toBe(false);
}

// A query needs a worker; the details the workflow left in its history don't.
async function fingerprintWithoutWorker(handle: WorkflowHandle): Promise<string> {
  return withWorker(
    scene.migration,
    scene.server.namespace,
    async () => (await untilApproval(handle)).backup?.fingerprint ?? '',
  );
}

async function firstWorkflowTask(handle: WorkflowHandle): Promise<number> {
  const { events } = await handle.fetchHistory();
  const task = (events ?? []).find((event) => event.workflowTaskCompletedEventAttributes);
  return Number(task?.eventId);
}

/** Resets to the workflow task that followed the sealed backup. */
async function resetBeforeApproval(handle: WorkflowHandle): Promise<WorkflowHandle> {
  const events = (await handle.fetchHistory()).events ?? [];
  const seal = events.find(
    (event) => event.activityTaskScheduledEventAttributes?.activityType?.name === 'sealBackup',
  );
  const sealed = events.findIndex(
    (event) => String(event.activityTaskCompletedEventAttributes?.scheduledEventId) === String(seal?.eventId),
  );
  const task = events.slice(sealed).find((event) => event.workflowTaskCompletedEventAttributes);
  return resetTo(handle, Number(task?.eventId));
}

async function resetTo(handle: WorkflowHandle, eventId: number): Promise<WorkflowHandle> {
  const { runId } = await scene.server.client.workflowService.resetWorkflowExecution({
    namespace: scene.server.namespace,
    workflowExecution: { workflowId: handle.workflowId },
    workflowTaskFinishEventId: eventId as never,
    requestId: `reset-${handle.workflowId}`,
    reason: 'test',
  });
  return scene.server.client.workflow.getHandle(handle.workflowId, runId);
}
