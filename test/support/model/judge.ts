/** What must hold of a run whatever happens: looked at after each workflow task, and at the end. */
import { z } from 'zod';
import {
  OUTCOMES,
  PHASES,
  STEPS,
  WAY_BACK_STEPS,
  type CommandName,
  type Phase,
  type Status,
} from '../../../src/contract';
import { hasReached, needsPage, needsRestore } from '../../../src/ledger/phases';
import type { StubWorld } from '../stub-world';
import type { RunningExecution } from './execution';
import { closingOf } from './jobs';

/** What somebody did to what the run relies on. */
export type Disturbance = 'reset' | 'ledger' | 'backup' | 'cancel' | 'former';

export interface Heard {
  name: CommandName;
  who: string;
  acceptsLoss: boolean;
  fails: boolean;
}

const progress = {
  state: z.enum(['pending', 'running', 'waiting', 'done', 'failed', 'undone', 'skipped']),
  startedAt: z.iso.datetime().nullable(),
  finishedAt: z.iso.datetime().nullable(),
  rows: z.number().nullable(),
  rowsTotal: z.number().nullable(),
  bytes: z.number().nullable(),
  attempt: z.number(),
  error: z.string().nullable(),
};
const contract = z.strictObject({
  plan: z.string(),
  step: z.enum(STEPS),
  phase: z.enum(PHASES).nullable(),
  window: z.number().min(1),
  outcome: z.enum(OUTCOMES).nullable(),
  parked: z.boolean(),
  live: z.boolean(),
  waitingFor: z.string().nullable(),
  nextAction: z.string().min(1),
  startedAt: z.iso.datetime(),
  downtimeMs: z.number().min(0),
  predictedEnd: z.iso.datetime().nullable(),
  waitingSince: z.iso.datetime().nullable(),
  backup: z
    .strictObject({
      database: z.string(),
      fingerprint: z.string(),
      tables: z.number(),
      rows: z.number(),
      bytes: z.number(),
    })
    .nullable(),
  steps: z.array(z.strictObject({ name: z.enum(STEPS), ...progress })).length(STEPS.length),
  wayBack: z.array(z.strictObject({ name: z.enum(WAY_BACK_STEPS), ...progress })),
  dropped: z.array(z.unknown()),
  notes: z.array(z.string()),
});

/** While these are under way nobody has to watch: they write a phase, or find out who may. */
const unwatchedWhile = [
  ...['claim', 'pageOn', 'goLive', 'comeHome', 'standDown', 'takeStock', 'takeOver', 'adopt', 'turnBack'],
  ...['pageOff', 'finish', 'describeProduction', 'notify', 'lookBack', 'outlinePlan'],
];

export class Judge {
  readonly disturbances = new Set<Disturbance>();
  readonly wrongs: string[] = [];
  isSettled = false;
  private readonly heard: (Heard & { at: number })[] = [];
  private seen = 0;
  private readonly approvers = new Set<string>();
  private mayBeLive = false;
  private cameHome = false;
  private isLossAccepted = false;
  /** A parked run was answered, and hasn't gone on yet. */
  openAnswer: CommandName | null = null;
  /** The watching of the page found something that people have not been asked about. */
  isUnheeded = false;
  /** A watch that failed for nothing that people decide is begun again until then, in milliseconds of the model's clock. */
  watchedAgainByMs = 0;

  constructor(
    private readonly world: StubWorld,
    private readonly minimum: number,
  ) {}

  wrong(what: string): void {
    this.wrongs.push(what);
  }

  /** After each workflow task. */
  look(status: Status, run: RunningExecution, nowMs: number): void {
    const { world } = this;
    const { success, error } = contract.safeParse(status);
    if (!success) this.wrong(`the status doesn't fit its contract: ${error.message}`);
    this.lookAtPhases();
    this.lookAtWayBack(status);
    if (world.page === 'on') world.isLosing = false;
    if (!status.parked) this.openAnswer = null;
    if ([...run.activities.values()].some(({ name }) => name === 'watchPage')) this.isUnheeded = false;
    if (status.outcome === null && nowMs >= this.watchedAgainByMs) this.lookAtWatch(run, status);
    const { wrongs } = world;
    this.wrongs.push(...wrongs.splice(0));
    if (this.wrongs.length > 0) throw new Error(this.wrongs.join('\n'));
  }

  private lookAtPhases(): void {
    const { world, isLossAccepted } = this;
    for (const phase of world.history.slice(this.seen)) {
      if (phase === 'returning' && this.mayBeLive && !isLossAccepted)
        this.wrong('production was live, and the way back began though nobody had accepted the loss');
      if (this.cameHome && phase !== 'over' && phase !== 'home')
        this.wrong(`${phase} was written after home`);
      if (phase === 'live' && this.isUnheeded)
        this.wrong('live was written over what the page watch had found');
      if (phase === 'returning') {
        this.mayBeLive = false;
        this.isLossAccepted = false;
        this.isUnheeded = false;
      }
      if (phase === 'approved') this.lookAtApprovals();
      if (phase === 'live') this.mayBeLive = true;
      if (phase === 'home') this.cameHome = true;
    }
    this.seen = world.history.length;
  }

  private lookAtApprovals(): void {
    const { approvals, fingerprint } = this.world.claim ?? {};
    const persons = [...(approvals?.get(fingerprint ?? '') ?? [])];
    for (const person of persons)
      if (!this.approvers.has(person))
        this.wrong(`the ledger has an approval of ${person}, who said nothing`);
  }

  private lookAtWayBack({ wayBack }: Status): void {
    const done = wayBack.map(({ state }) => state === 'done');
    const gap = done.indexOf(false);
    if (gap >= 0 && done.lastIndexOf(true) > gap)
      this.wrong(
        `the way back went on past a step: ${wayBack.map(({ name, state }) => `${name} ${state}`).join(', ')}`,
      );
    // The backup is proved before the page or after the fence. What an earlier attempt has done stands before what is done again.
    const places = wayBack
      .filter(({ name }) => name !== 'proveBackup')
      .map(({ name }) => WAY_BACK_STEPS.indexOf(name));
    const backward = places.filter((place, at) => at > 0 && place < (places[at - 1] ?? -1));
    if (backward.length > 1)
      this.wrong(`the way back is out of order: ${wayBack.map(({ name }) => name).join(', ')}`);
  }

  private lookAtWatch(run: RunningExecution, status: Status): void {
    const { claim } = this.world;
    if (!claim || claim.holder !== run.execution.runId || this.isUnheeded || status.parked) return;
    // A run that an operator has ended leaves the page as it is.
    if (this.isSettled) return;
    const { phase, from } = claim.standing;
    if (!needsPage(phase) || (from !== null && !needsRestore(from))) return;
    const names = [...run.activities.values()].filter(({ isTold }) => !isTold).map(({ name }) => name);
    // From live users are in until the backup is proved.
    if (from === 'live' && phase === 'returning' && names.includes('proveBackup')) return;
    if (names.includes('watchPage') || unwatchedWhile.some((name) => names.includes(name))) return;
    if (this.disturbances.has('ledger') || this.disturbances.has('reset')) return;
    this.wrong(`nobody watches the page at ${phase}, while ${names.join(', ') || 'nothing'} is under way`);
  }

  /** People said something that was accepted. */
  accepted(heard: Heard, isParked: boolean): void {
    this.heard.push({ ...heard, at: this.world.history.length });
    if (heard.name === 'settle') this.isSettled = true;
    if (heard.name === 'approve') this.approvers.add(heard.who.trim());
    if (heard.name === 'rollBack') {
      if (!heard.acceptsLoss) this.wrong('rollBack was accepted without acceptLoss');
      this.isLossAccepted = true;
    }
    if (isParked && (heard.name !== 'rollBack' || this.minimum === 1)) this.openAnswer = heard.name;
  }

  disturb(what: Disturbance): void {
    this.disturbances.add(what);
    // What was said to the run before counts only as far as it is said again.
    if (what === 'reset') {
      this.heard.length = 0;
      this.isSettled = false;
      this.openAnswer = null;
      this.isUnheeded = false;
    }
  }

  /** When the run has closed. */
  end(status: Status, run: RunningExecution): void {
    const { world } = this;
    const { outcome } = status;
    const { claim, page, fenceOn, rows } = world;
    const stands = `${rows} rows, page ${page}, fence ${fenceOn ? 'on' : 'off'}, claim at ${claim?.standing.phase ?? 'none'}`;
    const hadEnded = this.disturbances.has('reset') && world.ended.has(world.firstRunId ?? '');
    const expectRows = (expected: 'old' | 'new') => {
      if (claim || page === 'on' || fenceOn || rows !== expected)
        this.wrong(`the outcome is ${outcome}, and production has ${stands}`);
    };
    switch (outcome) {
      case 'migrated':
        expectRows('new');
        break;
      case 'cancelled':
        // Begun anew by a Temporal reset after its end, a run touches nothing, whatever production is.
        if (hadEnded) break;
        expectRows('old');
        break;
      case 'rolled-back':
      case 'rejected':
        expectRows('old');
        break;
      case 'refused':
        if (world.history.includes('closed') && !hadEnded) this.wrong('refused, though the page was on');
        break;
      case 'needs-operator':
        if (!this.isSettled && !this.disturbances.has('reset'))
          this.wrong('needs-operator, and nobody settled it');
        break;
      case 'rehearsed':
      case null:
        this.wrong(`the run closed with the outcome ${outcome}`);
    }
    this.lookAtClosing(run, status);
    if (this.openAnswer) this.wrong(`${this.openAnswer} was accepted and had no effect`);
    if (!this.disturbances.has('ledger')) for (const heard of this.heard) this.lookForEffect(heard, status);
    if (this.wrongs.length > 0) throw new Error(this.wrongs.join('\n'));
  }

  private lookForEffect({ name, at, fails }: (typeof this.heard)[number], { outcome }: Status): void {
    const after: Phase[] = this.world.history.slice(at);
    const back = after.indexOf('returning');
    const isBackBefore = (phase: Phase) =>
      !after.includes(phase) || (back >= 0 && back < after.indexOf(phase));
    if (name === 'settle' && outcome !== 'needs-operator')
      this.wrong(`settle was accepted, and the outcome is ${outcome}`);
    if (name === 'reject' && after.some((phase) => hasReached(phase, 'reset')))
      this.wrong('the reset was rejected, and done');
    if (name === 'confirm' && fails && !isBackBefore('checked'))
      this.wrong('a check was said to fail, and passed');
    if (this.isSettled) return;
    if (name === 'rollBack' && this.minimum === 1 && back < 0)
      this.wrong('rollBack was accepted, and nothing went back');
    if (name === 'retireBackup' && this.world.backup !== 'none')
      this.wrong('retireBackup was accepted, and the backup is there');
  }

  private lookAtClosing({ closed }: RunningExecution, { outcome }: Status): void {
    if (!closed) return;
    const closing = closingOf(closed);
    const told = typeof closing === 'string' ? closing : (closing as Status).outcome;
    const isCompleted = typeof closing !== 'string';
    const completes = outcome === 'migrated' || outcome === 'rejected';
    if (told !== outcome || isCompleted !== completes)
      this.wrong(`the outcome is ${outcome}, and Temporal was told ${told}`);
  }
}
