/** One run's memory: its status, and what people and checks have said. */
import { setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { GroupPlan, Moved, PlanOutline, RestorePlan } from '../activities';
import {
  STEPS,
  type BackupStatus,
  type CheckReport,
  type Decision,
  type Dropped,
  type MigrationInput,
  type Outcome,
  type Phase,
  type Report,
  type Status,
  type StepName,
  type StepStatus,
  type TableReport,
  type WayBackStatus,
} from '../src/contract';
import { wayBack, type Standing } from '../src/ledger/phases';
import { droppedInShort, inShort, LIMITS, oneLine } from '../src/text';
import { type Choice, describeDetails } from './details';
import type { Problem } from './failures';
import { Notes } from './notes';
import { withSettledNumbers } from './progress';

/** Something that goes on beside the steps. */
export interface Background {
  /** Settles when it has really ended. */
  done: Promise<void>;
  cancel: () => void;
}

export type ParkAnswer = 'retry' | 'settle' | 'standDown' | 'rollBack';

// What queries answer and the report holds stays far below the 2 MB that Temporal carries, whatever was said to the run.
const room = {
  dropped: { count: 2_000, bytes: 100_000 },
  tables: { count: 5_000, bytes: 300_000 },
  decisions: { count: 200, bytes: 100_000 },
  checks: { count: 500, bytes: 100_000 },
};

export class Run {
  readonly info = workflowInfo();
  readonly startedAt = new Date(Date.now()).toISOString();
  plan!: PlanOutline;
  /** What people approve of the plan as the run began with it: hashes by the name of each part, and one of all of them. */
  approved: Pick<PlanOutline, 'parts' | 'hash'> = { parts: {}, hash: '' };
  /** The last `retry` of people, and the one that the plan was read for. */
  retry: string | null = null;
  planOfRetry: string | null = null;
  step: StepName = 'preflight';
  /** Where the ledger stood after the last transition that this history knows. */
  standing: Standing | null = null;
  wayBack: WayBackStatus[] = [];
  outcome: Outcome | null = null;
  parked = false;
  live = false;
  waitingFor: string | null = null;
  nextAction = 'Nothing: the run goes on by itself.';
  /** What people may say now, for the details in Temporal's UI. */
  choices: Choice[] = [];
  pageOnAt: number | null = null;
  pageOffAt: number | null = null;
  /** Downtime of an earlier window: a roll back after `live` opens a second one. */
  earlierDowntimeMs = 0;
  /** As preflight predicted it; the time that persons were waited for comes on top. */
  predictedEndMs: number | null = null;
  private waitingSinceMs: number | null = null;
  private waitedMs = 0;
  backup: BackupStatus | null = null;
  dropped: Dropped[] = [];
  readonly notes = new Notes();
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
  /** Who accepted the loss of what users wrote: the votes of the roll back that was granted last. */
  lossAcceptedBy: string[] = [];
  retired: Decision | null = null;
  answer: ParkAnswer | null = null;
  /** True where a park takes `rollBack` for an answer. */
  asksRollBack = false;
  /** A failing check of the monitoring waits for `retry` too. */
  awaitsRetry = false;
  /** Indexes of the backup, made while the approval is awaited. */
  indexing: Background | null = null;
  indexingProblem: Problem | null = null;
  /** The watching of the page, for as long as it must be on. */
  pageWatch: Background | null = null;
  /** What the watching of the page has found, and nobody has heeded yet. */
  pageProblem: Problem | null = null;
  /** While production is watched: another run has been found to hold it, and nobody has heeded that yet. */
  overtaken: Problem | null = null;
  /** The restore under way: its plan and which attempt; null also where old objects were kept, and nothing is copied. */
  restoring: (RestorePlan & GroupPlan) | null = null;
  /** When people were last told of the outage under way. */
  outageToldAtMs: number | null = null;
  isGoingBack = false;
  /** A Temporal reset began a run anew that had ended. */
  hadEnded = false;
  /** What keeps the backup unchanged during a restore. */
  backupHold: Background | null = null;
  /** Why the backup is no longer kept unchanged, though nobody has let go of it. */
  backupHoldProblem: Problem | null = null;

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

  /** Takes the plan that the run begins with: what is approved of it holds to the end. */
  begin(plan: PlanOutline): void {
    this.plan = plan;
    this.approved = plan;
    this.planOfRetry = this.retry;
  }

  /** Takes over where the ledger stands now, and what was said about it. */
  moved({ standing, notes }: Moved): void {
    this.standing = standing;
    if (standing.phase !== 'over') this.live = standing.phase === 'live';
    for (const note of notes) this.note(note);
    this.show();
  }

  /** The ledger's phase; null before production is claimed. */
  get phase(): Phase | null {
    return this.standing?.phase ?? null;
  }

  get window(): number {
    return this.standing?.window ?? 1;
  }

  /** True while a way back has emptied nothing. */
  get mayStandDown(): boolean {
    return this.standing !== null && wayBack(this.standing, 'standDown').kind === 'forward';
  }

  /** What activities on the way forward need to know: the plan must be the one that the run began with. */
  ref() {
    return { ...this.refBack(), planHash: this.approved.hash as string | null };
  }

  /** The same for ways back and what follows `live`, where a repaired plan must not hinder. */
  refBack() {
    return { plan: this.input.plan, planHash: null as string | null, retry: this.retry };
  }

  at(name: StepName): StepStatus {
    const found = this.steps.find((step) => step.name === name);
    if (!found) throw new Error(`unknown step ${name}`);
    return found;
  }

  note(sentence: string): void {
    this.notes.add(sentence);
    this.show();
  }

  /** Notes that a signal made no sense. */
  ignore(name: string, why: string): void {
    this.notes.ignore(name, why);
    this.show();
  }

  decide(by: string, what: string, note: string | null): Decision {
    const decision = { at: now(), by, what, note };
    this.decisions.push(decision);
    return decision;
  }

  /** Whom or what the run waits for (null = nobody), the next action as a sentence, and what may be said now. */
  wait(waitingFor: string | null, nextAction: string, choices: Choice[] = []): void {
    if (waitingFor !== null) this.waitingSinceMs ??= Date.now();
    else if (this.waitingSinceMs !== null) {
      this.waitedMs += Date.now() - this.waitingSinceMs;
      this.waitingSinceMs = null;
    }
    this.waitingFor = waitingFor === null ? null : oneLine(waitingFor, LIMITS.sentence);
    this.nextAction = oneLine(nextAction, LIMITS.sentence);
    this.choices = choices;
    this.show();
  }

  goOn(): void {
    this.wait(null, 'Nothing: the run goes on by itself.');
  }

  /** Moves on by every wait for a person that is over; the present one is told by `waitingSince`. */
  get predictedEnd(): string | null {
    return this.predictedEndMs === null ? null : timeOf(this.predictedEndMs + this.waitedMs);
  }

  status(): Status {
    const until = this.pageOffAt ?? (this.finishedAt === null ? Date.now() : Date.parse(this.finishedAt));
    return {
      plan: this.input.plan,
      step: this.step,
      phase: this.phase,
      window: this.window,
      outcome: this.outcome,
      parked: this.parked,
      live: this.live,
      waitingFor: this.waitingFor,
      nextAction: this.nextAction,
      startedAt: this.startedAt,
      downtimeMs: this.earlierDowntimeMs + (this.pageOnAt === null ? 0 : Math.max(0, until - this.pageOnAt)),
      predictedEnd: this.predictedEnd,
      waitingSince: this.waitingSinceMs === null ? null : timeOf(this.waitingSinceMs),
      backup: this.backup,
      steps: this.steps.map(withSettledNumbers),
      wayBack: this.wayBack.map(withSettledNumbers),
      dropped: droppedInShort(this.dropped, room.dropped),
      notes: this.notes.list(),
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
      decisions: this.decisionsInShort(),
      tables: this.tablesInShort(),
      checks: this.checksInShort(),
    };
  }

  private decisionsInShort(): Decision[] {
    const rest = (what: string, after?: Decision) => ({ at: after?.at ?? now(), by: '…', what, note: null });
    return inShort(this.decisions, room.decisions, rest);
  }

  private tablesInShort(): TableReport[] {
    const rest = (table: string) => ({ table, sourceRows: null, targetRows: null, origin: '…' });
    return inShort(this.tables, room.tables, rest);
  }

  private checksInShort(): CheckReport[] {
    const rest = (name: string, after?: CheckReport) => ({
      ...{ step: after?.step ?? 'smoke', at: after?.at ?? now() },
      ...{ name, passed: true, detail: '…' },
    });
    return inShort(this.checks, room.checks, rest);
  }

  /** The same as Markdown in the workflow's current details, for the UI. */
  show(): void {
    setCurrentDetails(describeDetails(this.status(), this.choices));
  }
}

export function now(): string {
  return timeOf(Date.now());
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
