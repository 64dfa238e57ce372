/** The connection to Temporal: where it is, and asking it within a time limit. */
import { setTimeout as wait } from 'node:timers/promises';
import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { TASK_QUEUE } from '../src/contract';
import { UsageError, sentence } from '../src/errors';
import { Unanswered, explainServerError, grpc, grpcCode, noServer } from './failures';
import type { Io } from './terminal';

// Together they stay under the 15 s in which a missing server or worker must be named.
const connectTimeoutMs = 5_000;
const answerTimeoutMs = 6_000;
const lookTimeoutMs = 2_500;

// A worker asks for work at least once a minute; one that was seen longer ago is gone.
const pollerAgeMs = 80_000;

export interface Temporal {
  client: Client;
  address: string;
  namespace: string;
}

/**
 * Connects as the environment and Temporal's profiles say (default localhost:7233), and closes the connection after use.
 * @throws Unanswered when no server is there, UsageError when the profile can't be read
 */
export async function withTemporal<T>(io: Io, use: (temporal: Temporal) => Promise<T>): Promise<T> {
  const { connectionOptions, namespace } = readProfile(io);
  const where = { address: connectionOptions.address ?? 'localhost:7233', namespace: namespace ?? 'default' };
  const connection = Connection.lazy({
    ...connectionOptions,
    address: where.address,
    connectTimeout: connectTimeoutMs,
  });
  try {
    await connection.ensureConnected();
  } catch (error) {
    await connection.close();
    const explained = explainServerError(error, where);
    throw explained === error ? noServer(where) : explained;
  }
  try {
    return await use({ client: new Client({ connection, namespace: where.namespace }), ...where });
  } catch (error) {
    throw explainServerError(error, where);
  } finally {
    await connection.close();
  }
}

/** Asks the server for something that it answers by itself. @throws Unanswered when it doesn't in time */
export async function askServer<T>(
  temporal: Temporal,
  ask: () => Promise<T>,
  timeoutMs = answerTimeoutMs,
): Promise<T> {
  const answer = await answerWithin(temporal, timeoutMs, ask);
  if (answer.kind === 'late') throw noServer(temporal);
  return answer.value;
}

/**
 * Asks the server for something that a worker must answer (a query, an update).
 * @throws Unanswered with a sentence that says whether a worker polls the queue at all
 */
export async function askWorker<T>(
  temporal: Temporal,
  workflowId: string,
  ask: () => Promise<T>,
): Promise<T> {
  const answer = await answerWithin(temporal, answerTimeoutMs, ask);
  if (answer.kind === 'answered') return answer.value;
  if (!(await isPolled(temporal))) throw noWorker(temporal);
  throw new Unanswered(
    `The run ${workflowId} did not answer within ${answerTimeoutMs / 1000} s although a worker polls "${TASK_QUEUE}". Look at the worker's log and at the run in Temporal's UI, then try again.`,
  );
}

/** Refuses to go on when nobody would carry out a new run. @throws Unanswered */
export async function requireWorker(temporal: Temporal): Promise<void> {
  if (!(await isPolled(temporal))) throw noWorker(temporal);
}

export function noWorker(temporal: Temporal): Unanswered {
  return new Unanswered(
    `No worker polls ${TASK_QUEUE} in namespace "${temporal.namespace}" at ${temporal.address}: start one with kirikae worker, then run this command again.`,
  );
}

type Answer<T> = { kind: 'answered'; value: T } | { kind: 'late' };

async function answerWithin<T>(
  temporal: Temporal,
  timeoutMs: number,
  ask: () => Promise<T>,
): Promise<Answer<T>> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Answer<T>>((resolve) => {
    timer = setTimeout(() => resolve({ kind: 'late' }), timeoutMs + 300);
  });
  const asked = temporal.client.connection
    .withDeadline(Date.now() + timeoutMs, ask)
    .then((value): Answer<T> => ({ kind: 'answered', value }));
  try {
    return await Promise.race([asked, late]);
  } catch (error) {
    if (isLate(error)) return { kind: 'late' };
    if (error instanceof WorkflowNotFoundError) throw error;
    throw explainServerError(error, temporal);
  } finally {
    clearTimeout(timer);
    asked.catch(() => undefined);
  }
}

// An update's own time-out hides the gRPC code behind a class of its own.
function isLate(error: unknown): boolean {
  const code = grpcCode(error);
  return (
    code === grpc.deadlineExceeded ||
    code === grpc.cancelled ||
    (error instanceof Error && error.name === 'WorkflowUpdateRPCTimeoutOrCancelledError') ||
    (code === grpc.failedPrecondition && /poller|worker/i.test(sentence(error)))
  );
}

// A server with several partitions may not know of a poller at once: ask a few times before saying no.
async function isPolled(temporal: Temporal): Promise<boolean> {
  const until = Date.now() + lookTimeoutMs;
  do {
    for (const taskQueueType of [1, 2]) {
      const queue = await askServer(
        temporal,
        () =>
          temporal.client.workflowService.describeTaskQueue({
            namespace: temporal.namespace,
            taskQueue: { name: TASK_QUEUE },
            taskQueueType,
          }),
        lookTimeoutMs,
      );
      const seen = (queue.pollers ?? []).map((poller) => Number(poller.lastAccessTime?.seconds ?? 0) * 1000);
      if (seen.some((seenMs) => Date.now() - seenMs < pollerAgeMs)) return true;
    }
    await wait(500);
  } while (Date.now() < until);
  return false;
}

function readProfile(io: Io) {
  try {
    const overrideEnvVars = Object.fromEntries(
      Object.entries(io.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
    );
    return loadClientConnectConfig({ overrideEnvVars });
  } catch (error) {
    throw new UsageError([
      `The Temporal connection settings can't be read: ${sentence(error)}. Correct the profile or the TEMPORAL_* variables.`,
    ]);
  }
}
