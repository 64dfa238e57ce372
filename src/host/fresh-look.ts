/** Acting outside the ledger's database on what the ledger said just before, and never on what it said before a standstill. */
import { performance } from 'node:perf_hooks';
import { KirikaeError } from '../errors';

/** Both in milliseconds. The first stands still while the machine is suspended, the second may be set. */
export interface Clocks {
  monotonicMs: () => number;
  wallMs: () => number;
}

export const systemClocks: Clocks = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };

/** The ledger is looked at this long before an act, at most. */
export const freshMs = 5000;
const mostLooks = 5;

/**
 * Looks, and acts on what was seen within 5 s from the beginning of the look. When more time has passed, by either clock
 * (this process was frozen, its machine suspended, a clock set), it looks again. Nothing else of this process comes between.
 * @param look throws when the act isn't allowed
 * @param act does its work before it returns
 * @throws what `look` or `act` throws; KirikaeError Outage when every one of five looks took too long
 */
export async function actOnFreshLook<Seen, Result>(
  look: () => Promise<Seen>,
  act: (seen: Seen) => Result,
  clocks: Clocks = systemClocks,
): Promise<Result> {
  for (let looks = 0; looks < mostLooks; looks += 1) {
    // From its beginning: an answer may have been waiting to be read while this process stood still.
    const age = stopwatch(clocks);
    const seen = await look();
    if (age.isWithin(freshMs)) return act(seen);
  }
  throw new KirikaeError(
    'Outage',
    `The ledger was asked ${mostLooks} times whether this run may act, and each answer took longer than ${freshMs / 1000} s. Nothing was done; it is tried again. Look at the load of production and of the worker's machine.`,
  );
}

/** Starts to measure. What a clock that was set back measures is not within any limit. */
export function stopwatch(clocks: Clocks): { isWithin: (limitMs: number) => boolean } {
  const [monotonic, wall] = [clocks.monotonicMs(), clocks.wallMs()];
  return {
    isWithin: (limitMs) =>
      [clocks.monotonicMs() - monotonic, clocks.wallMs() - wall].every((ms) => ms >= 0 && ms <= limitMs),
  };
}
