/** How the workflow calls activities: which queue, which patience. The types keep what needs the host from any other queue. */
import { ActivityCancellationType, proxyActivities, workflowInfo } from '@temporalio/workflow';
import type { CopyActivities, DatabaseActivities, HostActivities } from '../activities';
import { copyQueueOf } from '../src/contract';

// Only outages are retryable (activities say so themselves), and they last as long as they last. A heartbeat comes every
// second; a worker that is silent for ten is taken for dead. Cancelling waits until the activity has really stopped.
const patient = {
  startToCloseTimeout: '7 days',
  heartbeatTimeout: '10s',
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  retry: { initialInterval: '1s', backoffCoefficient: 1.5, maximumInterval: '15s' },
} as const;

/** Activities on the databases. */
export const database = proxyActivities<DatabaseActivities>(patient);

/** Activities on the databases that are given up after a while. */
export function within(patienceMs: number) {
  return proxyActivities<DatabaseActivities>({ ...patient, scheduleToCloseTimeout: patienceMs });
}

/** Before anything is changed an outage is a finding, not something to wait for. */
export const early = proxyActivities<DatabaseActivities>({ ...patient, retry: { maximumAttempts: 3 } });

/**
 * Copying a group of parts, by whichever worker has a slot free. Eager dispatch would give every new group to the worker that
 * finished the workflow task, while others idle.
 */
export function copying() {
  const taskQueue = copyQueueOf(workflowInfo().taskQueue);
  return proxyActivities<CopyActivities>({ ...patient, taskQueue, allowEagerDispatch: false });
}

/** Activities on the host of the plan: its own queue where the plan names one. */
export function hostOf(queue: string | null) {
  return proxyActivities<HostActivities>(queue === null ? patient : { ...patient, taskQueue: queue });
}

/** As `hostOf`, with the short patience of preflight. */
export function earlyHostOf(queue: string | null) {
  const short = { ...patient, scheduleToStartTimeout: '15s', retry: { maximumAttempts: 2 } } as const;
  return proxyActivities<HostActivities>(queue === null ? short : { ...short, taskQueue: queue });
}
