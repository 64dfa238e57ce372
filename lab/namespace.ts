/** A Temporal namespace of its own, so that what runs beside each other doesn't share a queue. */
import { randomBytes } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { TASK_QUEUE } from '../src/contract';
import { until } from './stage';

export interface Namespace {
  client: Client;
  connection: Connection;
  namespace: string;
  close: () => Promise<void>;
}

/** Makes the namespace and a client for it. */
export async function openNamespaceAt(address: string, name: string): Promise<Namespace> {
  const connection = await Connection.connect({ address });
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
