/** A run's history read as its workflow tasks: what each answers, where the run is in it, and which of them failed. */
import type { WorkflowHandle } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { until } from '../../lab/stage';
import { statusOf } from './talk';

type Events = readonly temporal.api.history.v1.IHistoryEvent[];

/** A workflow task: its place among the run's tasks, counted from 1, and the event that it answers. */
export interface Task {
  number: number;
  label: string;
  eventId: number;
}

/** Tasks of a history in their order. */
export function tasksOf(events: Events): Task[] {
  const activities = new Map<string, string>();
  const seen = new Map<string, number>();
  const tasks: Task[] = [];
  let last = '';
  for (const event of events) {
    const scheduled = event.activityTaskScheduledEventAttributes;
    if (scheduled) activities.set(String(event.eventId), scheduled.activityType?.name ?? '');
    last = answered(event, activities) ?? last;
    if (!event.workflowTaskCompletedEventAttributes) continue;
    const count = (seen.get(last) ?? 0) + 1;
    seen.set(last, count);
    const label = count === 1 ? last : `${last} (${count})`;
    tasks.push({ number: tasks.length + 1, label, eventId: Number(event.eventId) });
  }
  return tasks;
}

function answered(
  event: temporal.api.history.v1.IHistoryEvent,
  activities: ReadonlyMap<string, string>,
): string | null {
  const ended = (attributes: { scheduledEventId?: unknown } | null | undefined) =>
    activities.get(String(attributes?.scheduledEventId)) ?? 'an activity';
  if (event.workflowExecutionStartedEventAttributes) return 'start';
  if (event.activityTaskCompletedEventAttributes) return ended(event.activityTaskCompletedEventAttributes);
  if (event.activityTaskFailedEventAttributes)
    return `${ended(event.activityTaskFailedEventAttributes)} failed`;
  if (event.activityTaskCanceledEventAttributes)
    return `${ended(event.activityTaskCanceledEventAttributes)} cancelled`;
  const signal = event.workflowExecutionSignaledEventAttributes;
  if (signal) return `signal ${signal.signalName}`;
  if (event.timerFiredEventAttributes) return 'timer';
  if (event.childWorkflowExecutionStartedEventAttributes) return 'child started';
  if (event.childWorkflowExecutionCompletedEventAttributes) return 'child ended';
  return null;
}

/** Waits until the run has passed the task of that label, approving by signal on the way. @returns null when it ended before */
export async function untilPassed(handle: WorkflowHandle, label: string | null): Promise<Task | null> {
  let approved = false;
  let passed: Task | null = null;
  let length = 0;
  let changedMs = Date.now();
  await until(async () => {
    const events = await eventsOf(handle);
    if (events.length !== length) changedMs = Date.now();
    length = events.length;
    const found = label === null ? undefined : tasksOf(events).find((task) => task.label === label);
    const rests = Date.now() - changedMs > 2_000;
    if (found && (length >= found.eventId + 6 || rests)) return (passed = found) !== null;
    if (isClosed(events)) {
      passed = found ?? null;
      return true;
    }
    if (!found && !approved && tasksOf(events).some((task) => task.label === 'openApproval')) {
      const { step, waitingFor, backup } = await statusOf(handle);
      approved = step === 'approval' && waitingFor !== null;
      if (approved) await handle.signal('approve', { by: 'bob', fingerprint: backup?.fingerprint });
    }
    return false;
  }, 240_000);
  return passed;
}

/** A sentence for each task that failed by itself. */
export async function failedTasks(handle: WorkflowHandle): Promise<string[]> {
  const { enums } = temporal.api;
  // The reset's own, and a message that came while a task was on its way.
  const usual = [
    enums.v1.WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
    enums.v1.WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
  ];
  return (await eventsOf(handle)).flatMap(({ workflowTaskFailedEventAttributes: failed }) =>
    failed && !usual.includes(failed.cause ?? 0)
      ? [`A workflow task failed: ${failed.failure?.message ?? failed.cause}`]
      : [],
  );
}

function isClosed(events: Events): boolean {
  const last = events.at(-1);
  return Boolean(
    last?.workflowExecutionCompletedEventAttributes ?? last?.workflowExecutionFailedEventAttributes,
  );
}

/** The whole history of the handle's run. */
export async function eventsOf(handle: WorkflowHandle): Promise<temporal.api.history.v1.IHistoryEvent[]> {
  return (await handle.fetchHistory()).events ?? [];
}

/** For each task: the part of the run it belongs to. */
export function phasesOf(events: Events): string[] {
  const parts: Record<string, string> = {
    claim: 'before approval',
    approve: 'before reset',
    reset: 'before live',
    goLive: 'monitoring',
    'child ended': 'ending',
    turnBack: 'way back',
  };
  let part = 'before claim';
  return tasksOf(events).map(({ label }) => (part = parts[label] ?? part));
}
