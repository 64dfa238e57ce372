/** Plays one case of the model: its events one after the other, then to an end by what the status asks for. */
import { COMMANDS, type CommandName, type Report, type Status } from '../../../src/contract';
import { makeStubs, type Stubs } from '../stubbed-run';
import type { Case, Event } from './events';
import { Judge } from './judge';
import type { RunningExecution } from './execution';
import { ModelServer } from './server';

const manualCheck = 'Looks right';
const mostRounds = 700;
const secondMs = 1_000;

/** @returns what the run came to @throws Error with all that was wrong, and what had happened */
export async function play({ plan, events, isReplayed }: Case): Promise<Status['outcome']> {
  const story = new Story(plan);
  try {
    await story.begin();
    for (const event of events) await story.happen(event);
    await story.end(isReplayed);
    return story.status.outcome;
  } catch (error) {
    throw new Error(`${(error as Error).message}\n\n${story.told()}`, { cause: error });
  } finally {
    await story.close();
  }
}

interface Unanswered {
  name: CommandName;
  payload: string;
  who: string;
  /** How many decisions the report had before. */
  after: number;
}

class Story {
  status!: Status;
  private readonly stubs: Stubs;
  private readonly judge: Judge;
  private server!: ModelServer;
  private readonly log: string[] = [];
  private retries = 0;
  private unanswered: Unanswered[] = [];

  constructor(private readonly plan: Case['plan']) {
    const { minimum, requesterMayApprove, retireAfterApproval, lanes } = plan;
    const manual = plan.manualCheck ? [{ name: manualCheck, kind: 'manual' as const }] : [];
    this.stubs = makeStubs({
      approval: { minimum, timeoutMs: 7_200_000, requesterMayApprove },
      smoke: [{ name: 'API', kind: 'http' }, ...manual],
      monitor: { forMs: 300_000, everyMs: 150_000 },
      retireAfterApproval,
    });
    this.stubs.lanes = lanes;
    this.judge = new Judge(this.stubs.world, minimum);
  }

  async begin(): Promise<void> {
    const input = { plan: 'small', requestedBy: 'alice' };
    this.server = await ModelServer.start(this.stubs, input, async (status, run, nowMs) => {
      const wasParked = this.status?.parked ?? false;
      this.status = status;
      await this.hearLate(run, wasParked && status.parked);
      this.judge.look(status, run, nowMs);
    });
    this.server.whenWatchEnds = (type) => {
      if (type === 'NeedsOperator' || type === 'Overtaken') this.judge.isUnheeded = true;
      else this.judge.watchedAgainByMs = this.server.nowMs + 20_000;
    };
  }

  async happen(event: Event): Promise<void> {
    this.log.push(JSON.stringify(event));
    const { server, judge, stubs } = this;
    const { world } = stubs;
    switch (event.kind) {
      case 'go':
        return this.drive((rounds) => this.isAt(event.to) || this.status.parked || rounds > 120);
      case 'run':
        for (let step = 0; step < event.steps; step++) await this.stepOn();
        return;
      case 'step': {
        const steps = server.steps();
        const step = steps[event.which % steps.length];
        if (!step) return;
        this.log.push(`  ${step.label}`);
        await server.pass(secondMs);
        return step.take(event.how);
      }
      case 'together':
        server.isHolding = true;
        return;
      case 'pass':
        return server.pass(event.seconds * secondMs);
      case 'say':
        return void (await this.say(event));
      case 'reset':
        judge.disturb('reset');
        this.unanswered = [];
        return server.reset(event.place);
      case 'longFails':
        return server.failLong(event.name, event.type);
      case 'monitoringEnds':
        return server.endChild(event.how);
      case 'cancel':
        judge.disturb('cancel');
        return server.cancel();
      case 'pageLost':
        if (world.page === 'on') Object.assign(world, { page: 'off', isLosing: true });
        return;
      case 'serverCrashed':
        world.isCounted = false;
        return;
      case 'usersWrite':
        if (world.page === 'off' && !world.fenceOn && world.rows === 'new') world.lateRows += 1;
        return;
      case 'backupChanged':
        judge.disturb('backup');
        if (world.backup === 'sealed') world.backup = 'changed';
        return;
      case 'backupDropped':
        judge.disturb('backup');
        world.backup = 'none';
        world.mirror = null;
        return;
      case 'mirrorLost':
        world.mirror = null;
        return;
      case 'ledgerDropped':
        judge.disturb('ledger');
        world.claim = null;
        return;
      case 'overtaken':
        judge.disturb('ledger');
        if (world.claim) world.claim.holder = 'recover';
        return;
      case 'anotherWorker':
        return server.moveToAnotherWorker();
      case 'formerActs':
        return server.actForFormer();
    }
  }

  /** All is repaired, and people do what the status asks for. */
  async end(isReplayed: boolean): Promise<void> {
    await this.server.flush();
    this.log.push('the end');
    await this.drive(() => this.server.run.closed !== null, true);
    if (isReplayed) await this.server.moveToAnotherWorker();
    this.judge.end(await this.server.status(), this.server.run);
  }

  async close(): Promise<void> {
    await this.server?.close();
  }

  told(): string {
    const { page, fenceOn, rows, backup, lateRows, rowsAside, claim, mirror, history } = this.stubs.world;
    const { status } = this;
    return [
      ...this.log,
      `calls: ${this.stubs.calls.join(' ')}`,
      `phases: ${history.join(' ')}`,
      `world: ${JSON.stringify({ page, fenceOn, rows, backup, lateRows, rowsAside, holder: claim?.holder, standing: claim?.standing, mirror })}`,
      `status: ${status && JSON.stringify({ step: status.step, phase: status.phase, parked: status.parked, outcome: status.outcome, waitingFor: status.waitingFor, nextAction: status.nextAction, notes: status.notes })}`,
    ].join('\n');
  }

  private isAt(goal: (Event & { kind: 'go' })['to']): boolean {
    if (this.server.run.closed) return true;
    if (goal === 'approval') return this.status.step === 'approval' && this.status.waitingFor !== null;
    if (goal === 'monitor' || goal === 'retireBackup') return this.status.step === goal;
    return this.stubs.world.claim?.standing.phase === goal;
  }

  private async drive(isThere: (rounds: number) => boolean, mayAnswer = false): Promise<void> {
    for (let round = 0; !isThere(round); round++) {
      if (round > mostRounds) throw new Error('The run does not come to an end.');
      if ((await this.stepOn()) || (await this.server.flush())) continue;
      if (this.status.parked && !mayAnswer) return;
      if (await this.doNextAction()) continue;
      const dueMs = this.server.nextDueMs();
      if (dueMs === null) throw new Error('Nothing is under way, and nobody is asked for anything.');
      await this.server.pass(dueMs - this.server.nowMs);
    }
  }

  /** The oldest thing under way goes well. @returns false when there is none */
  private async stepOn(): Promise<boolean> {
    const [step] = this.server.steps();
    if (!step) return false;
    await this.server.pass(secondMs);
    // Time may have changed what is under way.
    const [next] = this.server.steps();
    if (next) await next.take('done');
    return true;
  }

  /** @returns false when the status asks nobody for anything */
  private async doNextAction(): Promise<boolean> {
    const { waitingFor, nextAction, parked } = this.status;
    // An answered run goes on when its contacts are told.
    if (waitingFor === null || this.judge.openAnswer !== null) return false;
    const command = /kirikae ([a-z-]+)/.exec(nextAction)?.[1] ?? '';
    let name = command.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
    if (parked) {
      if (waitingFor.includes('take it down')) this.stubs.world.page = 'off';
      this.retries += 1;
      if (this.retries > 4) name = 'settle';
    }
    if (!isCommandName(name)) throw new Error(`The next action names no command: ${nextAction}`);
    const who = name === 'approve' && this.hasApproved('dora') ? 'erin' : 'dora';
    this.log.push(`  ${name} by ${who}, as asked for`);
    const refused = await this.say({ kind: 'say', name, payload: 'right', who, by: 'update' });
    if (refused !== null)
      throw new Error(`The next action is "${nextAction}", and ${name} was refused: ${refused}`);
    return true;
  }

  private hasApproved(who: string): boolean {
    return this.approved.has(who);
  }

  private readonly approved = new Set<string>();

  private async say({ name, payload, who, by }: Event & { kind: 'say' }): Promise<string | null> {
    const said = this.payloadOf(name, { payload, who });
    if (this.server.run.closed) return 'The run is closed.';
    await this.server.flush();
    const before = (await this.report()).decisions.length;
    const { parked } = this.status;
    const refused = await this.server.say({ name, payloads: said, by });
    const wasHeard = (await this.report()).decisions.length > before;
    const isLate = refused === null && !wasHeard && this.asksLedger();
    if (isLate) this.unanswered.push({ name, payload, who, after: before });
    if (by === 'update' && !isLate && wasHeard !== (refused === null))
      this.judge.wrong(
        `${name} was ${refused === null ? 'accepted' : 'refused'}, and is ${wasHeard ? '' : 'not '}among the decisions`,
      );
    if (wasHeard) this.heard({ name, payload, who }, parked && this.status.parked);
    return refused;
  }

  /** What the run asks the ledger about first is heard when that has answered, or refused. */
  private async hearLate(run: RunningExecution, isParked: boolean): Promise<void> {
    if (this.unanswered.length === 0) return;
    const { decisions } = await run.query<Report>('report');
    const isAmong = ({ name, who, after }: Unanswered) =>
      decisions.slice(after).some(({ what, by }) => what === name && by === who.trim());
    const [now, later] = [this.unanswered.filter(isAmong), this.unanswered.filter((of) => !isAmong(of))];
    this.unanswered = later;
    for (const message of now) this.heard(message, isParked);
  }

  private asksLedger(): boolean {
    return [...this.server.run.activities.values()].some(({ name }) => name === 'confirmLive');
  }

  private heard(
    { name, payload, who }: { name: CommandName; payload: string; who: string },
    isParked: boolean,
  ): void {
    const isOfFirstRun = payload === 'stale' && this.status.backup?.fingerprint === 'print-run-1';
    const isRight =
      payload === 'right' ||
      (payload === 'wrong' && !['approve', 'reject', 'confirm', 'rollBack'].includes(name)) ||
      isOfFirstRun ||
      (payload === 'stale' && name !== 'approve' && name !== 'reject');
    const isFailing = name === 'confirm' && payload === 'wrong';
    if (!isRight && !isFailing) this.judge.wrong(`${name} was accepted with a payload that is ${payload}`);
    const isRequester = who.trim().toLowerCase() === 'alice';
    if (isRequester && !this.plan.requesterMayApprove && (name === 'approve' || name === 'rollBack'))
      this.judge.wrong(`${name} was accepted from the requester`);
    if (name === 'approve') this.approved.add(who.trim());
    this.judge.accepted(
      { name, who, acceptsLoss: payload === 'right' || payload === 'stale', fails: isFailing },
      isParked,
    );
  }

  private report(): Promise<Report> {
    return this.server.run.query<Report>('report');
  }

  private payloadOf(name: CommandName, { payload, who }: { payload: string; who: string }): unknown[] {
    if (payload === 'nonsense') return [{ by: 7, fingerprint: null }];
    const right: Record<string, unknown> = { by: who };
    const isWrong = payload === 'wrong';
    if (name === 'approve' || name === 'reject') {
      const shown = this.status.backup?.fingerprint ?? 'none';
      right.fingerprint = isWrong ? 'print-of-another' : payload === 'stale' ? 'print-run-1' : shown;
    }
    if (name === 'confirm') Object.assign(right, { check: manualCheck, passed: !isWrong });
    if (name === 'rollBack' && !isWrong) right.acceptLoss = true;
    return payload === 'two' ? [right, right] : [right];
  }
}

function isCommandName(text: string): text is CommandName {
  return (COMMANDS as readonly string[]).includes(text);
}
