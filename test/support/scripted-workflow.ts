/** A stand-in for the workflow, for tests of the command line only: shows the statuses a script lists, and accepts or refuses updates as it says. */
import {
  ApplicationFailure,
  condition,
  defineQuery,
  defineUpdate,
  ParentClosePolicy,
  proxyActivities,
  setHandler,
  sleep,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import { COMMANDS, type MigrationInput, type Report, type Status, STEPS } from '../../src/contract';

export interface Script {
  /** Shown one after the other; what is left out is as at the beginning of a run. */
  statuses: Partial<Status>[];
  /** Updates that are refused, and the sentence they are refused with. */
  refuses?: Record<string, string>;
  /** An activity to have in flight: one that heartbeats, one whose attempts fail, or one that waits without having failed. */
  activity?: 'copyRows' | 'failToConnect' | 'waitForStandby';
  /** The same in a child, as the monitoring has it. */
  childFails?: boolean;
  /** How long the workflow stays open after an outcome is shown, as one that writes its report; in milliseconds. */
  lingersMs?: number;
}

const frameMs = 400;

const { copyRows, failToConnect, waitForStandby } = proxyActivities<{
  copyRows(): Promise<void>;
  waitForStandby(): Promise<void>;
  failToConnect(): Promise<void>;
}>({
  startToCloseTimeout: '1m',
  heartbeatTimeout: '30s',
  retry: { initialInterval: '100ms', backoffCoefficient: 1 },
});

export async function offlineMigration(input: MigrationInput): Promise<Status> {
  const script = (workflowInfo().memo?.script as Script | undefined) ?? scriptOfPlan(input.plan);
  let status = complete(input, script.statuses[0]);
  const heard: unknown[] = [];
  setHandler(defineQuery<Status>('status'), () => status);
  setHandler(defineQuery<unknown[]>('heard'), () => heard);
  setHandler(defineQuery<Report>('report'), () => reportOf(input, status));
  for (const name of COMMANDS) {
    setHandler(defineUpdate<number, [unknown]>(name), (payload: unknown) => heard.push({ name, payload }), {
      validator: (_payload: unknown) => {
        const refusal = script.refuses?.[name];
        if (refusal) throw new Error(refusal);
      },
    });
  }
  if (script.activity === 'copyRows') void copyRows().catch(() => undefined);
  if (script.activity === 'failToConnect') void failToConnect().catch(() => undefined);
  if (script.activity === 'waitForStandby') void waitForStandby().catch(() => undefined);
  if (script.childFails) await startChild(watchAndFail, { parentClosePolicy: ParentClosePolicy.ABANDON });
  for (const next of script.statuses.slice(1)) {
    await sleep(frameMs);
    status = complete(input, next);
  }
  if (script.lingersMs) await sleep(script.lingersMs);
  const { outcome } = status;
  if (outcome === null) await condition(() => false);
  if (outcome === 'rolled-back' || outcome === 'refused' || outcome === 'needs-operator') {
    throw ApplicationFailure.create({
      type: outcome,
      message: `The run ended as ${outcome}.`,
      nonRetryable: true,
    });
  }
  return status;
}

export function watchAndFail(): Promise<void> {
  return failToConnect();
}

// `kirikae start` sends no script, so there the plan's name says how the run goes.
function scriptOfPlan(plan: string): Script {
  const begin: Partial<Status> = { step: 'preflight' };
  if (plan === 'parks')
    return { statuses: [begin, { step: 'verify', parked: true, nextAction: 'Repair it.' }] };
  if (plan === 'goes-live') return { statuses: [begin, { step: 'monitor', live: true }] };
  const outcome = plan.replace('ends-', '') as Status['outcome'];
  return { statuses: plan.startsWith('ends-') ? [begin, { step: 'report', outcome }] : [begin] };
}

function complete(input: MigrationInput, part: Partial<Status> = {}): Status {
  const step = part.step ?? 'preflight';
  const startedAt = workflowInfo().startTime.toISOString();
  return {
    plan: input.plan,
    step,
    phase: null,
    window: 1,
    outcome: null,
    parked: false,
    live: false,
    waitingFor: null,
    nextAction: 'Nothing to do.',
    startedAt,
    downtimeMs: 0,
    predictedEnd: null,
    backup: null,
    steps: STEPS.map((name, index) => ({
      name,
      state: index < STEPS.indexOf(step) ? 'done' : name === step ? 'running' : 'pending',
      startedAt: index <= STEPS.indexOf(step) ? startedAt : null,
      finishedAt: index < STEPS.indexOf(step) ? startedAt : null,
      rows: name === 'backup' ? 100 : null,
      rowsTotal: name === 'backup' ? 1000 : null,
      bytes: null,
      attempt: 1,
      error: null,
    })),
    wayBack: [],
    dropped: [],
    notes: [],
    ...part,
  };
}

function reportOf(input: MigrationInput, status: Status): Report {
  const { workflowId, runId } = workflowInfo();
  return {
    workflowId,
    runId,
    requestedBy: input.requestedBy,
    finishedAt: null,
    checklist: input.checklist ?? [],
    status,
    decisions: [],
    tables: [],
    checks: [],
  };
}
