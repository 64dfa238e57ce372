/** A namespace of its own with a worker that carries out scripted runs, for tests of the command line. */
import { randomUUID } from 'node:crypto';
import { heartbeat, Context } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { type Heartbeat, TASK_QUEUE, WORKFLOW_TYPE } from '../../src/contract';
import { testTemporal } from './environment';
import { openNamespace } from './namespace';
import type { Script } from './scripted-workflow';

export interface ScriptedRuns {
  client: Client;
  /** What the command line needs to find the namespace. */
  env: NodeJS.ProcessEnv;
  /** Starts a scripted run; returns its workflow ID. */
  start(script: Script): Promise<string>;
  /** Updates a run has accepted. */
  heard(id: string): Promise<unknown[]>;
  stopWorker(): Promise<void>;
  close(): Promise<void>;
}

/** The command line's environment for a namespace that exists but that nobody works for. */
export async function createNamespace(): Promise<{ env: NodeJS.ProcessEnv; namespace: string }> {
  const { namespace, close } = await openNamespace('cli');
  await close();
  return { env: environmentFor(namespace), namespace };
}

function environmentFor(namespace: string): NodeJS.ProcessEnv {
  return {
    TEMPORAL_ADDRESS: testTemporal().address,
    TEMPORAL_NAMESPACE: namespace,
    HOME: '/nonexistent',
  };
}

export async function openScriptedRuns(): Promise<ScriptedRuns> {
  const { client, namespace, close } = await openNamespace('cli');
  const native = await NativeConnection.connect({ address: testTemporal().address });
  const worker = await Worker.create({
    connection: native,
    namespace,
    taskQueue: TASK_QUEUE,
    workflowsPath: require.resolve('./scripted-workflow'),
    activities: { copyRows, failToConnect, waitForStandby },
    maxHeartbeatThrottleInterval: '200ms',
  });
  const running = worker.run();
  const stopWorker = async () => {
    if (worker.getState() === 'RUNNING') worker.shutdown();
    await running;
  };
  return {
    client,
    env: environmentFor(namespace),
    async start(script) {
      const workflowId = `scripted-${randomUUID()}`;
      await client.workflow.start(WORKFLOW_TYPE, {
        workflowId,
        taskQueue: TASK_QUEUE,
        args: [{ plan: 'tumiki', requestedBy: 'alice' }],
        memo: { script },
      });
      return workflowId;
    },
    heard: (id) => client.workflow.getHandle(id).query<unknown[]>('heard'),
    stopWorker,
    async close() {
      for await (const run of client.workflow.list({ query: `ExecutionStatus = 'Running'` })) {
        await client.workflow.getHandle(run.workflowId).terminate();
      }
      await stopWorker();
      await native.close();
      await close();
    },
  };
}

function copyRows(): Promise<void> {
  return beatWith({ step: 'backup', rows: 400, bytes: 4_000_000 });
}

// It counts nothing, as what makes a transition.
function waitForStandby(): Promise<void> {
  return beatWith({ outage: { error: '"commit" waits for a standby.', since: '2026-01-02T03:04:05.000Z' } });
}

async function beatWith(beat: Heartbeat): Promise<void> {
  for (;;) {
    heartbeat(beat);
    await Context.current().sleep(200);
  }
}

function failToConnect(): Promise<void> {
  if (Context.current().info.attempt < 4) throw new Error('connect ECONNREFUSED 127.0.0.1:5432');
  return Context.current().sleep('1m');
}
