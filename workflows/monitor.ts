/** Child workflow: repeats the automatic checks until its time is over; one failing check ends it. */
import { ApplicationFailure, continueAsNew, sleep } from '@temporalio/workflow';
import type { RunRef } from '../activities';
import { database, hostOf } from './calls';
import { problemOf } from './failures';

export interface Watch {
  run: RunRef;
  hostQueue: string | null;
  checks: { name: string; kind: string }[];
  everyMs: number;
  /** When the watching ends, in milliseconds since 1970. */
  untilMs: number;
  /** Rounds before the last continue-as-new. */
  rounds?: number;
}

export interface Watched {
  rounds: number;
  failing: { name: string; error: string } | null;
  untilMs: number;
}

const roundsPerHistory = 100;

export async function monitorProduction(watch: Watch): Promise<Watched> {
  refuseUnusable(watch);
  let rounds = watch.rounds ?? 0;
  const host = hostOf(watch.hostQueue);
  for (let here = 0; here < roundsPerHistory; here += 1) {
    const leftMs = watch.untilMs - Date.now();
    if (leftMs > 0) await sleep(Math.min(watch.everyMs, leftMs), { summary: 'until the next checks' });
    rounds += 1;
    for (const { name, kind } of watch.checks) {
      try {
        await (kind === 'command' ? host : database).watchCheck.executeWithOptions({ summary: name }, [
          { run: watch.run, name },
        ]);
      } catch (error) {
        const problem = problemOf(error);
        if (['StepFailed', 'NeedsOperator', 'NeedsRepair'].includes(problem.type))
          return { rounds, failing: { name, error: problem.message }, untilMs: watch.untilMs };
        throw error;
      }
    }
    if (Date.now() >= watch.untilMs) return { rounds, failing: null, untilMs: watch.untilMs };
  }
  return continueAsNew<typeof monitorProduction>({ ...watch, rounds });
}

// Whoever reaches Temporal can start it: an input of another kind ends it, and fails no task for ever.
function refuseUnusable(watch: Partial<Watch> | null | undefined): void {
  if (Array.isArray(watch?.checks) && typeof watch.everyMs === 'number' && typeof watch.untilMs === 'number')
    return;
  throw ApplicationFailure.create({
    type: 'refused',
    message:
      'monitorProduction is started by offlineMigration alone; this input is none of its own. Nothing was done.',
    nonRetryable: true,
  });
}
