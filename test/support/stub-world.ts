/** The world of a stubbed run: page, rows, backup, applications, and a ledger that allows and refuses as the real one does. */
import { ApplicationFailure } from '@temporalio/client';
import type { Phase } from '../../src/contract';
import { standingAt } from '../../src/ledger/claim';
import { mayGo, needsPage, needsRestore, hasReached, type Standing } from '../../src/ledger/phases';

export interface StubClaim {
  id: string;
  holder: string;
  standing: Standing;
  /** In the order in which they began. */
  deploys: { name: string; ended: boolean; undone: boolean }[];
  passed: Set<string>;
  /** Persons, by the fingerprint that they approved. */
  approvals: Map<string, Set<string>>;
  fingerprint: string | null;
  isSealed: boolean;
  /** What is intended with the backup. */
  intent: 'creating' | 'dropping' | null;
}

/** What stands in production and beside it. */
export class StubWorld {
  claim: StubClaim | null = null;
  /** Lives in the backup, and goes with it. */
  mirror: Standing | null = null;
  page: 'on' | 'off' = 'off';
  fenceOn = false;
  rows: 'old' | 'none' | 'new' | 'partly' = 'old';
  backup: 'none' | 'unsealed' | 'sealed' | 'changed' = 'none';
  /** Rows that users wrote since `verified`, and how many of them are copied aside. */
  lateRows = 0;
  rowsAside = 0;
  /** False after a crash of the server, which takes its counters, until the rows are copied aside. */
  isCounted = true;
  /** The present database was copied aside. */
  hasAside = false;
  firstRunId: string | null = null;
  /** Temporal runs that have written a report with an outcome. */
  readonly ended = new Set<string>();
  /** The phases in order, as they were written. */
  readonly history: Phase[] = [];
  /** What must never happen and did. */
  readonly wrongs: string[] = [];
  /** Approvals that the plan asks for. */
  minimum = 1;

  /** What a test looks at in one go. */
  get stands() {
    const { page, fenceOn, rows } = this;
    return { phase: this.claim?.standing.phase ?? null, page, fenceOn, rows };
  }

  get isAfterReset(): boolean {
    return this.claim === null && this.history.length > 0;
  }

  /** The claim of this run, at one of these phases. @throws ApplicationFailure Overtaken */
  own(runId: string, phases?: readonly Phase[]): StubClaim {
    const { claim } = this;
    if (!claim) throw overtaken('Production holds no claim of this run (any more).');
    if (claim.holder !== runId)
      throw overtaken(
        `The ledger in production is held by ${claim.holder} and is at phase ${claim.standing.phase}.`,
      );
    if (phases && !phases.includes(claim.standing.phase))
      throw overtaken(
        `The ledger is at phase ${claim.standing.phase}, where this must not be done (it belongs to ${phases.join(', ')}).`,
      );
    return claim;
  }

  makeClaim(runId: string): void {
    if (this.firstRunId !== runId)
      throw overtaken('This run was made by a Temporal reset, and such a run claims nothing.');
    this.claim = emptyClaim(runId, { phase: 'claimed', seq: 1, window: 1, from: null });
    this.history.push('claimed');
  }

  /** A transition, in ledger and mirror in the order of the real ones. */
  move(runId: string, to: Phase, before: (claim: StubClaim) => void = () => undefined) {
    const claim = this.own(runId);
    const { standing } = claim;
    if (standing.phase !== to) {
      if (!mayGo(standing, to))
        throw overtaken(`The ledger is at phase ${standing.phase}, not before ${to}.`);
      before(claim);
      this.judgeMove(claim, to);
      claim.standing = standingAt(standing, to);
      this.history.push(to);
    }
    return this.mirrored(claim);
  }

  mirrored(claim: StubClaim) {
    if (claim.isSealed && this.backup !== 'none') this.mirror = { ...claim.standing };
    return { standing: { ...claim.standing }, notes: [] as string[] };
  }

  adopt(runId: string, furthest: Standing): Standing {
    const standing = { ...furthest, seq: furthest.seq + 1 };
    if (this.claim) Object.assign(this.claim, { standing, holder: runId });
    else if (this.mirror) {
      this.claim = { ...emptyClaim(runId, standing), isSealed: true, intent: 'creating' };
    } else throw overtaken('Production holds no claim of this run (any more).');
    this.history.push(standing.phase);
    return this.mirrored(this.claim).standing;
  }

  removeLedger(): void {
    const phase = this.claim?.standing.phase;
    if (phase !== 'over') this.wrongs.push(`the ledger was removed at ${phase}`);
    this.claim = null;
  }

  turnPageOff(claim: StubClaim): void {
    const { phase } = claim.standing;
    const isWhole = phase === 'live' ? this.rows === 'new' : phase === 'home' && this.rows === 'old';
    if (!isWhole) this.wrongs.push(`the page was taken off at ${phase} over ${this.rows} rows`);
    if (this.fenceOn) this.wrongs.push(`the page was taken off at ${phase} under the fence`);
    this.page = 'off';
  }

  private judgeMove({ standing, approvals, fingerprint }: StubClaim, to: Phase): void {
    if (needsPage(to) && to !== 'returning' && this.page === 'off' && !this.isLosing)
      this.wrongs.push(`${to} was written while the page was off`);
    if (to === 'reset') {
      const found = approvals.get(fingerprint ?? '')?.size ?? 0;
      if (found < this.minimum) this.wrongs.push(`reset with ${found} approvals of ${this.minimum}`);
    }
    if (to === 'emptied' && this.backup !== 'sealed')
      this.wrongs.push(`production was emptied while its backup was ${this.backup}`);
    if (to === 'emptied' && this.lateRows > this.rowsAside)
      this.wrongs.push(
        `production was emptied, and ${this.lateRows - this.rowsAside} rows were not copied aside`,
      );
    if (to === 'home' && standing.from !== null && needsRestore(standing.from) && this.rows !== 'old')
      this.wrongs.push(`home over ${this.rows} rows`);
    if (to === 'live' && this.rows !== 'new') this.wrongs.push(`live over ${this.rows} rows`);
  }

  /** Set while a test takes the page away, so that this isn't held against the run. */
  isLosing = false;
}

/** True when users may have written rows that nobody wants to lose. */
export function mayHoldNewRows({ phase, from }: Standing): boolean {
  return hasReached(from ?? phase, 'verified');
}

function emptyClaim(holder: string, standing: Standing): StubClaim {
  return {
    id: 'c1',
    holder,
    standing,
    deploys: [],
    passed: new Set(),
    approvals: new Map(),
    fingerprint: null,
    isSealed: false,
    intent: null,
  };
}

/** An error as activities throw it, with the type that decides what the run does. */
export function failure(message: string, type = 'StepFailed'): ApplicationFailure {
  return ApplicationFailure.create({ type, message, nonRetryable: type !== 'Outage' });
}

export function overtaken(message: string): ApplicationFailure {
  return failure(`${message} Nothing was changed.`, 'Overtaken');
}
