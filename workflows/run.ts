/** One run's memory: status, decisions and checks, and the waiting for people. */
import {
  CancellationScope,
  condition,
  isCancellation,
  setCurrentDetails,
  workflowInfo,
} from '@temporalio/workflow';
import {
  STEPS,
  type BackupStatus,
  type CheckReport,
  type Decision,
  type Dropped,
  type MigrationInput,
  type Outcome,
  type Report,
  type Status,
  type StepName,
  type StepStatus,
  type TableReport,
} from '../src/contract';
import type { PlanOutline } from '../activities';
import { describeDetails } from './details';
import { Settled, problemOf } from './failures';

export type ParkAnswer = 'retry' | 'settle';

export class Run {
  readonly info = workflowInfo();
  readonly startedAt = new Date(Date.now()).toISOString();
  plan!: PlanOutline;
  step: StepName = 'preflight';
  outcome: Outcome | null = null;
  parked = false;
  live = false;
  waitingFor: string | null = null;
  nextAction = 'Nothing: the run goes on by itself.';
  pageOnAt: number | null = null;
  pageOffAt: number | null = null;
  /** Downtime of an earlier window: a roll back after `live` opens a second one. */
  earlierDowntimeMs = 0;
  predictedEnd: string | null = null;
  backup: BackupStatus | null = null;
  dropped: Dropped[] = [];
  notes: string[] = [];
  decisions: Decision[] = [];
  tables: TableReport[] = [];
  checks: CheckReport[] = [];
  finishedAt: string | null = null;
  /** What people have said and nobody has read yet. */
  approvals = new Map<string, string>();
  rejection: Decision | null = null;
  confirmations = new Map<string, { passed: boolean; by: string }>();
  awaitedCheck: string | null = null;
  rollBackVotes = new Set<string>();
  retired: Decision | null = null;
  answer: ParkAnswer | null = null;
  /** A failing check of the monitoring waits for `retry` too. */
  awaitsRetry = false;
  /** True once this run has claimed production. */
  claimed = false;
  /** Which ways back a step has called for: filled before the step acts. */
  deploysBegun: number[] = [];
  indexing: { done: Promise<void>; cancel: () => void } | null = null;

  readonly steps: StepStatus[] = STEPS.map((name) => ({
    name,
    state: 'pending',
    startedAt: null,
    finishedAt: null,
    rows: null,
    rowsTotal: null,
    bytes: null,
    attempt: 0,
    error: null,
  }));

  constructor(
    readonly input: MigrationInput,
    /** Tells the stakeholders; a message that can't be delivered is a note. */
    readonly tell: (run: Run, text: string) => Promise<void>,
  ) {}

  get id(): string {
    return this.info.workflowId;
  }

  /** True when this run, or the one that a Temporal reset made it from, may have written to the ledger. */
  get hasPast(): boolean {
    return this.claimed || this.info.runId !== this.info.firstExecutionRunId;
  }

  /** What activities need to know; without the plan's hash on ways back, where a repaired plan must not hinder. */
  ref(back = false) {
    return {
      plan: this.input.plan,
      planHash: back ? null : this.plan.hash,
      chain: this.info.firstExecutionRunId,
    };
  }

  at(name: StepName): StepStatus {
    const found = this.steps.find((step) => step.name === name);
    if (!found) throw new Error(`unknown step ${name}`);
    return found;
  }

  note(sentence: string): void {
    if (!this.notes.includes(sentence)) this.notes.push(sentence);
    this.show();
  }

  decide(by: string, what: string, note: string | null): Decision {
    const decision = { at: now(), by, what, note };
    this.decisions.push(decision);
    return decision;
  }

  wait(waitingFor: string | null, nextAction: string): void {
    this.waitingFor = waitingFor;
    this.nextAction = nextAction;
    this.show();
  }

  goOn(): void {
    this.wait(null, 'Nothing: the run goes on by itself.');
  }

  /** Runs a step of the runbook: its times and state, and parking where an operator can repair what stops it. */
  async doStep<T>(name: StepName, work: () => Promise<T>): Promise<T> {
    const status = this.at(name);
    this.step = name;
    for (;;) {
      status.state = 'running';
      status.startedAt ??= now();
      status.attempt += 1;
      status.error = null;
      this.show();
      try {
        const result = await work();
        status.state = 'done';
        status.finishedAt = now();
        this.show();
        return result;
      } catch (error) {
        const problem = problemOf(error);
        status.finishedAt = now();
        status.state = 'failed';
        if (isCancellation(error)) throw error;
        status.error = problem.message;
        if (problem.type !== 'NeedsOperator') throw error;
        await this.park(
          `${name}: ${problem.message}`,
          'repair it and send retry; settle or cancel are the other ways out',
        );
        status.finishedAt = null;
      }
    }
  }

  /** Repeats `work` until it succeeds; after each failure the run is parked. For ways back and what follows `live`. */
  async insist<T>(what: string, work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await CancellationScope.nonCancellable(work);
      } catch (error) {
        if (error instanceof Settled) throw error;
        const page =
          this.pageOnAt !== null && this.pageOffAt === null ? ' The maintenance page stays on.' : '';
        await CancellationScope.nonCancellable(() =>
          this.park(
            `${what} did not succeed: ${problemOf(error).message}${page}`,
            'repair it and send retry, or settle to leave everything as it is',
          ),
        );
      }
    }
  }

  /** Waits for `retry`; `settle` ends the run. */
  async park(problem: string, next: string): Promise<void> {
    this.parked = true;
    this.answer = null;
    this.notes.push(problem);
    const told = CancellationScope.nonCancellable(() =>
      this.tell(this, `${this.input.plan}: an operator is needed (workflow ${this.id}): ${problem}`),
    );
    this.wait(
      `an operator: ${problem}`,
      `${capital(next)}: kirikae retry ${this.id} --by NAME, or kirikae settle ${this.id} --by NAME.`,
    );
    try {
      await condition(() => this.answer !== null);
      await told;
    } finally {
      this.parked = false;
      this.goOn();
    }
    if (this.read() === 'settle') throw new Settled(problem);
  }

  private read(): ParkAnswer | null {
    return this.answer;
  }

  status(): Status {
    const until = this.pageOffAt ?? (this.finishedAt === null ? Date.now() : Date.parse(this.finishedAt));
    return {
      plan: this.input.plan,
      step: this.step,
      outcome: this.outcome,
      parked: this.parked,
      live: this.live,
      waitingFor: this.waitingFor,
      nextAction: this.nextAction,
      startedAt: this.startedAt,
      downtimeMs: this.earlierDowntimeMs + (this.pageOnAt === null ? 0 : Math.max(0, until - this.pageOnAt)),
      predictedEnd: this.predictedEnd,
      backup: this.backup,
      steps: this.steps.map((step) => ({ ...step })),
      dropped: this.dropped,
      notes: [...this.notes],
    };
  }

  report(): Report {
    return {
      workflowId: this.id,
      runId: this.info.runId,
      requestedBy: this.input.requestedBy,
      finishedAt: this.finishedAt,
      checklist: this.input.checklist ?? [],
      status: this.status(),
      decisions: [...this.decisions],
      tables: this.tables,
      checks: [...this.checks],
    };
  }

  /** The same as Markdown in the workflow's current details, for the UI. */
  show(): void {
    setCurrentDetails(describeDetails(this.id, this.status()));
  }
}

export function now(): string {
  return new Date(Date.now()).toISOString();
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
