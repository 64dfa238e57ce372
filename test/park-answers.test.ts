/** What a parked way back takes for an answer: stand down, roll back with enough votes, and each only where it takes effect. */
import { randomUUID } from 'node:crypto';
import type { WorkflowHandle } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { TASK_QUEUE } from '../src/contract';
import type { answeredRun, Place } from './support/answered-workflow';
import { testTemporal } from './support/environment';
import { runUntil } from './support/migration';
import { openNamespace, type TestNamespace } from './support/namespace';

let server: TestNamespace;
let connection: NativeConnection;
let worker: Worker;
beforeAll(async () => {
  server = await openNamespace('answers');
  connection = await NativeConnection.connect({ address: testTemporal().address });
  worker = await Worker.create({
    connection,
    namespace: server.namespace,
    taskQueue: TASK_QUEUE,
    workflowsPath: require.resolve('./support/answered-workflow'),
  });
});
afterAll(async () => {
  await connection.close();
  await server.close();
});

const start = (place: Place): Promise<WorkflowHandle<typeof answeredRun>> =>
  server.client.workflow.start('answeredRun', {
    workflowId: `answered-${randomUUID()}`,
    taskQueue: TASK_QUEUE,
    args: [place],
  });

/** The answer of an update, or why it is refused. */
function say(handle: WorkflowHandle, name: string, more: object = {}): Promise<string> {
  const payload = { by: 'bob', ...more };
  return handle
    .executeUpdate<string, [object]>(name, { args: [payload] })
    .catch((error: unknown) => `refused: ${(error as { cause: Error }).cause.message}`);
}

test('each answer is taken where it takes effect, and refused elsewhere with what would make sense', async () => {
  await runUntil([worker], async () => {
    for (const phase of ['returning', 'aside'] as const) {
      const handle = await start({ phase, step: 'migrate', parked: true });
      expect(await say(handle, 'standDown')).toBe(
        'The way back is taken back: the run is again where it was.',
      );
      expect(await handle.result()).toBe('standDown');
    }
    for (const [place, refusal] of [
      [{ phase: 'aside', parked: false }, 'counts only while the way back is parked'],
      [{ phase: 'emptied', parked: true }, /too late: .* \(phase emptied\).* send retry/],
      [{ phase: 'restored', parked: true }, 'too late'],
      [{ phase: 'migrated', parked: true }, 'No way back is under way'],
      [{ phase: null, parked: false }, 'No way back is under way'],
    ] as const) {
      const handle = await start({ step: 'migrate', ...place });
      expect(await say(handle, 'standDown')).toMatch(refusal);
      await handle.terminate();
    }

    const asks = { step: 'migrate', parked: true, phase: 'returning', asksRollBack: true } as const;
    const back = await start(asks);
    expect(await say(back, 'rollBack')).toMatch(/^refused: .*"acceptLoss": true/);
    expect(await say(back, 'rollBack', { by: 'alice', acceptLoss: true })).toMatch(
      /^refused: alice requested/,
    );
    expect(await say(back, 'rollBack', { acceptLoss: true })).toBe('Roll back asked for by bob (1 of 2).');
    expect(await say(back, 'rollBack', { acceptLoss: true })).toMatch(
      /^refused: bob has asked for it already/,
    );
    expect(await say(back, 'rollBack', { by: 'carol', acceptLoss: true })).toContain('(2 of 2)');
    expect(await back.result()).toBe('rollBack');

    for (const place of [
      { ...asks, asksRollBack: false },
      { ...asks, asksRollBack: false, live: true, step: 'monitor' as const },
    ]) {
      const handle = await start(place);
      expect(await say(handle, 'rollBack', { acceptLoss: true })).toMatch(/^refused: rollBack is /);
      await handle.terminate();
    }
  });
});
