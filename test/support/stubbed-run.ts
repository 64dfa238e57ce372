/** A run without databases: the real workflow on the time-skipping server, with activities that only keep a ledger of their calls. */
import { randomUUID } from 'node:crypto';
import { Context } from '@temporalio/activity';
import { ApplicationFailure, type WorkflowHandle } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker } from '@temporalio/worker';
import type { Activities, PlanOutline } from '../../activities';
import { copyQueueOf, WORKFLOW_TYPE, type MigrationInput, type Report } from '../../src/contract';
import { runUntil } from './migration';
import { timeSkippingServerPath, workflowBundlePath } from './environment';

/** What the stubs remember, as production's ledger would, and every call in order. */
export interface Stubs {
  calls: string[];
  ledger: { claimed: boolean; pageOn: boolean; fenceOn: boolean; reset: boolean; live: boolean };
  /** Errors that the next calls of that description throw, first to last. */
  failures: Record<string, Error[]>;
  /** Replaces an activity; called after its call was noted. */
  replace: { [N in keyof Activities]?: (...args: Parameters<Activities[N]>) => unknown };
  plan: PlanOutline;
}

/** The time-skipping server of a suite. */
export function openTimeSkipping(): Promise<TestWorkflowEnvironment> {
  return TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path: timeSkippingServerPath() } },
  });
}

export function makeStubs(plan: Partial<PlanOutline> = {}): Stubs {
  return {
    calls: [],
    ledger: { claimed: false, pageOn: false, fenceOn: false, reset: false, live: false },
    failures: {},
    replace: {},
    plan: {
      name: 'small',
      hash: 'h1',
      hostQueue: null,
      lanes: 1,
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
      ...plan,
    },
  };
}

/** An error as activities throw it, with the type that decides what the run does. */
export function failure(message: string, type = 'StepFailed'): ApplicationFailure {
  return ApplicationFailure.create({ type, message, nonRetryable: type !== 'Outage' });
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
  const activities = stubActivities(stubs);
  const connection = environment.nativeConnection;
  const common = { connection, activities, maxHeartbeatThrottleInterval: '100ms' } as const;
  const workflowBundle = { codePath: workflowBundlePath() };
  const workers = await Promise.all([
    Worker.create({ ...common, taskQueue, workflowBundle }),
    Worker.create({ ...common, taskQueue: copyQueueOf(taskQueue) }),
  ]);
  return runUntil(workers, async () => {
    const handle = await environment.client.workflow.start(WORKFLOW_TYPE, {
      taskQueue,
      workflowId: `stubbed-${randomUUID()}`,
      args: [{ plan: 'small', requestedBy: 'alice', ...input }],
    });
    return work(handle);
  });
}

function stubActivities(stubs: Stubs): Activities {
  const { ledger } = stubs;
  const did = (call: string, change: () => void = () => undefined): Promise<void> => {
    stubs.calls.push(call);
    const error = stubs.failures[call]?.shift();
    if (error) return Promise.reject(error);
    change();
    return Promise.resolve();
  };
  const groups = { groups: 1, bytes: 100 };
  const activities: Activities = {
    outlinePlan: () => did('outlinePlan').then(() => stubs.plan),
    checkHost: () => did('checkHost').then(() => []),
    checkDatabases: () =>
      did('checkDatabases').then(() => ({
        findings: [],
        notes: [],
        shadowReady: true,
        catalogue: 'c',
        rows: 5,
        bytes: 100,
      })),
    deployToShadow: () => did('deployToShadow').then(() => []),
    checkMapping: () =>
      did('checkMapping').then(() => ({ findings: [], notes: [], dropped: [], tables: [] })),
    claim: () => did('claim', () => (ledger.claimed = true)),
    notePage: ({ on }) => did(`notePage ${on ? 'on' : 'off'}`, () => (ledger.pageOn = on)),
    fence: () => did('fence', () => (ledger.fenceOn = true)),
    liftFence: () => did('liftFence', () => (ledger.fenceOn = false)),
    reset: () => did('reset', () => (ledger.reset = true)),
    markLive: () => did('markLive', () => (ledger.live = true)),
    acceptLoss: () => did('acceptLoss'),
    takeStock: () => did('takeStock').then(() => ({ ...ledger })),
    countLateWrites: () => did('countLateWrites').then(() => []),
    release: () => did('release', () => (ledger.claimed = false)).then(() => []),
    dropBackup: () => did('dropBackup').then(() => true),
    beginBackup: () => did('beginBackup').then(() => groups),
    copyGroup: ({ phase }) => did(`copyGroup ${phase.name}`).then(() => ({ rows: 5, bytes: 100 })),
    sealBackup: () =>
      did('sealBackup').then(() => ({
        manifestHash: 'm1',
        database: 'shop_backup',
        tables: 1,
        rows: 5,
        bytes: 100,
        dropped: [],
      })),
    indexBackup: () => did('indexBackup'),
    beginMigrate: () => did('beginMigrate').then(() => groups),
    finishMigrate: () => did('finishMigrate'),
    verify: () => did('verify').then(() => ({ tables: [], dropped: [], rows: 5, assertions: ['none lost'] })),
    nextRestore: () => did('nextRestore').then(() => 1),
    beginRestore: () => did('beginRestore').then(() => groups),
    finishRestore: () => did('finishRestore'),
    beginAside: () => did('beginAside').then(() => ({ ...groups, database: 'shop_abandoned' })),
    sealAside: () => did('sealAside').then(() => ({ rows: 5 })),
    maintenanceOn: () => did('maintenanceOn'),
    maintenanceOff: () => did('maintenanceOff'),
    confirmClaim: () => did('confirmClaim'),
    probePage: () => did('probePage'),
    deploySchema: () => did('deploySchema'),
    deploy: ({ index, back }) =>
      did(`${back ? 'previous' : 'deploy'} ${stubs.plan.deploys[index]?.name}`).then(() => 'done'),
    smoke: ({ name, back }) => did(`smoke ${name}${back ? ' (old)' : ''}`).then(() => 'answers 200'),
    notify: () => did('notify').then(() => []),
    writeReport: ({ report }: { report: Report }) =>
      did('writeReport').then(() => ({ file: `${report.status.plan}.html` })),
    handOver: () => did('handOver').then(() => ['To lift the fence: psql …']),
  };
  // Looked up at each call, so that a test may change its mind while the run goes on.
  for (const [name, original] of Object.entries(activities)) {
    Object.assign(activities, {
      [name]: async (input: unknown) => {
        const result = await (original as (input: unknown) => Promise<unknown>)(input);
        const replacement = stubs.replace[name as keyof Activities] as
          ((input: unknown) => unknown) | undefined;
        return replacement ? replacement(input) : result;
      },
    });
  }
  return activities;
}

/** The calls from the last `takeStock` on: the way back, without what is told and written for people. */
export function wayBackOf({ calls }: Stubs): string[] {
  const from = calls.lastIndexOf('takeStock');
  return from < 0 ? [] : withoutTelling(calls.slice(from));
}

export function withoutTelling(calls: readonly string[]): string[] {
  return calls.filter((call) => call !== 'notify' && call !== 'writeReport');
}
