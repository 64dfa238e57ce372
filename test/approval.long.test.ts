/** Who may let a run drop production, when, and how it is said: from code and from Temporal's own command line. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import type { WorkflowHandle } from '@temporalio/client';
import type { Status } from '../src/contract';
import { stateOf } from '../lab/database-state';
import { until } from '../lab/stage';
import { testTemporal } from './support/environment';
import { statusOf, untilStatus, withWorker, type Migration } from './support/migration';
import { endOf, expectAsBefore, refusalOf, runToEnd, sceneForEach } from './support/way-back';

const scene = sceneForEach('approval');
let migration: Migration;

const awaited = (handle: WorkflowHandle) =>
  untilStatus(handle, ({ step, waitingFor }) => step === 'approval' && waitingFor !== null);

test('counts two different persons with the right fingerprint in the step approval, and nothing else', async () => {
  migration = await scene.layOut((plan) => {
    plan.approval = { minimum: 2, requesterMayApprove: false };
  });
  const ending = await runToEnd(scene, migration, async (handle) => {
    const guess = { by: 'bob', fingerprint: '0123456789abcdef01234567' };
    expect(await refusalOf(handle, 'approve', guess)).toMatch(
      /approve counts only while the step approval waits: the run is in step \w+/,
    );
    const { backup, waitingFor } = await awaited(handle);
    const fingerprint = backup?.fingerprint ?? '';
    expect(fingerprint).not.toBe('');
    expect(waitingFor).toContain('2 approvals by different persons');
    expect(waitingFor).toContain(fingerprint);

    expect(await refusalOf(handle, 'approve', guess)).toContain(
      `The fingerprint "${guess.fingerprint}" is not the one of this run's backup, ${fingerprint}.`,
    );
    expect(await refusalOf(handle, 'reject', guess)).toContain('is not the one of this run');
    await handle.signal('approve', guess);
    const noted = (status: Status) =>
      status.notes.some((note) => note.startsWith('The signal approve was ignored: The fingerprint'));
    await untilStatus(handle, noted);
    expect(await refusalOf(handle, 'approve', { fingerprint })).toMatch(/approve needs the payload/);
    expect(await refusalOf(handle, 'approve', { by: ' Alice', fingerprint })).toMatch(
      /requested this run and may not approve it .* Somebody else must approve/,
    );

    expect(await refusalOf(handle, 'approve', { by: 'bob', fingerprint })).toBe('accepted');
    expect(await refusalOf(handle, 'approve', { by: 'bob', fingerprint })).toMatch(
      /bob has approved already; 2 different persons must/,
    );
    expect(await statusOf(handle)).toMatchObject({ step: 'approval', outcome: null });
    expect(await refusalOf(handle, 'approve', { by: 'carol', fingerprint })).toBe('accepted');
    expect(await refusalOf(handle, 'approve', { by: 'dave', fingerprint })).toMatch(
      /approve counts only while the step approval waits/,
    );
  });
  expect(ending).toMatchObject({ closed: 'COMPLETED', status: { outcome: 'migrated' } });
});

test('completes as rejected with production as before when a person rejects', async () => {
  migration = await scene.layOut();
  const before = await stateOf(migration.production.url);
  const ending = await runToEnd(scene, migration, async (handle) => {
    const { backup } = await awaited(handle);
    const reject = { by: 'bob', fingerprint: backup?.fingerprint, note: 'too few rows' };
    expect(await refusalOf(handle, 'reject', reject)).toBe('accepted');
  });
  expect(ending).toMatchObject({
    closed: 'COMPLETED',
    status: { outcome: 'rejected', parked: false, live: false },
  });
  expect(ending.status.notes).toContain('bob rejected the reset: too few rows.');
  await expectAsBefore(migration, before);
  expect(migration.log()).toEqual([]);
});

test('completes as rejected with production as before when nobody approves in time', async () => {
  migration = await scene.layOut((plan) => {
    plan.approval = { timeout: '1s' };
  });
  const before = await stateOf(migration.production.url);
  const ending = await runToEnd(scene, migration);
  expect(ending).toMatchObject({
    closed: 'COMPLETED',
    status: { outcome: 'rejected', parked: false, live: false },
  });
  expect(ending.status.notes.join('\n')).toMatch(/No approval came within 1 s/);
  await expectAsBefore(migration, before);
});

test('is started, watched and approved with nothing but the Temporal command line', async () => {
  migration = await scene.layOut();
  const id = `by-hand-${randomUUID()}`;
  const ending = await withWorker(migration, scene.namespace, async () => {
    const input = '{"plan":"tumiki","requestedBy":"alice","checklist":["Window announced"]}';
    const started = await temporal(
      ...['workflow', 'start', '--type', 'offlineMigration', '--task-queue', 'offline-migration'],
      ...['--workflow-id', id, '--input', input],
    );
    expect(started.code).toBe(0);
    let status: Status | undefined;
    await until(async () => {
      const asked = await temporal(
        'workflow',
        'query',
        '--workflow-id',
        id,
        '--name',
        'status',
        '-o',
        'json',
      );
      status = (JSON.parse(asked.out) as { queryResult: Status[] }).queryResult[0];
      return status?.step === 'approval' && status.waitingFor !== null;
    });
    const approval = (fingerprint?: string) => JSON.stringify({ by: 'bob', fingerprint });
    const refused = await temporal(
      ...['workflow', 'update', 'execute', '--workflow-id', id, '--name', 'approve'],
      ...['--input', approval('wrong')],
    );
    expect(refused.code).not.toBe(0);
    expect(refused.out).toContain('The fingerprint "wrong" is not the one of this run');
    const signalled = await temporal(
      ...['workflow', 'signal', '--workflow-id', id, '--name', 'approve'],
      ...['--input', approval(status?.backup?.fingerprint)],
    );
    expect(signalled.code).toBe(0);
    return endOf(scene.client.workflow.getHandle(id));
  });
  expect(ending).toMatchObject({ closed: 'COMPLETED', status: { outcome: 'migrated' } });
});

async function temporal(...args: string[]): Promise<{ code: number; out: string }> {
  const { address, cli } = testTemporal();
  return new Promise((resolve) => {
    execFile(cli, [...args, '--address', address, '--namespace', scene.namespace], (error, stdout, stderr) =>
      resolve({ code: error ? 1 : 0, out: error ? `${stdout}${stderr}` : stdout }),
    );
  });
}
