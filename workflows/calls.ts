/** How the workflow calls activities: which queue, which patience. The types keep what needs the host from any other queue. */
import { ActivityCancellationType, proxyActivities } from '@temporalio/workflow';
import type { DatabaseActivities, HostActivities } from '../activities';

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

/** Before anything is changed an outage is a finding, not something to wait for. */
export const early = proxyActivities<DatabaseActivities>({ ...patient, retry: { maximumAttempts: 3 } });

/** Activities on the host of the plan: its own queue where the plan names one. */
export function hostOf(queue: string | null) {
  return proxyActivities<HostActivities>(queue === null ? patient : { ...patient, taskQueue: queue });
}

/** As `hostOf`, with the short patience of preflight. */
export function earlyHostOf(queue: string | null) {
  const short = { ...patient, scheduleToStartTimeout: '15s', retry: { maximumAttempts: 2 } } as const;
  return proxyActivities<HostActivities>(queue === null ? short : { ...short, taskQueue: queue });
}
