/** A namespace of its own with a worker that carries out scripted runs, for tests of the command line. */
import { randomUUID } from 'node:crypto';
import { heartbeat, Context } from '@temporalio/activity';
import { Client, Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { type Heartbeat, TASK_QUEUE, WORKFLOW_TYPE } from '../../src/contract';
import { testTemporal } from './environment';
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
  const { address } = testTemporal();
  const namespace = `cli-${randomUUID()}`;
  const connection = await Connection.connect({ address });
  await connection.workflowService.registerNamespace({
    namespace,
    workflowExecutionRetentionPeriod: msToTs('1 day'),
  });
  // The server learns of a new namespace with a delay.
  const client = new Client({ connection, namespace });
  for (;;) {
    try {
      await client.workflow.count();
      await client.workflowService.describeTaskQueue({ namespace, taskQueue: { name: TASK_QUEUE } });
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  await connection.close();
  return {
    namespace,
    env: { TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace, HOME: '/nonexistent' },
  };
}

export async function openScriptedRuns(): Promise<ScriptedRuns> {
  installQuietRuntime();
  const { address } = testTemporal();
  const { env, namespace } = await createNamespace();
  const native = await NativeConnection.connect({ address });
  const worker = await Worker.create({
    connection: native,
    namespace,
    taskQueue: TASK_QUEUE,
    workflowsPath: require.resolve('./scripted-workflow'),
    activities: { copyRows, failToConnect },
    maxHeartbeatThrottleInterval: '200ms',
  });
  const running = worker.run();
  const stopWorker = async () => {
    if (worker.getState() === 'RUNNING') worker.shutdown();
    await running;
  };
  const connection = await Connection.connect({ address });
  const client = new Client({ connection, namespace });
  return {
    client,
    env,
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
      await connection.close();
    },
  };
}

async function copyRows(): Promise<void> {
  const beat: Heartbeat = { step: 'backup', rows: 400, bytes: 4_000_000 };
  for (;;) {
    heartbeat(beat);
    await Context.current().sleep(200);
  }
}

function failToConnect(): Promise<void> {
  if (Context.current().info.attempt < 4) throw new Error('connect ECONNREFUSED 127.0.0.1:5432');
  return Context.current().sleep('1m');
}

let isQuiet = false;

// The failures are part of the scripts; the worker's warnings about them say nothing.
function installQuietRuntime(): void {
  if (!isQuiet) Runtime.install({ logger: new DefaultLogger('ERROR') });
  isQuiet = true;
}
