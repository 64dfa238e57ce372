/** The phases of a run and the ways between them; the way back is a function of phase and intent. Pure: workflows import it. */
import { FORWARD, PHASES, type Phase, type WayBackStepName } from '../contract';

/** Where a run stands, as its ledger has it. */
export interface Standing {
  phase: Phase;
  /** Grows by one with each transition: of two witnesses the one with the greater number is further on. */
  seq: number;
  /** Counts the times the page went on: a way back from `live` opens the next one. */
  window: number;
  /** The phase that a way back comes from; null going forward. */
  from: Phase | null;
}

/** True when `phase` is on the way forward and at `mark` or behind it. */
export function hasReached(phase: Phase | null, mark: (typeof FORWARD)[number]): boolean {
  return phase !== null && rank(phase) >= rank(mark);
}

/** True when the old rows are gone from production, so that only a restore brings them back. */
export function needsRestore(from: Phase): boolean {
  return hasReached(from, 'reset');
}

function rank(phase: Phase): number {
  return (FORWARD as readonly Phase[]).indexOf(phase);
}

/** True when the ledger may go from where it stands to a phase (design: "Phases"). */
export function mayGo({ phase, from }: Standing, to: Phase): boolean {
  const comesFromReset = from !== null && needsRestore(from);
  switch (phase) {
    case 'returning':
      return comesFromReset ? to === 'aside' || to === from : to === 'home';
    case 'aside':
      return to === 'emptied' || to === from;
    case 'emptied':
      return to === 'restored';
    case 'restored':
      return to === 'home';
    case 'home':
      return to === 'over';
    case 'over':
      return false;
    case 'live':
      return to === 'returning' || to === 'over';
    default:
      return to === 'returning' || to === FORWARD[rank(phase) + 1];
  }
}

/**
 * Why the ways are taken: `goBack` for a failure, a cancel, a rejection and `recover`; `rollBack` when persons have accepted the
 * loss of what users wrote; `standDown` when persons take a way back back.
 */
export type Intent = 'goBack' | 'rollBack' | 'standDown';

export type Way =
  /** The old database comes back, by these steps. `close`: nothing restores, the run only ends as its phase says. */
  | { kind: 'back' | 'close'; steps: readonly WayBackStepName[] }
  /** The run is where it was before the way back. */
  | { kind: 'forward'; to: Phase }
  | { kind: 'refused'; why: string };

const untilRestored = ['empty', 'restore', 'compare', 'liftFence'] as const;
const untilHome = ['undoDeploys', 'rollbackSmoke', 'pageOff'] as const;

/** What is to be done, from where the ledger stands; steps done before are left out, and each may be repeated. */
export function wayBack({ phase, from }: Pick<Standing, 'phase' | 'from'>, intent: Intent): Way {
  if (intent === 'standDown') return standDown(phase, from);
  switch (phase) {
    case 'live':
      if (intent === 'rollBack') return wholeWayFrom('live');
      return { kind: 'close', steps: ['pageOff'] };
    case 'returning':
      return wholeWayFrom(from ?? 'claimed');
    case 'aside':
      return {
        kind: 'back',
        steps: ['pageOn', 'fence', 'proveBackup', 'aside', ...untilRestored, ...untilHome],
      };
    case 'emptied':
      return { kind: 'back', steps: ['pageOn', 'fence', ...untilRestored, ...untilHome] };
    case 'restored':
      return { kind: 'back', steps: ['pageOn', ...untilHome] };
    case 'home':
      return {
        kind: 'back',
        steps: from !== null && !needsRestore(from) ? ['pageOff', 'removeBackup'] : ['pageOff'],
      };
    case 'over':
      return { kind: 'close', steps: [] };
    default:
      return wholeWayFrom(phase);
  }
}

function wholeWayFrom(from: Phase): Way {
  if (!needsRestore(from)) return { kind: 'back', steps: ['liftFence', 'pageOff', 'removeBackup'] };
  const closed: WayBackStepName[] = ['pageOn', 'fence'];
  // Users are still in: they are shut out only for a backup that is proved.
  const proved: WayBackStepName[] = from === 'live' ? ['proveBackup', ...closed] : [...closed, 'proveBackup'];
  return { kind: 'back', steps: [...proved, 'aside', ...untilRestored, ...untilHome] };
}

/** True when the way that a ledger calls for by itself would restore old rows. */
export function wouldRestore(standing: Pick<Standing, 'phase' | 'from'>): boolean {
  const way = wayBack(standing, 'goBack');
  return way.kind === 'back' && way.steps.includes('restore');
}

function standDown(phase: Phase, from: Phase | null): Way {
  const isUnderWay = phase === 'returning' || phase === 'aside';
  if (isUnderWay && from !== null && needsRestore(from)) return { kind: 'forward', to: from };
  return {
    kind: 'refused',
    why: isUnderWay
      ? 'Production still has its old rows, so the way back only lifts the fence and takes the page down: let it.'
      : `A way back can be taken back only before it has emptied anything (phases returning and aside); this run is at ${phase}.`,
  };
}

/** True when users must be kept out by the page: found off, it is turned on again. */
export function needsPage(phase: Phase): boolean {
  return phase !== 'claimed' && phase !== 'live' && phase !== 'home' && phase !== 'over';
}

/** The phases in which users are kept out by the page. */
export const closedPhases: readonly Phase[] = PHASES.filter(needsPage);
