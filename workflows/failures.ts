/** Why a run leaves its path, as errors the workflow throws to itself, and the sentence inside a failed activity. */
import {
  ActivityFailure,
  ApplicationFailure,
  ChildWorkflowFailure,
  TimeoutFailure,
} from '@temporalio/workflow';
import { LIMITS, lines } from '../src/text';

/** Preflight found something, or the input is unusable: nothing was changed. */
export class Refused extends Error {
  constructor(readonly reasons: string[]) {
    super(reasons.join(' '));
  }
}

/** The approval was refused, or didn't come in time. */
export class Rejected extends Error {}

/** An operator ended a parked run. */
export class Settled extends Error {}

/** After `live`: persons asked for the way back and accepted the loss. */
export class RollBackGranted extends Error {}

export interface Problem {
  type: string;
  message: string;
  /** What it was found in. */
  error: unknown;
}

/** An outage that is longer than the plan's `patience`, and goes on. */
export interface LongOutage {
  problem: Problem;
  /** When it began, in milliseconds since 1970. */
  sinceMs: number;
}

/** Null for any other failure. */
export function longOutageOf(error: unknown): LongOutage | null {
  const cause = error instanceof ActivityFailure ? error.cause : null;
  if (!(cause instanceof ApplicationFailure) || cause.type !== 'LongOutage') return null;
  const sinceMs = cause.details?.[0];
  return { problem: problemOf(error), sinceMs: typeof sinceMs === 'number' ? sinceMs : Date.now() };
}

/** Type and sentence of a failed activity, cut to a size; Temporal's own "Activity task failed" says nothing. */
export function problemOf(error: unknown): Problem {
  const { type, message } = causeOf(error);
  return { type, message: lines(message, LIMITS.sentence), error };
}

function causeOf(error: unknown): Omit<Problem, 'error'> {
  if (error instanceof ActivityFailure || error instanceof ChildWorkflowFailure) return causeOf(error.cause);
  if (error instanceof ApplicationFailure)
    return { type: error.type ?? 'StepFailed', message: error.message };
  if (error instanceof TimeoutFailure) {
    return {
      type: 'StepFailed',
      message: `No worker finished it in time (${error.message}). Is a worker running?`,
    };
  }
  return { type: 'StepFailed', message: error instanceof Error ? error.message : String(error) };
}
