/** Temporal as the model plays it: one run with its monitoring, a clock of its own, activities that act when they are told to. */
import { WORKFLOW_TYPE, type CommandName, type Status } from '../../../src/contract';
import type { Stubs } from '../stubbed-run';
import { ActivityWorker, type How } from './activity-worker';
import { RunningExecution, type Activity, type Child } from './execution';
import * as jobs from './jobs';
import type { Execution, Job } from './sandbox';

/** Something that may happen next by itself. */
export interface Step {
  label: string;
  take: (how: How) => Promise<void>;
}

export interface Said {
  name: CommandName;
  payloads: unknown[];
  by: 'update' | 'signal';
}

interface RunningChild {
  running: RunningExecution;
  seq: number;
  isCancelled: boolean;
}

const workflowId = 'm';
const taskQueue = 'model';

export class ModelServer {
  nowMs = Date.UTC(2026, 0, 1);
  run!: RunningExecution;
  readonly worker: ActivityWorker;
  /** Activities that a former Temporal run had begun: each may act once more. */
  former: { activity: Activity; runId: string }[] = [];
  private readonly childRuns = new Map<number, RunningChild>();
  private runs = 0;
  private updates = 0;
  /** Jobs that come together with the next. */
  private held: Job[] = [];
  isHolding = false;
  /** The watching of the page has found something; the run hears of it next. */
  whenWatchEnds: (type: string) => void = () => undefined;

  /** @param look called after each workflow task of the run */
  private constructor(
    readonly stubs: Stubs,
    private readonly look: (status: Status, run: RunningExecution, nowMs: number) => Promise<void>,
  ) {
    this.worker = new ActivityWorker(stubs);
  }

  static async start(stubs: Stubs, input: object, look: ModelServer['look']): Promise<ModelServer> {
    const server = new ModelServer(stubs, look);
    const runId = server.nextRunId();
    stubs.world.firstRunId = runId;
    const execution = { workflowId, runId, firstRunId: runId, workflowType: WORKFLOW_TYPE, taskQueue };
    server.run = await RunningExecution.start(execution, jobs.started(execution, input), server.nowMs);
    await server.afterTask();
    return server;
  }

  get runId(): string {
    return this.run.execution.runId;
  }

  status(): Promise<Status> {
    return this.run.query<Status>('status');
  }

  /** What may happen next, oldest first; what has to wait for its time is left out. */
  steps(): Step[] {
    const found: Step[] = [];
    for (const [seq, child] of this.run.children) {
      const running = this.childRuns.get(seq);
      if (!running && !child.isStarted)
        found.push({ label: 'the monitoring starts', take: () => this.startChild(child) });
      else if (running) found.push(...this.stepsOf(running.running, (job) => this.tellChild(running, [job])));
    }
    if (!this.run.closed) found.push(...this.stepsOf(this.run, (job) => this.tell([job])));
    return found;
  }

  private stepsOf(execution: RunningExecution, tell: (job: Job) => Promise<unknown>): Step[] {
    if (execution.closed) return [];
    const ready = [...execution.activities.values()].filter(
      (activity) =>
        activity.answer !== null || (activity.notBeforeMs <= this.nowMs && this.worker.isReady(activity)),
    );
    return ready.map((activity) => ({
      label: activity.name,
      take: async (how) => {
        const answer = await this.worker.attend(activity, {
          how,
          runId: execution.execution.runId,
          nowMs: this.nowMs,
        });
        if (answer) await tell(jobs.answered(activity, answer));
      },
    }));
  }

  /** Lets time pass; what is due meanwhile happens in order. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const dueMs = this.nextDueMs();
      if (dueMs === null || dueMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, dueMs);
      await this.fireDue();
    }
    this.nowMs = Math.max(this.nowMs, untilMs);
  }

  /** When something happens by itself; null: never. What may happen at once doesn't count. */
  nextDueMs(): number | null {
    const executions = [this.run, ...[...this.childRuns.values()].map(({ running }) => running)];
    const dues = executions
      .filter(({ closed }) => !closed)
      .flatMap(({ timers, activities }) => [
        ...timers.values(),
        ...[...activities.values()].flatMap((activity) => [
          ...(activity.nextLookMs === null ? [] : [activity.nextLookMs]),
          ...(activity.notBeforeMs > this.nowMs ? [activity.notBeforeMs] : []),
        ]),
      ]);
    return dues.length === 0 ? null : Math.min(...dues);
  }

  private async fireDue(): Promise<void> {
    for (const child of [...this.childRuns.values()])
      for (const [seq, dueMs] of [...child.running.timers])
        if (dueMs <= this.nowMs && !child.running.closed)
          await this.tellChild(child, [{ fireTimer: { seq } }]);
    if (this.run.closed) return;
    for (const activity of [...this.run.activities.values()]) {
      if (activity.nextLookMs === null || activity.nextLookMs > this.nowMs) continue;
      const answer = this.worker.lookAgain(activity, { runId: this.runId, nowMs: this.nowMs });
      if (answer) await this.tell([jobs.answered(activity, answer)]);
    }
    const [first] = [...this.run.timers].sort(([, a], [, b]) => a - b);
    if (first && first[1] <= this.nowMs && !this.run.closed)
      await this.tell([{ fireTimer: { seq: first[0] } }]);
  }

  /** @returns why it was refused; null: it was taken, or went off as a signal */
  async say({ name, payloads, by }: Said): Promise<string | null> {
    if (by === 'signal') {
      await this.tell([jobs.signalled(name, payloads)]);
      return null;
    }
    this.updates += 1;
    const [verdict] = await this.tell([jobs.updated(name, payloads, `update-${this.updates}`)], true);
    return verdict ?? null;
  }

  async cancel(): Promise<void> {
    await this.tell([jobs.cancelled]);
  }

  /** A long activity of the run ends by itself. */
  async failLong(name: string, type: string): Promise<void> {
    const activity = [...this.run.activities.values()].find(
      (of) => of.name === name && of.nextLookMs !== null,
    );
    if (!activity || this.run.closed) return;
    await this.tell([jobs.answered(activity, { failure: jobs.thrown(type, `${name} ended.`) })]);
  }

  async endChild(how: 'terminated' | 'cancelled'): Promise<void> {
    const [child] = [...this.childRuns.values()].filter(({ running }) => !running.closed);
    if (!child) return;
    if (how === 'cancelled') return this.tellChild(child, [jobs.cancelled]);
    await this.childClosed(child, { terminated: true });
  }

  async moveToAnotherWorker(): Promise<void> {
    await this.flush();
    await this.run.moveToAnotherWorker();
    for (const activity of this.run.activities.values()) this.worker.lose(activity);
  }

  /** A Temporal reset to one of the run's tasks: what people said after it is said again. @param place from 0 to 1 */
  async reset(place: number): Promise<void> {
    await this.flush();
    const before = this.run;
    const last = before.tasks.length - (before.closed ? 1 : 0);
    const tasks = 1 + Math.floor(place * last * 0.999);
    if (tasks > last) return;
    if (!before.closed)
      for (const activity of before.activities.values())
        this.former.push({ activity, runId: before.execution.runId });
    const again = before.tasks
      .slice(tasks)
      .flatMap((task) => task.jobs)
      .filter((job) => job.signalWorkflow ?? job.doUpdate ?? job.cancelWorkflow)
      .map((job) => this.saidAgain(job));
    this.run = await before.resetTo(tasks, this.nextRunId());
    await before.close();
    for (const [seq, child] of this.childRuns) {
      if (this.run.children.get(seq)?.isStarted) continue;
      this.childRuns.delete(seq);
      await child.running.close();
    }
    // One that ended meanwhile has ended for this run too.
    const lost = [...this.run.children.values()].filter(
      ({ seq, isStarted }) => isStarted && !this.childRuns.has(seq),
    );
    await this.tell([
      jobs.reseeded(this.runId),
      ...again,
      ...lost.map((child) => jobs.childEnded(child, { terminated: true })),
    ]);
  }

  /** An activity of a former Temporal run acts once more; nobody hears of it. */
  async actForFormer(): Promise<void> {
    const found = this.former.shift();
    if (!found || found.activity.answer || found.activity.nextLookMs !== null) return;
    await this.worker.attend(found.activity, { how: 'act', runId: found.runId, nowMs: this.nowMs });
  }

  async close(): Promise<void> {
    await this.run.close();
    for (const { running } of this.childRuns.values()) await running.close();
  }

  /** What was held back reaches the run in one task. @returns false when there was nothing */
  async flush(): Promise<boolean> {
    this.isHolding = false;
    const isHeld = this.held.length > 0;
    if (isHeld) await this.tell([]);
    return isHeld;
  }

  private async tell(more: Job[], isAtOnce = false): Promise<(string | null)[]> {
    // What comes later was caused by what came before, and nothing is told twice.
    const waiting = [...this.held, ...more];
    const answers = more.map(({ resolveActivity }) => resolveActivity?.seq);
    for (const activity of this.run.activities.values())
      if (answers.includes(activity.seq)) Object.assign(activity, { isTold: true, nextLookMs: null });
    for (const { fireTimer } of more) this.run.timers.delete(fireTimer?.seq ?? -1);
    if (this.isHolding && !isAtOnce) {
      this.held = waiting;
      return [];
    }
    this.held = [];
    this.isHolding = false;
    if (this.run.closed) return ['The run is closed.'];
    for (const job of waiting) {
      const of = this.run.activities.get(job.resolveActivity?.seq ?? -1);
      const type = of?.name === 'watchPage' ? jobs.failureTypeOf(job) : null;
      if (type !== null) this.whenWatchEnds(type);
    }
    const verdicts = await this.run.activate(jobs.inOrder(waiting), this.nowMs);
    await this.afterTask();
    return verdicts;
  }

  private async afterTask(): Promise<void> {
    for (const seq of this.run.cancelledChildren) {
      const child = this.childRuns.get(seq);
      // Before it has started nothing reaches it.
      if (child && !child.isCancelled && !child.running.closed) {
        child.isCancelled = true;
        await this.tellChild(child, [jobs.cancelled]);
      }
    }
    await this.look(await this.status(), this.run, this.nowMs);
  }

  private async startChild(child: Child): Promise<void> {
    const { seq, workflowId: id, workflowType, input } = child;
    child.isStarted = true;
    const runId = `${id}-1`;
    const execution: Execution = { workflowId: id, runId, firstRunId: runId, workflowType, taskQueue };
    const running = await RunningExecution.start(execution, jobs.started(execution, input), this.nowMs);
    this.childRuns.set(seq, { running, seq, isCancelled: false });
    await this.tell([jobs.childStarted(seq, runId)]);
  }

  private async tellChild(child: RunningChild, told: Job[]): Promise<void> {
    await child.running.activate(told, this.nowMs);
    const { closed } = child.running;
    if (!closed) return;
    const { completeWorkflowExecution, failWorkflowExecution } = closed;
    if (completeWorkflowExecution)
      return this.childClosed(child, { completed: completeWorkflowExecution.result });
    if (failWorkflowExecution)
      return this.childClosed(child, { failure: failWorkflowExecution.failure ?? {} });
    return this.childClosed(child, { cancelled: true });
  }

  private async childClosed({ running, seq }: RunningChild, how: Parameters<typeof jobs.childEnded>[1]) {
    const asked = this.run.children.get(seq);
    this.childRuns.delete(seq);
    await running.close();
    if (asked && !this.run.closed) await this.tell([jobs.childEnded(asked, how)]);
  }

  // A validator judges it anew: nobody had accepted it from this run.
  private saidAgain(job: Job): Job {
    if (!job.doUpdate) return job;
    this.updates += 1;
    const id = `update-${this.updates}`;
    return { doUpdate: { ...job.doUpdate, id, protocolInstanceId: id, runValidator: true } };
  }

  private nextRunId(): string {
    this.runs += 1;
    return `run-${this.runs}`;
  }
}
