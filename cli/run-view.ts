/** A run as it is now: its status, what its activities have in flight, and whether Temporal still runs it. */
import {
  QueryNotRegisteredError,
  type WorkflowExecutionDescription,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import {
  type Heartbeat,
  type Outage,
  QUERIES,
  STEPS,
  type Status,
  type StepProgress,
  type StepStatus,
  WAY_BACK_STEPS,
  WORKFLOW_TYPE,
  type WayBackStatus,
  describeGoingBack,
  isGoingBack,
  wayBackStepOf,
} from '../src/contract';
import { describeTime } from '../src/report/quantities';
import { LIMITS, oneLine } from '../src/text';
import { type Temporal, askServer, askWorker } from './connection';
import { CommandFailed, innermostMessage } from './failures';

/** An activity that Temporal has open: work that its heartbeats tell of, and why it is being retried. `status` knows neither yet. */
export interface InFlight {
  /** Its type, e.g. `dropBackup`. */
  activity: string;
  /** The step of the runbook that it works for; null for one of the way back. */
  step: StepStatus['name'] | null;
  /** The step of the way back that it works for; null on the way forward, and between two such steps. */
  wayBackStep: WayBackStatus['name'] | null;
  rows: number;
  bytes: number;
  /** What it waits for without having failed; null when it goes on. */
  outage: Outage | null;
  /** From 2 on the activity has failed before; `lastFailure` says why. */
  attempt: number;
  lastFailure: string | null;
}

export interface RunView {
  id: string;
  status: Status;
  inFlight: InFlight[];
  /** How Temporal sees the run: RUNNING, COMPLETED, FAILED, CANCELLED, TERMINATED … */
  execution: string;
}

/**
 * Asks for a run's status and what is in flight.
 * @throws Unanswered without a server or a worker, CommandFailed when the ID is not one of Kirikae's runs
 */
export async function lookAtRun(temporal: Temporal, id: string): Promise<RunView> {
  const description = await describeRun(temporal, id);
  if (description.type !== WORKFLOW_TYPE) {
    throw new CommandFailed(
      `${id} is a workflow of type ${description.type}, not ${WORKFLOW_TYPE}. Name a run of Kirikae.`,
    );
  }
  const status = await queryRun<Status>(temporal, id, QUERIES.status);
  const children = await describeChildren(temporal, description);
  return {
    id,
    status: { ...status, downtimeMs: downtimeNow(status), predictedEnd: predictedNow(status) },
    inFlight: [description, ...children].flatMap((open) => inFlightOf(open, status)),
    execution: description.status.name,
  };
}

// A workflow's clock stands still while it waits: the downtime so far is counted on from here.
function downtimeNow(status: Status): number {
  const since = status.steps.find((step) => step.name === 'maintenanceOn')?.startedAt;
  const isDown = status.outcome === null && !status.live && status.downtimeMs > 0;
  return isDown && since ? Math.max(status.downtimeMs, Date.now() - Date.parse(since)) : status.downtimeMs;
}

// The window's clock stands while a person is waited for, so its end moves on.
function predictedNow({ predictedEnd, waitingSince }: Status): string | null {
  if (predictedEnd === null || !waitingSince) return predictedEnd;
  const waitedMs = Math.max(0, Date.now() - Date.parse(waitingSince));
  return new Date(Date.parse(predictedEnd) + waitedMs).toISOString();
}

async function describeRun(temporal: Temporal, id: string): Promise<WorkflowExecutionDescription> {
  try {
    return await askServer(temporal, () => temporal.client.workflow.getHandle(id).describe());
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    throw new CommandFailed(
      `Namespace "${temporal.namespace}" at ${temporal.address} has no run ${id}. List the runs with: temporal workflow list`,
    );
  }
}

// The monitoring's checks are activities of a child, which may have ended since.
async function describeChildren(
  temporal: Temporal,
  { raw }: WorkflowExecutionDescription,
): Promise<WorkflowExecutionDescription[]> {
  const children = (raw.pendingChildren ?? []).flatMap(({ workflowId }) => workflowId ?? []);
  const described = await Promise.all(children.map((id) => describeRun(temporal, id).catch(() => null)));
  return described.filter((description) => description !== null);
}

/** Sends a query to a run. @throws Unanswered without a worker, CommandFailed when the run can't answer it */
export async function queryRun<T>(temporal: Temporal, id: string, query: string): Promise<T> {
  const handle = temporal.client.workflow.getHandle(id);
  try {
    return await askWorker(temporal, id, () => handle.query<T>(query));
  } catch (error) {
    if (!(error instanceof QueryNotRegisteredError)) throw error;
    throw new CommandFailed(
      `The run ${id} can't answer "${query}": ${innermostMessage(error)}. Look at it in Temporal's UI.`,
    );
  }
}

/** The steps with rows and bytes in flight added, and the attempt and last failure of what is being retried. */
export function stepsWithInFlight({ status, inFlight }: RunView): StepStatus[] {
  return status.steps.map((step) =>
    withInFlight(
      step,
      inFlight.filter((part) => part.step === step.name),
    ),
  );
}

/** The same for the steps of the way back; none as long as there is none. */
export function wayBackWithInFlight({ status, inFlight }: RunView): WayBackStatus[] {
  return status.wayBack.map((step) =>
    withInFlight(
      step,
      inFlight.filter((part) => part.wayBackStep === step.name),
    ),
  );
}

function withInFlight<S extends StepProgress>(step: S, parts: InFlight[]): S {
  if (parts.length === 0 || isOver(step)) return step;
  const retried = parts.reduce((most, part) => (part.attempt > most.attempt ? part : most));
  const rows = parts.reduce((sum, part) => sum + part.rows, step.rows ?? 0);
  const bytes = parts.reduce((sum, part) => sum + part.bytes, step.bytes ?? 0);
  return {
    ...step,
    // A part that ended between two questions is counted by both answers.
    rows: rows > 0 ? Math.min(rows, Math.max(step.rowsTotal ?? rows, step.rows ?? 0)) : step.rows,
    bytes: bytes > 0 ? bytes : step.bytes,
    attempt: Math.max(step.attempt, retried.attempt),
    error: parts.find(({ outage }) => outage)?.outage?.error ?? retried.lastFailure ?? step.error,
  };
}

function isOver({ state }: StepProgress): boolean {
  return state === 'done' || state === 'undone' || state === 'skipped';
}

/** Where a way back is, in one line, e.g. `going back: restore, attempt 3: connect ECONNREFUSED …`; null on the way forward. */
export function describeWayBack(view: RunView): string | null {
  if (!isGoingBack(view.status)) return null;
  const at = wayBackStepOf({ ...view.status, wayBack: wayBackWithInFlight(view) });
  return oneLine(describeGoingBack(at ?? openBetweenSteps(view)), LIMITS.header);
}

function openBetweenSteps({ inFlight }: RunView) {
  const retried = inFlight.find(({ step, attempt }) => step === null && attempt > 1);
  return retried ? { name: retried.activity, attempt: retried.attempt, error: retried.lastFailure } : null;
}

/**
 * Sentences for what is being retried, and for what waits without having failed:
 * `backup: attempt 3, the database refuses connections`, `reset: no progress since 02:10:07, "commit" … waits for a standby.`
 */
export function retrySentences(view: RunView): string[] {
  return [...new Set(view.inFlight.flatMap(describeOutage))];
}

function describeOutage(part: InFlight): string[] {
  const { step, wayBackStep, activity, attempt, lastFailure, outage } = part;
  const where = step ?? (wayBackStep ? `going back, ${wayBackStep}` : 'going back');
  const tried = `attempt ${attempt} of ${activity}${lastFailure ? `, ${lastFailure}` : ''}`;
  if (!outage) return attempt > 1 ? [`${where}: ${tried}`] : [];
  const since = `no progress since ${describeTime(outage.since)}`;
  return [`${where}: ${since}, ${attempt > 1 && lastFailure ? tried : outage.error}`];
}

function inFlightOf(description: WorkflowExecutionDescription, status: Status): InFlight[] {
  return (description.raw.pendingActivities ?? []).map((activity) => {
    const payload = activity.heartbeatDetails?.payloads?.[0];
    const beat = payload ? readHeartbeat(payload) : null;
    return {
      activity: activity.activityType?.name ?? 'an activity',
      ...placeOf(beat, status),
      rows: beat?.rows ?? 0,
      bytes: beat?.bytes ?? 0,
      outage: beat?.outage ?? null,
      attempt: activity.attempt ?? 1,
      lastFailure: activity.lastFailure ? explainRetry(activity.lastFailure.message ?? '') : null,
    };
  });
}

// `fence` is a step of both ways: the one under way is meant. What doesn't say its step works for the present one.
function placeOf(beat: Heartbeat | null, status: Status): Pick<InFlight, 'step' | 'wayBackStep'> {
  const wayBackStep = WAY_BACK_STEPS.find((name) => name === beat?.step);
  const step = STEPS.find((name) => name === beat?.step);
  if (wayBackStep && (isGoingBack(status) || !step)) return { step: null, wayBackStep };
  if (step) return { step, wayBackStep: null };
  return isGoingBack(status)
    ? { step: null, wayBackStep: wayBackStepOf(status)?.name ?? null }
    : { step: status.step, wayBackStep: null };
}

// A heartbeat is a hint for people: one that can't be read is left out.
function readHeartbeat(payload: Parameters<typeof defaultPayloadConverter.fromPayload>[0]): Heartbeat | null {
  try {
    const beat = defaultPayloadConverter.fromPayload<Heartbeat | null>(payload);
    return beat && typeof beat === 'object' ? beat : null;
  } catch {
    return null;
  }
}

function explainRetry(message: string): string {
  const text = message.split('\n')[0] ?? '';
  if (text.includes('ECONNREFUSED')) return `the database refuses connections (${text})`;
  if (/heartbeat timeout/i.test(text)) return 'the worker stopped reporting and another attempt took over';
  return text;
}
