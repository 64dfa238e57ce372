/** The ledger, its mirror in the backup, and the run's own history held against each other: a ledger can't step back unseen. Pure. */
import type { Standing } from './phases';

/** What the witnesses say together. */
export type Judgement =
  /** Nobody knows more than the ledger. */
  | { kind: 'agreed' }
  /** The mirror was written first, as `live` and `home` are: the ledger is brought there. */
  | { kind: 'finish'; to: 'live' | 'home' }
  /** Somebody knows more than the ledger: people decide. */
  | { kind: 'behind'; furthest: Standing; text: string }
  /** No claim, and the mirror tells that the run had come to its end. */
  | { kind: 'ended'; as: 'live' | 'home' }
  /** No claim, and no witness that the run ever acted. */
  | { kind: 'nothing' }
  /** No claim and no mirror, though the history knows that the run acted. */
  | { kind: 'lost'; text: string };

export interface Witnesses {
  ledger: Standing | null;
  /** Null: there is none, or it doesn't answer. */
  mirror: Standing | null;
  /** The last transition that the run's own history has; null for `recover`. */
  history: Standing | null;
  /** The server answers from another address or timeline than at the last transition. */
  hasMoved: boolean;
}

/** Judges whether a way may be gone on the ledger's word (design: "It can't step back"). */
export function judge({ ledger, mirror, history, hasMoved }: Witnesses): Judgement {
  const text = `the ledger is at ${describe(ledger)}, its mirror in the backup at ${describe(mirror)}, this run's history at ${describe(history)}`;
  const acted = [mirror, history].filter((witness) => witness !== null);
  const furthest = acted.sort((a, b) => b.seq - a.seq)[0] ?? null;
  if (!ledger) {
    if (mirror && furthest === mirror) {
      const end = endOf(mirror);
      if (end) return { kind: 'ended', as: end };
      return { kind: 'behind', furthest: mirror, text };
    }
    if (!furthest) return { kind: 'nothing' };
    const end = endOf(furthest);
    if (end) return { kind: 'ended', as: end };
    return mirror ? { kind: 'behind', furthest, text } : { kind: 'lost', text };
  }
  if (mirror && mirror.seq === ledger.seq + 1 && (history === null || history.seq <= ledger.seq)) {
    if (mirror.phase === 'live' && ledger.phase === 'checked') return { kind: 'finish', to: 'live' };
    if (mirror.phase === 'home' && (ledger.phase === 'restored' || ledger.phase === 'returning'))
      return { kind: 'finish', to: 'home' };
  }
  if (furthest && furthest.seq > ledger.seq) return { kind: 'behind', furthest, text };
  if (hasMoved && !furthest)
    return {
      kind: 'behind',
      furthest: ledger,
      text: `${text}, and production's server answers from another address or timeline than at the last transition`,
    };
  return { kind: 'agreed' };
}

// `over` is reached from `live` or `home` alone: a way back that came from anywhere ends at `home`.
function endOf({ phase, from }: Standing): 'live' | 'home' | null {
  if (phase === 'live' || phase === 'home') return phase;
  if (phase === 'over') return from === null ? 'live' : 'home';
  return null;
}

function describe(standing: Standing | null): string {
  return standing ? `${standing.phase} (number ${standing.seq})` : 'nothing';
}
