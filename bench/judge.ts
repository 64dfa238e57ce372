/** What the bench's seconds say: ours against another's, and whether the goal is reached. Pure. */
import type { BackupTimes } from './engine';

/** One round's seconds. */
export interface Round extends BackupTimes {
  dump: number;
  pgcopydb: number | null;
  bareClone: number;
  clone: number;
  pipes: number;
  reset: number;
  migrate: number;
  verify: number;
  restore: number;
  migratedRows: number;
}

/** One line of the result: our figure against another's. */
export interface Result {
  what: string;
  ours: number | null;
  against: string;
  theirs: number | null;
  ratio: number | null;
  goal: string;
  reached: boolean | null;
}

/** Medians of the rounds, each line against its goal. */
export function judge(rounds: Round[], upsertedPerSecond: number): Result[] {
  const of = (pick: (round: Round) => number) => median(rounds.map(pick));
  const complete = of((round) => round.rows + round.indexes);
  const verified = of((round) => round.rows + round.verified + round.indexes);
  const dump = of((round) => round.dump);
  const copied = rounds.every((round) => round.pgcopydb !== null) ? of((round) => round.pgcopydb ?? 0) : null;
  const perSecond = of((round) => round.migratedRows / round.migrate);
  const tool = 'pg_dump -jN, pg_restore -jN';
  return [
    compare('backup complete', complete, tool, dump, 0.85),
    compare('backup complete and verified', verified, tool, dump, 1.1),
    compare(
      'backup until the fingerprint',
      of((round) => round.rows + round.verified),
      tool,
      dump,
      0.9,
    ),
    compare('backup complete', complete, 'pgcopydb', copied, 0.75),
    compare(
      'migrate, keys and indexes back',
      of((round) => round.migrate),
      'psql pipes',
      of((round) => round.pipes),
      0.6,
    ),
    {
      what: 'migrate, rows per second',
      ours: perSecond,
      against: 'row by row upserts',
      theirs: upsertedPerSecond,
      ratio: perSecond / upsertedPerSecond,
      goal: '≥ 80',
      reached: perSecond / upsertedPerSecond >= 80,
    },
    compare(
      'restore, verified',
      of((round) => round.restore),
      'our verified backup',
      verified,
      1,
    ),
    compare(
      'backup by clone, unverified',
      of((round) => round.clone),
      'bare CREATE DATABASE',
      of((round) => round.bareClone),
      1.3,
    ),
  ];
}

function compare(what: string, ours: number, against: string, theirs: number | null, atMost: number): Result {
  const ratio = theirs === null ? null : ours / theirs;
  return {
    what,
    ours,
    against,
    theirs,
    ratio,
    goal: `≤ ${atMost}`,
    reached: ratio === null ? null : ratio <= atMost,
  };
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = 0, high = 0] = [sorted[sorted.length % 2 === 1 ? middle : middle - 1], sorted[middle]];
  return (low + high) / 2;
}
