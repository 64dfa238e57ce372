/** What the bench's seconds say: ours against another's, and whether the goal is reached. Pure. */
import type { BackupTimes } from './engine';
import type { WholeRun } from './runs';

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
  movedHome: number;
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
      'way back with reset.mode keep',
      of((round) => round.movedHome),
      'restore, verified',
      of((round) => round.restore),
      0.2,
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

/** What must not grow with the rows, of whole runs from small to large. @throws Error without one at `users` and a tenth of it */
export function judgeRuns(runs: readonly WholeRun[]): Result[] {
  const [tenth, one] = runs;
  if (!tenth || !one) throw new Error('Expected runs of a tenth of the users and of all of them.');
  const memory = runs.map((run) => run.memory / 2 ** 20);
  const most = Math.max(...memory);
  const least = Math.min(...memory);
  const events = Math.max(...runs.map((run) => run.events));
  const ratio = one.seconds / tenth.seconds;
  return [
    {
      what: "worker's memory, MB, at most",
      ours: most,
      against: `the least, ${runs.map((run) => run.users).join(', ')} users`,
      theirs: least,
      ratio: most / least,
      goal: '≤ 1.2, ≤ 250 MB',
      reached: most / least <= 1.2 && most <= 250,
    },
    {
      what: 'whole run until live',
      ours: one.seconds,
      against: 'with a tenth of the users',
      theirs: tenth.seconds,
      ratio,
      goal: '≤ 10.5',
      reached: ratio <= 10.5,
    },
    {
      what: "events in the workflow's history",
      ours: events,
      against: '',
      theirs: null,
      ratio: null,
      goal: '≤ 2000',
      reached: events <= 2000,
    },
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

/** The middle value; between the middle two where there is none. */
export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = 0, high = 0] = [sorted[sorted.length % 2 === 1 ? middle : middle - 1], sorted[middle]];
  return (low + high) / 2;
}
