/** One workflow execution of the model: its recorded tasks, and what it has asked for and waits for. */
import { types } from 'node:util';
import { tsToMs } from '@temporalio/common/lib/time';
import { fromPayload, Sandbox, type Command, type Execution, type Job } from './sandbox';

/** How an activity came out. */
export type Answer = { value: unknown } | { failure: object } | { cancelled: true };

export interface Activity {
  seq: number;
  name: string;
  input: unknown;
  attempt: number;
  maximumAttempts: number;
  /** When Temporal gives it up; null: never. */
  untilMs: number | null;
  /** Not tried again before. */
  notBeforeMs: number;
  isCancelled: boolean;
  /** A long one that has begun, and when it looks again. */
  nextLookMs: number | null;
  /** It has acted, and nobody has heard of it yet. */
  answer: Answer | null;
  /** Its end waits to be told together with something else. */
  isTold: boolean;
}

export interface Child {
  seq: number;
  workflowId: string;
  workflowType: string;
  input: unknown;
  isStarted: boolean;
}

/** One workflow task as the history has it. */
interface Task {
  jobs: Job[];
  atMs: number;
  commands: Command[];
}

export class RunningExecution {
  readonly activities = new Map<number, Activity>();
  /** When each timer is due. */
  readonly timers = new Map<number, number>();
  readonly children = new Map<number, Child>();
  /** Children to be cancelled, as asked for by the last task. */
  cancelledChildren: number[] = [];
  /** The command that closed it. */
  closed: Command | null = null;
  readonly tasks: Task[] = [];

  private constructor(
    readonly execution: Execution,
    private sandbox: Sandbox,
  ) {}

  static async start(execution: Execution, input: Job, atMs: number): Promise<RunningExecution> {
    const started = new RunningExecution(execution, await Sandbox.open(execution, atMs));
    await started.activate([input], atMs);
    return started;
  }

  /** As a Temporal reset makes it: under another run id, with the first tasks of this one replayed. */
  async resetTo(tasks: number, runId: string): Promise<RunningExecution> {
    const execution = { ...this.execution, runId };
    const made = new RunningExecution(execution, await this.replayed(execution, tasks, shapeOf));
    for (const task of this.tasks.slice(0, tasks)) made.record(task);
    return made;
  }

  /** The worker goes, and another replays the history. @throws Error when it doesn't ask for the same again */
  async moveToAnotherWorker(): Promise<void> {
    const next = await this.replayed(this.execution, this.tasks.length, textOf);
    await this.sandbox.close();
    this.sandbox = next;
  }

  /** One workflow task. @returns what became of its updates, in order: null for accepted, or why not */
  async activate(jobs: Job[], atMs: number): Promise<(string | null)[]> {
    const commands = await this.sandbox.activate(jobs, { atMs });
    const verdicts = new Map<string, string | null>();
    for (const { updateResponse: response } of commands) {
      if (response?.rejected) verdicts.set(response.protocolInstanceId ?? '', saidIn(response.rejected));
      else if (response?.accepted) verdicts.set(response.protocolInstanceId ?? '', null);
    }
    const verdictOf = ({ doUpdate }: Job) => verdicts.get(doUpdate?.protocolInstanceId ?? '');
    // A refused update leaves no event; one that was accepted before and fails now does.
    const kept = jobs.filter((job) => !job.doUpdate || verdictOf(job) === null);
    const asked = jobs.map(({ doUpdate }) => doUpdate?.protocolInstanceId);
    const heard = commands.filter(
      ({ updateResponse: of }) => !of?.rejected || !asked.includes(of.protocolInstanceId ?? ''),
    );
    if (kept.length > 0) this.record({ jobs: kept.map(asReplayed), atMs, commands: heard });
    else if (heard.length > 0)
      throw new Error(`A refused update had the run do something: ${heard.map(textOf).join()}`);
    return jobs.filter(({ doUpdate }) => doUpdate).map((job) => verdictOf(job) ?? null);
  }

  query<T>(name: string): Promise<T> {
    return this.sandbox.query<T>(name);
  }

  close(): Promise<void> {
    return this.sandbox.close();
  }

  private async replayed(
    execution: Execution,
    count: number,
    look: (command: Command) => string,
  ): Promise<Sandbox> {
    const tasks = this.tasks.slice(0, count);
    const sandbox = await Sandbox.open(execution, tasks[0]?.atMs ?? 0);
    sandbox.takeFlagsOf(this.sandbox);
    for (const [place, { jobs, atMs, commands }] of tasks.entries()) {
      const again = await sandbox.activate(jobs, { atMs, isReplaying: true });
      const [before, now] = [commands, again].map((list) => list.map(look).join('\n'));
      if (before !== now)
        throw new Error(`Nondeterminism in task ${place}: first\n${before}\nand replayed\n${now}`);
    }
    return sandbox;
  }

  private record(task: Task): void {
    this.tasks.push(task);
    for (const job of task.jobs) {
      if (job.resolveActivity) this.activities.delete(job.resolveActivity.seq ?? 0);
      if (job.fireTimer) this.timers.delete(job.fireTimer.seq ?? 0);
      if (job.resolveChildWorkflowExecution) this.children.delete(job.resolveChildWorkflowExecution.seq ?? 0);
      const child = this.children.get(job.resolveChildWorkflowExecutionStart?.seq ?? -1);
      if (child) child.isStarted = true;
    }
    this.cancelledChildren = [];
    for (const command of task.commands) this.take(command, task.atMs);
  }

  private take(command: Command, atMs: number): void {
    const { startTimer, cancelTimer, scheduleActivity, requestCancelActivity } = command;
    if (startTimer) this.timers.set(startTimer.seq ?? 0, atMs + tsToMs(startTimer.startToFireTimeout));
    if (cancelTimer) this.timers.delete(cancelTimer.seq ?? 0);
    if (scheduleActivity) {
      const { seq, activityType, arguments: given, retryPolicy, scheduleToCloseTimeout } = scheduleActivity;
      const forMs = scheduleToCloseTimeout ? tsToMs(scheduleToCloseTimeout) : 0;
      this.activities.set(seq ?? 0, {
        ...{ seq: seq ?? 0, name: activityType ?? '', input: given?.[0] && fromPayload(given[0]) },
        ...{ attempt: 1, maximumAttempts: retryPolicy?.maximumAttempts ?? 0 },
        ...{ untilMs: forMs > 0 ? atMs + forMs : null, notBeforeMs: atMs },
        ...{ isCancelled: false, nextLookMs: null, answer: null, isTold: false },
      });
    }
    const cancelled = this.activities.get(requestCancelActivity?.seq ?? -1);
    if (cancelled) cancelled.isCancelled = true;
    if (command.startChildWorkflowExecution) {
      const { seq, workflowId, workflowType, input } = command.startChildWorkflowExecution;
      this.children.set(seq ?? 0, {
        ...{ seq: seq ?? 0, workflowId: workflowId ?? '', workflowType: workflowType ?? '' },
        ...{ input: input?.[0] && fromPayload(input[0]), isStarted: false },
      });
    }
    if (command.cancelChildWorkflowExecution)
      this.cancelledChildren.push(command.cancelChildWorkflowExecution.childWorkflowSeq ?? 0);
    if (
      command.completeWorkflowExecution ||
      command.failWorkflowExecution ||
      command.cancelWorkflowExecution ||
      command.continueAsNewWorkflowExecution
    )
      this.closed = command;
  }
}

// Validators aren't asked again.
function asReplayed(job: Job): Job {
  return job.doUpdate ? { ...job, doUpdate: { ...job.doUpdate, runValidator: false } } : job;
}

function saidIn({ message, cause }: { message?: string | null; cause?: unknown }): string {
  const inner = (cause as { message?: string } | null)?.message;
  return `${message ?? ''}${inner ? `: ${inner}` : ''}`;
}

/** A command whole, but for the run's id: tasks from before a Temporal reset are replayed under another. */
function textOf(command: Command): string {
  // The sandbox's arrays are of another realm than this one's.
  const text = JSON.stringify(command, (_key, value: unknown) =>
    types.isUint8Array(value) ? Buffer.from(value).toString() : value,
  );
  return text.replaceAll(/run-\d+/g, 'run');
}

/** What Temporal compares of a command: its kind, and what it is to do. What is sent along may name the run. */
function shapeOf(command: Command): string {
  const of = command.scheduleActivity ?? command.startChildWorkflowExecution ?? command.startTimer;
  const { seq, activityType, workflowId } = (of ?? {}) as Record<string, unknown>;
  return JSON.stringify([
    Object.keys(command).filter((key) => key !== 'userMetadata'),
    seq,
    activityType,
    workflowId,
  ]);
}
