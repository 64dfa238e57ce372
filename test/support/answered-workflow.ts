/** A stand-in for a run at a given place that listens with the real inbox: for tests of what may be said there. */
import { condition } from '@temporalio/workflow';
import type { Phase, StepName } from '../../src/contract';
import { openInbox } from '../../workflows/inbox';
import { Run, type ParkAnswer } from '../../workflows/run';

export interface Place {
  phase: Phase | null;
  step: StepName;
  parked: boolean;
  live?: boolean;
  asksRollBack?: boolean;
}

/** Ends with the answer, once somebody has given one. */
export async function answeredRun(place: Place): Promise<ParkAnswer | null> {
  const run = new Run({ plan: 'small', requestedBy: 'alice' });
  run.plan = { approval: { minimum: 2, timeoutMs: 1, requesterMayApprove: false } } as typeof run.plan;
  const { phase, ...rest } = place;
  const goesBack = phase && ['returning', 'aside', 'emptied', 'restored'].includes(phase);
  if (phase) run.standing = { phase, from: goesBack ? 'migrated' : null, window: 1, seq: 9 };
  Object.assign(run, rest);
  run.at(place.step).state = 'running';
  openInbox(run);
  await condition(() => run.answer !== null);
  return run.answer;
}
