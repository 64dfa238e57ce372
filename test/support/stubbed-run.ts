/** A run without databases: the real workflow on a Temporal server, with activities that act on a stubbed world. */
import { randomUUID } from 'node:crypto';
import { Context } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker } from '@temporalio/worker';
import type { Activities, PlanOutline } from '../../activities';
import { copyQueueOf, WORKFLOW_TYPE, type MigrationInput } from '../../src/contract';
import { timeSkippingServerPath, workflowBundlePath } from './environment';
import { stubbedActivities, type Did } from './stubbed-activities';
import { StubWorld } from './stub-world';
import { runUntil } from './talk';

export { failure } from './stub-world';

/** What the stubs remember, and every call in order. */
export interface Stubs {
  calls: string[];
  world: StubWorld;
  /** Errors that the next calls of that description throw, first to last; before anything is done. */
  failures: Record<string, Error[]>;
  /** Errors that the next calls of that description throw when all is done: answers that are lost. */
  lost: Record<string, Error[]>;
  /** Replaces an activity's answer; called after it has acted. */
  replace: { [N in keyof Activities]?: (...args: Parameters<Activities[N]>) => unknown };
  /** How often the way back from `live` was begun. */
  rollBacks: number;
  /** What watching the page does; at once over unless a test says otherwise, since time skips nothing while an activity runs. */
  watchPage: () => Promise<void> | void;
  plan: PlanOutline;
  /** Part groups of a copy, all under way at a time. */
  lanes: number;
}

/** The time-skipping server of a suite. */
export function openTimeSkipping(): Promise<TestWorkflowEnvironment> {
  return TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path: timeSkippingServerPath() } },
  });
}

export function makeStubs(plan: Partial<PlanOutline> = {}): Stubs {
  const stubs: Stubs = {
    calls: [],
    world: new StubWorld(),
    failures: {},
    lost: {},
    replace: {},
    rollBacks: 0,
    watchPage: () => undefined,
    lanes: 1,
    plan: {
      name: 'small',
      hash: 'h1',
      parts: { databases: 'd1', 'the mapping': 'm1' },
      hostQueue: null,
      checklist: [],
      approval: { minimum: 1, timeoutMs: 7_200_000, requesterMayApprove: true },
      productionDatabase: 'shop',
      backupDatabase: 'shop_backup',
      deploys: [
        { name: 'manager', timeoutMs: 60_000, hasRollback: true },
        { name: 'proxy', timeoutMs: 60_000, hasRollback: true },
      ],
      smoke: [{ name: 'API', kind: 'http' }],
      rollbackSmoke: [{ name: 'API', kind: 'http' }],
      monitor: { forMs: 1_000, everyMs: 1_000 },
      retireAfterApproval: false,
      patienceMs: 300_000,
      ...plan,
    },
  };
  stubs.world.minimum = stubs.plan.approval.minimum;
  return stubs;
}

/** Waits, as an activity, until it is cancelled, and then fails with an error of its own instead of a cancellation. */
export async function failWhenCancelled(error: Error): Promise<never> {
  const context = Context.current();
  while (!context.cancellationSignal.aborted) {
    context.heartbeat();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw error;
}

/** Runs the workflow with these stubs while `work` talks to it. */
export async function withStubbedRun<T>(
  environment: Pick<TestWorkflowEnvironment, 'client' | 'nativeConnection'>,
  stubs: Stubs,
  work: (handle: WorkflowHandle) => Promise<T>,
  input: Partial<MigrationInput> = {},
): Promise<T> {
  const taskQueue = `stubbed-${randomUUID()}`;
  const workers = await stubbedWorkers(environment, taskQueue, () => stubs);
  return runUntil(workers, async () => {
    const handle = await environment.client.workflow.start(WORKFLOW_TYPE, {
      taskQueue,
      workflowId: `stubbed-${randomUUID()}`,
      args: [{ plan: 'small', requestedBy: 'alice', ...input }],
    });
    return work(handle);
  });
}

/** Workers for the workflows and activities of stubbed runs. @param stubsOf whose stubs an activity of a workflow acts on */
export function stubbedWorkers(
  { nativeConnection: connection }: Pick<TestWorkflowEnvironment, 'nativeConnection'>,
  taskQueue: string,
  stubsOf: (workflowId: string) => Stubs,
): Promise<Worker[]> {
  const activities = activitiesFor((workflowId) => stubsOf(workflowId));
  const common = { connection, activities, maxHeartbeatThrottleInterval: '100ms' } as const;
  const workflowBundle = { codePath: workflowBundlePath() };
  return Promise.all([
    Worker.create({ ...common, taskQueue, workflowBundle }),
    Worker.create({ ...common, taskQueue: copyQueueOf(taskQueue) }),
  ]);
}

type AnyActivities = Record<string, (input: unknown) => Promise<unknown>>;

// Made anew for each call, so that a test may change its mind while the run goes on.
function activitiesFor(stubsOf: (workflowId: string) => Stubs): Activities {
  const names = Object.keys(stubbedActivities(makeStubs(), undefined as never)) as (keyof Activities)[];
  const activityOf = (name: keyof Activities) => async (input: unknown) => {
    const { workflowId = '', runId = '' } = Context.current().info.workflowExecution ?? {};
    const stubs = stubsOf(workflowId);
    if (!isOfMonitor(workflowId)) stubs.world.firstRunId ??= runId;
    const stubbed = stubbedActivities(stubs, didOf(stubs)) as unknown as AnyActivities;
    const result = await stubbed[name]?.(input);
    const replacement = stubs.replace[name] as ((input: unknown) => unknown) | undefined;
    return replacement ? replacement(input) : result;
  };
  return Object.fromEntries(names.map((name) => [name, activityOf(name)])) as unknown as Activities;
}

function didOf(stubs: Stubs): Did {
  return async (call, act) => {
    stubs.calls.push(call);
    const error = stubs.failures[call]?.shift();
    if (error) throw error;
    const result = await act();
    const lost = stubs.lost[call]?.shift();
    if (lost) throw lost;
    return result;
  };
}

function isOfMonitor(workflowId: string): boolean {
  return workflowId.includes('-monitor-');
}

/** Calls that say nothing of what the run does to production: messages, reports, looks, and what runs beside the steps. */
const beside = ['notify', 'writeReport', 'watchPage', 'holdBackup', 'describeProduction'];

/** The calls from the last `takeStock` on: the way back. */
export function wayBackOf({ calls }: Stubs): string[] {
  const from = calls.lastIndexOf('takeStock');
  const settings = (call: string) => call === 'outlinePlan';
  return from < 0 ? [] : withoutTelling(calls.slice(from)).filter((call) => !settings(call));
}

export function withoutTelling(calls: readonly string[]): string[] {
  return calls.filter((call) => !beside.includes(call));
}
