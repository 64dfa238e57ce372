/** Workers that are killed or frozen in the middle of a copy or a command: another one ends the run, and every row is right. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { contentOf, leftovers } from '../lab/database-state';
import { until, type WorkerProcess } from '../lab/stage';
import { openNamespace, type TestNamespace } from './support/namespace';
import type { TestDatabase } from './support/environment';
import { shutGate } from './support/gate';
import { layOutGated, makeGatedTemplate } from './support/gated-migration';
import { type Migration, approve, ending, problemsOf, startRun, untilStatus } from './support/migration';
import { startWorkerProcess } from './support/worker-process';

jest.setTimeout(240_000);

let template: TestDatabase;
let server: TestNamespace;
let migration: Migration;
let workers: WorkerProcess[] = [];

beforeAll(async () => {
  template = await makeGatedTemplate(30);
});
afterAll(async () => {
  await template.drop();
});
// A namespace of its own for each test: a worker that a failing test left behind takes no work of the next.
beforeEach(async () => {
  server = await openNamespace('kill');
});
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.kill()));
  workers = [];
  await server.close();
  await migration.drop();
});

test('a worker killed in the middle of the backup is replaced, and every row arrives once', async () => {
  migration = await layOutGated(template.name);
  const gate = await shutGate(migration.urls.backup);
  const first = await startWorker();
  const handle = await startRun(server.client);
  await gate.reached();
  await first.kill();
  await startWorker();
  await gate.open();
  await approve(handle);
  expect((await ending(handle)).outcome).toBe('migrated');
  expect(await problemsOf(migration)).toEqual([]);
  expect(await attemptsOf(handle, 'copyGroup')).toContain(2);
});

test('a worker killed in the middle of the migration is replaced, and every row arrives once', async () => {
  migration = await layOutGated(template.name);
  const first = await startWorker();
  const handle = await startRun(server.client);
  await untilApproval(handle);
  const gate = await shutGate(migration.urls.production);
  await approve(handle);
  await gate.reached();
  await first.kill();
  await startWorker();
  await gate.open();
  expect((await ending(handle)).outcome).toBe('migrated');
  expect(await problemsOf(migration)).toEqual([]);
  expect(await attemptsOf(handle, 'copyGroup')).toContain(2);
});

test('a worker killed in the middle of a restore is replaced, and production is what it was before', async () => {
  migration = await layOutGated(template.name, (plan) => {
    plan.smoke = [{ name: 'Looks right', kind: 'manual' }];
  });
  const before = await contentOf(migration.urls.production);
  const first = await startWorker();
  const handle = await startRun(server.client);
  await approve(handle);
  await untilStatus(handle, (status) => status.step === 'smoke' && status.waitingFor !== null);
  const gate = await shutGate(migration.urls.production);
  await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: false }] });
  await gate.reached();
  await first.kill();
  await startWorker();
  await gate.open();
  const status = await ending(handle);
  expect(status.outcome).toBe('rolled-back');
  expect(await contentOf(migration.urls.production)).toEqual(before);
  expect(await leftovers(migration)).toEqual([]);
  expect(existsSync(migration.flagFile)).toBe(false);
  expect(migration.log()).toEqual(['manager new', 'proxy new', 'proxy old', 'manager old']);
});

test('a worker that was frozen while another took over writes nothing more when it wakes', async () => {
  migration = await layOutGated(template.name);
  const frozen = await startWorker();
  const handle = await startRun(server.client);
  await untilApproval(handle);
  const gate = await shutGate(migration.urls.production);
  await approve(handle);
  await gate.reached();
  const before = await gate.waitingPid();
  frozen.freeze();
  await startWorker();
  // The successor ends the sleeper's session and stands before the gate itself.
  await until(async () => {
    const pid = await gate.waitingPid();
    return pid !== undefined && pid !== before;
  });
  const said = frozen.log().length;
  frozen.wake();
  await until(() =>
    Promise.resolve(/Activity failed|Activity completed as cancelled/.test(frozen.log().slice(said))),
  );
  await gate.open();
  expect((await ending(handle)).outcome).toBe('migrated');
  expect(await problemsOf(migration)).toEqual([]);
});

test('what a killed worker left of a deploy command is ended before the command starts again', async () => {
  const files = (name: string) => path.join(migration.folder, name);
  // First start: a child of its own writes ticks for ever. Second start: notes how many there are, and ends well.
  const script = `
    const fs = require('fs');
    if (!fs.existsSync('ticks')) {
      fs.writeFileSync('ticks', '');
      require('child_process').spawn(process.execPath, ['-e', "setInterval(() => require('fs').appendFileSync('ticks', '.'), 20)"]);
      setInterval(() => {}, 1000);
    } else fs.writeFileSync('second', String(fs.statSync('ticks').size));`;
  migration = await layOutGated(template.name, (plan) => {
    plan.deploy = [{ name: 'manager', run: ['node', '-e', script] }];
  });
  const first = await startWorker();
  const handle = await startRun(server.client);
  await approve(handle);
  const size = () => (existsSync(files('ticks')) ? statSync(files('ticks')).size : 0);
  await until(() => Promise.resolve(size() > 3));
  await first.kill();
  const left = size();
  await until(() => Promise.resolve(size() > left));
  await startWorker();
  expect((await ending(handle)).outcome).toBe('migrated');
  expect(size()).toBe(Number(readFileSync(files('second'), 'utf8')));
  expect(await problemsOf(migration)).toEqual([]);
});

async function startWorker(): Promise<WorkerProcess> {
  const worker = await startWorkerProcess(migration, server.namespace);
  workers.push(worker);
  return worker;
}

async function untilApproval(handle: WorkflowHandle): Promise<void> {
  await untilStatus(handle, (status) => status.step === 'approval' && status.waitingFor !== null);
}

async function attemptsOf(handle: WorkflowHandle, activity: string): Promise<number[]> {
  const { events } = await handle.fetchHistory();
  const scheduled = new Map(
    (events ?? []).map((event) => [
      String(event.eventId),
      event.activityTaskScheduledEventAttributes?.activityType?.name,
    ]),
  );
  return (events ?? []).flatMap(({ activityTaskStartedEventAttributes: started }) =>
    started && scheduled.get(String(started.scheduledEventId)) === activity ? [started.attempt ?? 0] : [],
  );
}
