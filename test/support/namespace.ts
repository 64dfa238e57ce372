/** A Temporal namespace of a suite's own, so that suites beside each other don't share a queue. */
import { randomBytes } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { until } from '../../lab/stage';
import { TASK_QUEUE } from '../../src/contract';
import { testTemporal } from './environment';

export interface TestNamespace {
  client: Client;
  connection: Connection;
  namespace: string;
  close: () => Promise<void>;
}

/** Makes the namespace and a client for it. */
export async function openNamespace(name: string): Promise<TestNamespace> {
  const connection = await Connection.connect({ address: testTemporal().address });
  const namespace = `${name}-${process.pid}-${randomBytes(6).toString('hex')}`;
  await connection.workflowService.registerNamespace({
    namespace,
    workflowExecutionRetentionPeriod: msToTs('1 day'),
  });
  const client = new Client({ connection, namespace });
  // The server learns of a new namespace with a delay.
  await until(() =>
    client.workflow
      .count()
      .then(() => client.workflowService.describeTaskQueue({ namespace, taskQueue: { name: TASK_QUEUE } }))
      .then(
        () => true,
        () => false,
      ),
  );
  return { client, connection, namespace, close: () => connection.close() };
}
