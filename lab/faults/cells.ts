/** The cells of the table: each phase of a run met by each fault, and how a run may end there. */
import { FORWARD, type Phase } from '../../src/contract';
import { hasReached } from '../../src/ledger/phases';
import { seededRandom } from '../soak/random';

export const BACK = ['returning', 'aside', 'emptied', 'restored', 'home'] as const satisfies readonly Phase[];
export const phases = [...FORWARD, ...BACK] as const;
export type CellPhase = (typeof phases)[number];

/** What is done to the run, in the order of the table's columns. */
export const faults = [
  'kill',
  'recover',
  'no-backup',
  'second-run',
  'cancel',
  'cut',
  'cut-commit',
  'crash',
] as const;
export type Fault = (typeof faults)[number];

/** What each fault is, for the reader of the table. */
export const meanings: Record<Fault, string> = {
  kill: 'the worker is killed and started again',
  recover: 'the workflow is terminated, the worker killed, `kirikae recover` called',
  'no-backup': 'the backup database is dropped',
  'second-run': 'another run of the same plan is started beside it',
  cancel: 'the workflow is cancelled',
  cut: 'every connection to PostgreSQL is cut once',
  'cut-commit':
    'the next connection that commits is cut when the server has answered, so that nobody hears of it',
  crash: 'PostgreSQL is stopped at once and started again, with `synchronous_commit = off` in production',
};

export interface Cell {
  phase: CellPhase;
  fault: Fault;
  /** How long after the transition, to meet what the step after it does. */
  delayMs: number;
}

export interface CellResult {
  title: string;
  /** The ledger's phase when the fault was done; null where the cell's phase wasn't met. */
  metAt: string | null;
  outcome: string;
  /** What the run said when it parked. */
  parks: string[];
  production: string;
  seconds: number;
  /** What was wrong; empty when all is well. */
  problems: string[];
}

export function titleOf({ phase, fault }: Pick<Cell, 'phase' | 'fault'>): string {
  return `${phase}/${fault}`;
}

/** True when a run has to fail to come to this phase. */
export function isOnTheWayBack(phase: CellPhase): boolean {
  return (BACK as readonly Phase[]).includes(phase);
}

/** All cells, in an order and with delays that the seed chose. */
export function allCells(seed: number): Cell[] {
  const random = seededRandom(seed);
  const cells = phases.flatMap((phase) =>
    faults.map((fault): Cell => ({ phase, fault, delayMs: random.pick([0, 0, random.whole(1, 120)]) })),
  );
  return shuffled(cells, random.next);
}

/** So many cells, each of another phase, all faults among them. */
export function sampleCells(seed: number, count: number): Cell[] {
  const random = seededRandom(seed);
  const chosen = shuffled([...phases], random.next).slice(0, count);
  const order = shuffled([...faults], random.next);
  return chosen.map((phase, index) => ({
    phase,
    fault: order[index % order.length] ?? 'kill',
    delayMs: random.pick([0, 0, random.whole(1, 120)]),
  }));
}

function shuffled<T>(items: T[], next: () => number): T[] {
  return items
    .map((item) => ({ item, place: next() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}

/** The outcomes that are right for a cell; `recovered` is a workflow that was terminated and a production brought to a safe end. */
export function rightOutcomes({ phase, fault }: Cell): string[] {
  const undisturbed = isOnTheWayBack(phase) ? 'rolled-back' : 'migrated';
  switch (fault) {
    case 'recover':
      return ['recovered'];
    case 'cancel':
      if (isOnTheWayBack(phase)) return ['rolled-back', 'cancelled'];
      // What is accepted just before `live` may meet a run that is there.
      return phase === 'live'
        ? ['migrated']
        : phase === 'checked'
          ? ['cancelled', 'migrated']
          : ['cancelled'];
    case 'no-backup':
      return withoutBackup(phase);
    case 'kill':
    case 'second-run':
    case 'cut':
    case 'cut-commit':
    case 'crash':
      return [undisturbed];
  }
}

function withoutBackup(phase: CellPhase): string[] {
  if (phase === 'live') return ['migrated'];
  if (phase === 'restored' || phase === 'home') return ['rolled-back'];
  if (isOnTheWayBack(phase)) return ['needs-operator', 'rolled-back'];
  if (phase === 'claimed' || phase === 'closed' || phase === 'fenced') return ['migrated', 'rolled-back'];
  // The step `reset` may be over before the loss is met.
  if (phase === 'approved') return ['rolled-back', 'migrated', 'needs-operator'];
  return hasReached(phase, 'reset') ? ['migrated', 'needs-operator'] : ['rolled-back'];
}
