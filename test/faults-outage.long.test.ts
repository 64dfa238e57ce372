/** PostgreSQL ends sessions, shuts down or crashes under a run: an outage is waited out, and every row is right. */
import type { WorkflowHandle } from '@temporalio/client';
import { startPostgres, type PostgresServer } from '../tools/postgres';
import { contentOf, leftovers } from '../lab/database-state';
import { until } from '../lab/stage';
import { openNamespace, type TestNamespace } from './support/namespace';
import { type TestDatabase, onServer } from './support/environment';
import { shutGate } from './support/gate';
import { layOutGated, makeGatedTemplate } from './support/gated-migration';
import {
  type Migration,
  approve,
  ending,
  problemsOf,
  startRun,
  statusOf,
  untilStatus,
  withWorker,
} from './support/migration';

let postgres: PostgresServer;
jest.setTimeout(240_000);

let template: TestDatabase;
let server: TestNamespace;
let migration: Migration;

beforeAll(async () => {
  // A cluster of this suite's own: the shared one may not be ended.
  postgres = await startPostgres();
  process.env.KIRIKAE_TEST_POSTGRES_PORT = String(postgres.port);
  process.env.KIRIKAE_TEST_POSTGRES_PASSWORD = postgres.password;
  template = await makeGatedTemplate(30);
});
afterAll(async () => {
  await postgres.stop();
});
// A namespace of its own for each test: a worker that a failing test left behind takes no work of the next.
beforeEach(async () => {
  server = await openNamespace('outage');
});
afterEach(async () => {
  await server.close();
  await migration.drop();
});

test('sessions that are ended again and again in the middle of the migration are taken up, and every row arrives once', async () => {
  migration = await layOutGated(template.name);
  const status = await withWorker(migration, server.namespace, async () => {
    const handle = await startRun(server.client);
    await untilApproval(handle);
    const gate = await shutGate(migration.urls.production);
    await approve(handle);
    for (let round = 0; round < 3; round++) {
      await gate.reached();
      const pid = await gate.waitingPid();
      await onServer(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where application_name like 'kirikae %' and application_name not like 'kirikae gate%'`,
      );
      await until(async () => (await gate.waitingPid()) !== pid);
    }
    await gate.reached();
    await gate.open();
    return ending(handle);
  });
  expect(status.outcome).toBe('migrated');
  expect(await problemsOf(migration)).toEqual([]);
});

test.each(['kill', 'shutDown'] as const)(
  'a server that is gone (%s) in the middle of the migration is waited for, and every row arrives once',
  async (how) => {
    migration = await layOutGated(template.name);
    const status = await withWorker(migration, server.namespace, async () => {
      const handle = await startRun(server.client);
      await untilApproval(handle);
      const gate = await shutGate(migration.urls.production);
      await approve(handle);
      await gate.reached();
      await postgres[how]();
      await untilRetried(handle);
      expect((await statusOf(handle)).parked).toBe(false);
      await postgres.start();
      return ending(handle);
    });
    expect(status.outcome).toBe('migrated');
    expect(await problemsOf(migration)).toEqual([]);
  },
);

test('a server that is gone in the middle of a restore is waited for, and production is what it was before', async () => {
  migration = await layOutGated(template.name, (plan) => {
    plan.smoke = [{ name: 'Looks right', kind: 'manual' }];
  });
  const before = await contentOf(migration.urls.production);
  const status = await withWorker(migration, server.namespace, async () => {
    const handle = await startRun(server.client);
    await approve(handle);
    await untilStatus(handle, ({ step, waitingFor }) => step === 'smoke' && waitingFor !== null);
    const gate = await shutGate(migration.urls.production);
    await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: false }] });
    await gate.reached();
    await postgres.kill();
    await untilRetried(handle);
    await postgres.start();
    return ending(handle);
  });
  expect(status.outcome).toBe('rolled-back');
  expect(await contentOf(migration.urls.production)).toEqual(before);
  expect(await leftovers(migration)).toEqual([]);
});

test('before the reset a server that is gone for longer than an approval is waited for: told, given up, and production untouched', async () => {
  migration = await layOutGated(template.name, (plan) => {
    plan.approval = { timeout: '8s' };
    plan.patience = '1s';
  });
  const before = await contentOf(migration.urls.production);
  const status = await withWorker(migration, server.namespace, async () => {
    const handle = await startRun(server.client);
    await untilStatus(handle, ({ step }) => step === 'maintenanceOn');
    await postgres.kill();
    const told = await untilStatus(handle, ({ waitingFor }) => waitingFor !== null);
    expect(told.waitingFor).toMatch(/^the end of an outage\. No progress since \S+Z: .*ECONNREFUSED/);
    await untilStatus(handle, ({ nextAction }) => nextAction.includes('way back runs by itself'));
    await postgres.start();
    return ending(handle);
  });
  expect(status.outcome).toBe('rolled-back');
  expect(status.notes.join()).toMatch(/No progress since .*The step \w+ failed/s);
  expect(await contentOf(migration.urls.production)).toEqual(before);
  expect(await leftovers(migration)).toEqual([]);
});

async function untilApproval(handle: WorkflowHandle): Promise<void> {
  await untilStatus(handle, (status) => status.step === 'approval' && status.waitingFor !== null);
}

/** Waits until an activity has failed and is being tried again. */
async function untilRetried(handle: WorkflowHandle): Promise<void> {
  await until(async () => (await pending(handle)).some((activity) => Number(activity.attempt) > 2));
}

async function pending(handle: WorkflowHandle) {
  return (await handle.describe()).raw.pendingActivities ?? [];
}
