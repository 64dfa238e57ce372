/** One run's memory: its status, and what people and checks have said. */
import { setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { PlanOutline } from '../activities';
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
import { describeDetails } from './details';

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

  constructor(readonly input: MigrationInput) {}

  get id(): string {
    return this.info.workflowId;
  }

  /** True when this run, or the one that a Temporal reset made it from, may have written to the ledger. */
  get hasPast(): boolean {
    return this.claimed || this.info.runId !== this.info.firstExecutionRunId;
  }

  /** What activities on the way forward need to know: the plan must be the one that the run began with. */
  ref() {
    return { ...this.refBack(), planHash: this.plan.hash as string | null };
  }

  /** The same for ways back and what follows `live`, where a repaired plan must not hinder. */
  refBack() {
    return {
      plan: this.input.plan,
      planHash: null as string | null,
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
