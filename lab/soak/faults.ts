/** What is done to a run, and when: faults that a seed chose, each fired at a message the worker sends to PostgreSQL. */
import { setTimeout as wait } from 'node:timers/promises';
import { withDatabase } from '../stage';
import type { Verdict } from './proxy';
import type { Random } from './random';

export const kinds = [
  'worker killed',
  'backend killed',
  'session terminated',
  'cut before COMMIT',
  'cut after COMMIT',
  'postmaster killed',
] as const;
export type Kind = (typeof kinds)[number];

// A killed worker is missed only after its heartbeat's ten seconds: more of these would make a soak long.
const pool = [...kinds, ...kinds.filter((kind) => kind !== 'worker killed')];

export type Phase = 'backup' | 'migrate' | 'restore';

export interface Fault {
  phase: Phase;
  kind: Kind;
  /** How many messages pass first: since the phase began, or since the fault before. */
  messages: number;
  /** How long after that message, to meet statements that run long. */
  delayMs: number;
  /** Which of the run's sessions, as a share of their number. */
  victim: number;
}

/** What faults act on. */
export interface Victims {
  adminUrl: string;
  killWorker: () => Promise<void>;
  killPostmaster: () => Promise<void>;
}

// The first message of each phase that the worker sends. The step `reset` belongs to the migration here.
const beginnings: [Phase, RegExp][] = [
  ['backup', /create table if not exists kirikae\.backup /],
  ['migrate', /^lock table only .* in share mode$/],
  ['restore', /select coalesce\(max\(attempt\), 0\) as last from kirikae\.stage/],
];
const order: Phase[] = ['backup', 'migrate', 'restore'];

/** Messages of an undisturbed phase, about: moments are spread over these. */
const span: Record<Phase, number> = { backup: 260, migrate: 330, restore: 300 };

/** Chooses a phase's faults. */
export function chooseFaults(random: Random, phase: Phase, count: number): Fault[] {
  return Array.from({ length: count }, () => ({
    phase,
    kind: random.pick(pool),
    messages: random.whole(1, Math.floor(span[phase] / count)),
    delayMs: random.pick([0, 0, random.whole(1, 150)]),
    victim: random.next(),
  }));
}

/** Fires a run's faults one after the other, each in its phase; those whose phase passed too soon are left out. */
export class Injector {
  readonly fired: Fault[] = [];
  /** Faults that could not be carried out: a mistake of the soak, not of the product. */
  readonly failures: string[] = [];
  /** Messages seen in each phase. */
  readonly seen: Record<Phase, number> = { backup: 0, migrate: 0, restore: 0 };
  private phase: Phase | null = null;
  private messages = 0;
  private acting: Promise<void> | null = null;

  constructor(
    private readonly faults: Fault[],
    private readonly victims: Victims,
  ) {}

  /** To be called for every message that passes the proxy. */
  watch(type: string, text: string): Verdict {
    if (type !== 'Q' && type !== 'P' && type !== 'd') return 'pass';
    const entered = type === 'd' ? undefined : beginnings.find(([, pattern]) => pattern.test(text))?.[0];
    if (entered && (this.phase === null || order.indexOf(entered) > order.indexOf(this.phase))) {
      this.phase = entered;
      this.messages = 0;
    }
    if (this.phase === null) return 'pass';
    this.seen[this.phase] += 1;
    if (this.acting) return 'pass';
    while (this.faults[0] && order.indexOf(this.faults[0].phase) < order.indexOf(this.phase))
      this.faults.shift();
    const [fault] = this.faults;
    if (fault?.phase !== this.phase) return 'pass';
    this.messages += 1;
    if (this.messages < fault.messages) return 'pass';
    const cuts = fault.kind === 'cut before COMMIT' || fault.kind === 'cut after COMMIT';
    if (cuts && !(type === 'Q' && /^commit$/i.test(text))) return 'pass';
    this.faults.shift();
    this.messages = 0;
    if (cuts) {
      this.fired.push(fault);
      return fault.kind === 'cut before COMMIT' ? 'cut before' : 'cut after';
    }
    this.acting = this.act(fault)
      .catch((error: unknown) => void this.failures.push(`${fault.kind}: ${String(error)}`))
      .finally(() => (this.acting = null));
    return 'pass';
  }

  /** Waits for the fault that is being carried out; no other begins. */
  async stop(): Promise<void> {
    this.faults.length = 0;
    await this.acting;
  }

  private async act(fault: Fault): Promise<void> {
    await wait(fault.delayMs);
    switch (fault.kind) {
      case 'worker killed':
        this.fired.push(fault);
        return this.victims.killWorker();
      case 'postmaster killed':
        this.fired.push(fault);
        return this.victims.killPostmaster();
      case 'backend killed':
      case 'session terminated':
        if (await endSession(this.victims.adminUrl, fault)) this.fired.push(fault);
        return;
      case 'cut before COMMIT':
      case 'cut after COMMIT':
    }
  }
}

/** Ends one of the run's sessions, by SIGKILL or as an administrator would. @returns false when the run has none */
async function endSession(adminUrl: string, { kind, victim }: Fault): Promise<boolean> {
  return withDatabase(adminUrl, async (client) => {
    const { rows } = await client.query<{ pid: number }>(
      `select pid from pg_stat_activity where application_name like 'kirikae %' and backend_type = 'client backend'
       order by application_name, pid`,
    );
    const pid = rows[Math.floor(victim * rows.length)]?.pid;
    if (pid === undefined) return false;
    if (kind === 'backend killed') process.kill(pid, 'SIGKILL');
    else await client.query('select pg_terminate_backend($1)', [pid]);
    return true;
  });
}
