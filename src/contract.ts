/** The outer interface as types and names: what goes into a run, what comes out, and what is sent to it. Pure: workflows import it. */

export const WORKFLOW_TYPE = 'offlineMigration';
export const TASK_QUEUE = 'offline-migration';

/** Queue of the part groups to copy: a worker takes as many at a time as its host can, so that several hosts share them. */
export function copyQueueOf(taskQueue: string): string {
  return `${taskQueue}-copy`;
}

/** The steps of the runbook, in order (design: "The runbook"). */
export const STEPS = [
  'preflight',
  'announce',
  'maintenanceOn',
  'fence',
  'backup',
  'approval',
  'reset',
  'deploySchema',
  'migrate',
  'verify',
  'deploy',
  'smoke',
  'maintenanceOff',
  'monitor',
  'retireBackup',
  'report',
] as const;
export type StepName = (typeof STEPS)[number];

/** The phases of the way forward, in order. Each says what is done; the step after it may have begun. */
export const FORWARD = [
  'claimed',
  'closed',
  'fenced',
  'sealed',
  'approved',
  'reset',
  'built',
  'migrated',
  'verified',
  'deployed',
  'checked',
  'live',
] as const;

/** Where a run stands, as its ledger has it (design: "Phases"). */
export const PHASES = [...FORWARD, 'returning', 'aside', 'emptied', 'restored', 'home', 'over'] as const;
export type Phase = (typeof PHASES)[number];

/** The steps of a way back, in order. */
export const WAY_BACK_STEPS = [
  'proveBackup',
  'pageOn',
  'fence',
  'aside',
  'empty',
  'restore',
  'compare',
  'liftFence',
  'undoDeploys',
  'rollbackSmoke',
  'pageOff',
  'removeBackup',
] as const;
export type WayBackStepName = (typeof WAY_BACK_STEPS)[number];

export type StepState = 'pending' | 'running' | 'waiting' | 'done' | 'failed' | 'undone' | 'skipped';

export const OUTCOMES = [
  'migrated',
  'rehearsed',
  'rolled-back',
  'rejected',
  'cancelled',
  'refused',
  'needs-operator',
] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** Input of the workflow: names a plan, never carries a URL, a command or SQL. */
export interface MigrationInput {
  plan: string;
  requestedBy: string;
  rehearse?: boolean;
  checklist?: string[];
}

/** Payload of `approve` and `reject`. */
export interface ApprovalPayload {
  by: string;
  fingerprint: string;
  note?: string;
}

/** Payload of `confirm`: the answer to a manual smoke check. */
export interface ConfirmPayload {
  by: string;
  check: string;
  passed: boolean;
  note?: string;
}

/** Payload of `retry`, `settle`, `standDown`, `retireBackup`. */
export interface OperatorPayload {
  by: string;
  note?: string;
}

/** Payload of `rollBack`: after the point of no return only with `acceptLoss: true`. */
export interface RollBackPayload extends OperatorPayload {
  acceptLoss?: boolean;
}

/** How far a step is, of the runbook or of a way back. */
export interface StepProgress {
  state: StepState;
  /** ISO 8601, UTC; null until it happened. */
  startedAt: string | null;
  finishedAt: string | null;
  rows: number | null;
  rowsTotal: number | null;
  bytes: number | null;
  attempt: number;
  error: string | null;
}

export interface StepStatus extends StepProgress {
  name: StepName;
}

export interface WayBackStatus extends StepProgress {
  name: WayBackStepName;
}

export interface BackupStatus {
  database: string;
  fingerprint: string;
  tables: number;
  rows: number;
  bytes: number;
}

/** A table or column the mapping leaves behind; rows are rows of the table, or non-null values of the column. */
export interface Dropped {
  what: string;
  rows: number;
  reason: string;
}

/** Answer of the query `status`, and the result of the workflow. */
export interface Status {
  plan: string;
  step: StepName;
  /** The ledger's phase; null before production is claimed. */
  phase: Phase | null;
  /** The ledger's window of downtime, from 1: a roll back after `live` opens the next one. */
  window: number;
  outcome: Outcome | null;
  parked: boolean;
  live: boolean;
  waitingFor: string | null;
  nextAction: string;
  startedAt: string;
  downtimeMs: number;
  /** Predicted end of the window, without the time that applications take to deploy; moved on by every wait for a person that is over. */
  predictedEnd: string | null;
  /** Since when a person is waited for; null when nobody is. That time isn't in `predictedEnd` yet. */
  waitingSince?: string | null;
  backup: BackupStatus | null;
  steps: StepStatus[];
  /** The steps of the way back of this window; empty until there is one. */
  wayBack: WayBackStatus[];
  dropped: Dropped[];
  notes: string[];
}

/** True while a run goes back, whatever step of the runbook it left. */
export function isGoingBack(status: Status): boolean {
  const isUnderWay = status.wayBack.some(({ state }) => state === 'running' || state === 'waiting');
  return status.outcome === null && (isUnderWay || isPhaseOfReturn(status.phase));
}

function isPhaseOfReturn(phase: Phase | null): boolean {
  switch (phase) {
    case 'returning':
    case 'aside':
    case 'emptied':
    case 'restored':
    case 'home':
      return true;
    default:
      return false;
  }
}

/** The step of the way back that a run is at: the one that runs, waits or has failed; null between two, and on the way forward. */
export function wayBackStepOf(status: Status): WayBackStatus | null {
  if (!isGoingBack(status)) return null;
  const isAt = ({ state }: WayBackStatus) => ['running', 'waiting', 'failed'].includes(state);
  return status.wayBack.find(isAt) ?? null;
}

/** What a way back is at, to be cut to a line's length: `going back: restore, attempt 3: connect ECONNREFUSED …`. */
export function describeGoingBack(
  at: { name: string; attempt: number; error: string | null } | null,
): string {
  if (at === null) return 'going back';
  const attempt = at.attempt > 1 ? `, attempt ${at.attempt}` : '';
  return `going back: ${at.name}${attempt}${at.error === null ? '' : `: ${at.error}`}`;
}

/** One thing a person said to the run; kept for the report. */
export interface Decision {
  at: string;
  by: string;
  what: string;
  note: string | null;
}

/** One table as the report shows it. */
export interface TableReport {
  table: string;
  sourceRows: number | null;
  targetRows: number | null;
  /** How the target's rows came to be, e.g. `Organization (12) + User (2000)`. */
  origin: string;
}

export interface CheckReport {
  step: StepName;
  name: string;
  passed: boolean;
  detail: string;
  at: string;
}

/** Answer of the query `report`; also what the HTML page shows. */
export interface Report {
  workflowId: string;
  runId: string;
  requestedBy: string;
  finishedAt: string | null;
  checklist: string[];
  status: Status;
  decisions: Decision[];
  tables: TableReport[];
  checks: CheckReport[];
}

export const QUERIES = { status: 'status', report: 'report' } as const;

/** Names that are both a signal and an update. */
export const COMMANDS = [
  'approve',
  'reject',
  'confirm',
  'retry',
  'settle',
  'standDown',
  'rollBack',
  'retireBackup',
] as const;
export type CommandName = (typeof COMMANDS)[number];

/**
 * What a heartbeat of an activity says: rows and bytes in flight, beyond those of finished parts, and what it waits for that must
 * come back by itself.
 */
export interface Heartbeat {
  /** Left out by what counts nothing. */
  step?: StepName | WayBackStepName;
  rows?: number;
  bytes?: number;
  outage?: Outage;
}

/** What keeps an activity that hasn't failed from going on. */
export interface Outage {
  error: string;
  /** ISO 8601. */
  since: string;
}

export const LEDGER_SCHEMA = 'kirikae';
