/** What a Temporal server tells a workflow, as the jobs of its tasks. */
import type { CommandName } from '../../../src/contract';
import { fromPayload, seedOf, toPayload, type Command, type Execution, type Job } from './sandbox';
import type { Activity, Answer } from './execution';

export function started({ workflowType, workflowId, firstRunId }: Execution, input: unknown): Job {
  return {
    initializeWorkflow: {
      ...{ workflowType, workflowId, firstExecutionRunId: firstRunId, attempt: 1 },
      ...{ arguments: [toPayload(input)], headers: {} },
    },
  };
}

export function answered({ seq, name }: Pick<Activity, 'seq' | 'name'>, answer: Answer): Job {
  if ('value' in answer)
    return { resolveActivity: { seq, result: { completed: { result: toPayload(answer.value) } } } };
  const around = { activityId: `${seq}`, activityType: { name } };
  if ('cancelled' in answer) {
    const cause = { message: 'Cancelled', canceledFailureInfo: {} };
    const failure = { message: 'Activity cancelled', activityFailureInfo: around, cause };
    return { resolveActivity: { seq, result: { cancelled: { failure } } } };
  }
  const failure = { message: 'Activity task failed', activityFailureInfo: around, cause: answer.failure };
  return { resolveActivity: { seq, result: { failed: { failure } } } };
}

/** A failure as an activity throws it. */
export function thrown(type: string, message: string): object {
  return { message, applicationFailureInfo: { type, nonRetryable: type !== 'Outage' } };
}

/** Given up after scheduleToCloseTimeout. */
export function timedOut(cause: object): object {
  return { message: 'activity ScheduleToClose timeout', timeoutFailureInfo: { timeoutType: 3 }, cause };
}

export function signalled(name: CommandName, said: readonly unknown[]): Job {
  return { signalWorkflow: { signalName: name, input: said.map(toPayload), identity: 'test', headers: {} } };
}

export function updated(name: CommandName, said: readonly unknown[], id: string): Job {
  return {
    doUpdate: {
      ...{ id, protocolInstanceId: id, name, input: said.map(toPayload), headers: {} },
      ...{ meta: { identity: 'test', updateId: id }, runValidator: true },
    },
  };
}

export const cancelled: Job = { cancelWorkflow: { reason: 'asked for' } };

/** What the first task after a Temporal reset begins with. */
export function reseeded(runId: string): Job {
  return { updateRandomSeed: { randomnessSeed: { toBytes: () => seedOf(runId) } as never } };
}

export function childStarted(seq: number, runId: string): Job {
  return { resolveChildWorkflowExecutionStart: { seq, succeeded: { runId } } };
}

/** How a child ended; `terminated` from outside. */
export function childEnded(
  { seq, workflowId, workflowType }: { seq: number; workflowId: string; workflowType: string },
  how: { completed: unknown } | { cancelled: true } | { failure: object } | { terminated: true },
): Job {
  const around = {
    ...{ namespace: 'default', workflowExecution: { workflowId, runId: 'child' } },
    workflowType: { name: workflowType },
  };
  const failed = (cause: object) => ({
    message: 'Child Workflow execution failed',
    childWorkflowExecutionFailureInfo: around,
    cause,
  });
  const result = () => {
    if ('completed' in how) return { completed: { result: how.completed as never } };
    if ('cancelled' in how)
      return { cancelled: { failure: failed({ message: 'Cancelled', canceledFailureInfo: {} }) } };
    if ('terminated' in how)
      return { failed: { failure: failed({ message: 'terminated', terminatedFailureInfo: {} }) } };
    return { failed: { failure: failed(how.failure) } };
  };
  return { resolveChildWorkflowExecution: { seq, result: result() } };
}

/** As Temporal's core gives them: what people say comes first. */
export function inOrder(all: Job[]): Job[] {
  const isSaid = (job: Job) => (job.signalWorkflow ?? job.doUpdate ?? job.cancelWorkflow) !== undefined;
  const isFirst = (job: Job) => job.updateRandomSeed !== undefined;
  return [
    ...all.filter(isFirst),
    ...all.filter(isSaid),
    ...all.filter((job) => !isSaid(job) && !isFirst(job)),
  ];
}

/** The result or the failure that closed a run. */
export function closingOf({ completeWorkflowExecution, failWorkflowExecution }: Command): unknown {
  if (completeWorkflowExecution) return fromPayload(completeWorkflowExecution.result);
  return failWorkflowExecution?.failure?.applicationFailureInfo?.type ?? 'cancelled';
}

/** The type of the failure that an activity ended with; null where it didn't fail. */
export function failureTypeOf({ resolveActivity }: Job): string | null {
  const failure = resolveActivity?.result?.failed?.failure;
  if (!failure) return null;
  const why = failure.activityFailureInfo ? failure.cause : failure;
  return why?.applicationFailureInfo?.type ?? '';
}
