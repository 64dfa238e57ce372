/** How long an outage has lasted, over all the attempts of an activity: the heartbeats carry it from one to the next. */
import type { Context } from '@temporalio/activity';
import type { Heartbeat, Outage } from '../src/contract';

export interface MetOutage {
  /** What the attempts in a row have met; null while none has failed. */
  readonly outage: Outage | null;
  /** Something was copied: whatever failed before is over. */
  end: () => void;
  /** This attempt failed for it, too. @returns when the first did, in milliseconds since 1970 */
  begin: (error: string) => number;
}

// An attempt that lasted met something else than those before it.
const attemptOfItsOwnMs = 120_000;

/** Continues the outage that the attempt before has told of. */
export function outageOf(context: Context): MetOutage {
  const startedMs = Date.now();
  let outage = (context.info.heartbeatDetails as Heartbeat | undefined)?.outage ?? null;
  return {
    get outage() {
      return outage;
    },
    end: () => (outage = null),
    begin(error) {
      const began = Date.parse(outage?.since ?? '');
      const goesOn = Date.now() - startedMs < attemptOfItsOwnMs && !Number.isNaN(began);
      const sinceMs = goesOn ? began : Date.now();
      outage = { error, since: new Date(sinceMs).toISOString() };
      return sinceMs;
    },
  };
}
