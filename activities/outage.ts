/** How long an outage has lasted, over all the attempts of an activity: the heartbeats carry it from one to the next. */
import type { Context } from '@temporalio/activity';
import type { Heartbeat } from '../src/contract';

export interface Outage {
  /** When the first of the attempts in a row failed, in milliseconds since 1970; null while none has. */
  readonly sinceMs: number | null;
  /** Something was copied: whatever failed before is over. */
  end: () => void;
  /** This attempt failed for it. */
  begin: () => number;
}

// An attempt that lasted met something else than those before it.
const attemptOfItsOwnMs = 120_000;

/** Continues the outage that the attempt before has told of. */
export function outageOf(context: Context): Outage {
  const before = (context.info.heartbeatDetails as Heartbeat | undefined)?.outageSinceMs;
  let sinceMs = typeof before === 'number' ? before : null;
  const startedMs = Date.now();
  return {
    get sinceMs() {
      return sinceMs;
    },
    end: () => (sinceMs = null),
    begin() {
      if (Date.now() - startedMs > attemptOfItsOwnMs) sinceMs = null;
      return (sinceMs ??= Date.now());
    },
  };
}
