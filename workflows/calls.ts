/** How the workflow calls activities: which queue, which patience. The types keep what needs the host from any other queue. */
import {
  ActivityCancellationType,
  AsyncLocalStorage,
  proxyActivities,
  workflowInfo,
  type ActivityFunction,
  type ActivityInterfaceFor,
  type UntypedActivities,
} from '@temporalio/workflow';
import type { CopyActivities, DatabaseActivities, HostActivities } from '../activities';
import { copyQueueOf } from '../src/contract';
import { longOutageOf, type LongOutage } from './failures';

// Only outages are retryable (activities say so themselves), and they last as long as they last. A heartbeat comes every
// second; a worker that is silent for ten is taken for dead. Cancelling waits until the activity has really stopped.
const patient = {
  startToCloseTimeout: '7 days',
  heartbeatTimeout: '10s',
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  retry: { initialInterval: '1s', backoffCoefficient: 1.5, maximumInterval: '15s' },
} as const;

/** What is done about an outage that lasts. */
export interface Patience {
  /** Called for each further while that it lasts. @throws what gives the call up; else it is made again */
  bear: (outage: LongOutage) => Promise<void>;
  /** The call has succeeded after all. */
  end: () => void;
}

/** The patience of the workflow, or of what goes on beside its steps. Without one a long outage is a failure like any other. */
export const patience = new AsyncLocalStorage<Patience>();

// What begins so soon after the last failure is the same outage.
const sameOutageMs = 60_000;

/** The same activities, called again for as long as an outage is borne. */
function bearing<A extends UntypedActivities>(activities: ActivityInterfaceFor<A>): ActivityInterfaceFor<A> {
  const again = async <T>(call: () => Promise<T>): Promise<T> => {
    let borne: { sinceMs: number; untilMs: number } | null = null;
    for (;;) {
      try {
        const result = await call();
        if (borne) patience.getStore()?.end();
        return result;
      } catch (error) {
        const outage = longOutageOf(error);
        const store = patience.getStore();
        if (!outage || !store) throw error;
        // An activity that is scheduled anew knows of its own attempts only.
        if (borne && outage.sinceMs - borne.untilMs < sameOutageMs)
          outage.sinceMs = Math.min(outage.sinceMs, borne.sinceMs);
        borne = { sinceMs: outage.sinceMs, untilMs: Date.now() };
        await store.bear(outage);
      }
    }
  };
  type Call = ActivityFunction & {
    executeWithOptions: (options: object, args: unknown[]) => Promise<unknown>;
  };
  return new Proxy(activities, {
    get(target, name) {
      const call = target[name as keyof typeof target] as unknown as Call;
      const executeWithOptions = (options: object, args: unknown[]) =>
        again(() => call.executeWithOptions(options, args));
      return Object.assign((...args: unknown[]) => again(() => call(...args)), { executeWithOptions });
    },
  });
}

/** Activities on the databases. */
export const database = bearing(proxyActivities<DatabaseActivities>(patient));

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
  return bearing(proxyActivities<CopyActivities>({ ...patient, taskQueue, allowEagerDispatch: false }));
}

/** Activities on the host of the plan: its own queue where the plan names one. */
export function hostOf(queue: string | null) {
  return bearing(
    proxyActivities<HostActivities>(queue === null ? patient : { ...patient, taskQueue: queue }),
  );
}

/** As `hostOf`, with the short patience of preflight. */
export function earlyHostOf(queue: string | null) {
  const short = { ...patient, scheduleToStartTimeout: '15s', retry: { maximumAttempts: 2 } } as const;
  return proxyActivities<HostActivities>(queue === null ? short : { ...short, taskQueue: queue });
}
