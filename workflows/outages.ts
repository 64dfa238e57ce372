/** An outage that lasts: activities try again by themselves, people are told, and before the reset there is an end to waiting. */
import { FORWARD } from '../src/contract';
import { hasReached } from '../src/ledger/phases';
import { LIMITS, oneLine } from '../src/text';
import { patience } from './calls';
import type { LongOutage } from './failures';
import { tell } from './people';
import type { Run } from './run';

/** Does `work` with a run's patience (design: "Failure rules"): an outage longer than the plan's is told again and again. */
export function bearingOutages<T>(run: Run, work: () => Promise<T>): Promise<T> {
  const bear = (outage: LongOutage) => {
    if (isGivenUp(run, outage)) throw outage.problem.error;
    return tellOfOutage(run, outage);
  };
  return patience.run({ bear, end: () => endOutage(run) }, work);
}

/** The same for what goes on beside the steps: a step gives up, and not what holds page or backup meanwhile. */
export function bearingAllOutages<T>(run: Run, work: () => Promise<T>): Promise<T> {
  const bear = (outage: LongOutage) => tellOfOutage(run, outage);
  return patience.run({ bear, end: () => endOutage(run) }, work);
}

const waitsForEnd = 'the end of an outage';

async function tellOfOutage(run: Run, { problem, sinceMs }: LongOutage): Promise<void> {
  const text = `No progress since ${new Date(sinceMs).toISOString()}: ${problem.message}`;
  if (run.waitingFor === null)
    run.wait(`${waitsForEnd}. ${text}`, 'Nothing: it is tried again by itself. Help the server up again.');
  // Several activities meet the same one.
  if (run.outageToldAtMs !== null && Date.now() - run.outageToldAtMs < run.plan.patienceMs) return;
  run.outageToldAtMs = Date.now();
  run.note(oneLine(text, LIMITS.sentence));
  await tell(run, `${run.plan.name}: ${text} It is tried again by itself (workflow ${run.id}).`);
}

function endOutage(run: Run): void {
  run.outageToldAtMs = null;
  if (run.waitingFor?.startsWith(waitsForEnd)) run.goOn();
}

// Before the reset going back costs nothing, so no outage is waited for longer than people would be. A way back has nothing
// better to do than to wait.
function isGivenUp({ isGoingBack, phase, plan }: Run, { sinceMs }: LongOutage): boolean {
  const isBeforeReset =
    phase === null || ((FORWARD as readonly string[]).includes(phase) && !hasReached(phase, 'reset'));
  return !isGoingBack && isBeforeReset && Date.now() - sinceMs > plan.approval.timeoutMs;
}
