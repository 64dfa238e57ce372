/** What an activity works with: the plan, and its run as Temporal knows it. */
import { Context } from '@temporalio/activity';
import { KirikaeError, UsageError } from '../src/errors';
import { HeldRun, workflowOf } from '../src/ledger/held-run';
import { findPlan, missingVariables, readAnew, type Plan, type Settings } from '../src/settings/read';
import { identityOf } from './identity';

export type { Moved } from '../src/ledger/held-run';

/** Sent with every activity: which plan. Who asks is taken from Temporal. */
export interface RunRef {
  plan: string;
  /** Hash of what was approved of the plan when the run began; null where a changed plan must not hinder (ways back). */
  planHash: string | null;
  /** The last `retry` of people, a text that no other one has: a worker reads the settings anew for each. */
  retry?: string | null;
}

/** An activity's run. @throws KirikaeError when the plan isn't there, lacks variables, or isn't what the run began with */
export async function openRun(settings: Settings, ref: RunRef): Promise<HeldRun> {
  const plan = planUnderWay(settings, ref);
  if (ref.planHash !== null && ref.planHash !== plan.hash) {
    throw new KirikaeError(
      'NeedsOperator',
      `The settings, mapping or schema files of plan "${ref.plan}" have changed on the worker since this run began. Put back what they were and send retry; or cancel the run.`,
    );
  }
  const { workflowExecution, activityId, attempt } = Context.current().info;
  const identity = await identityOf(plan.name);
  return new HeldRun(plan, {
    identity,
    key: `${workflowOf(identity)} ${workflowExecution?.runId} ${activityId}`,
    attempt,
    signal: cancellation(),
  });
}

/**
 * The present plan of a run that is under way: it was there, so what is wrong with it is for people to put right.
 * @throws KirikaeError NeedsOperator
 */
export function planUnderWay(settings: Settings, ref: RunRef): Plan {
  try {
    return presentPlan(settings, ref);
  } catch (error) {
    throw error instanceof UsageError ? new KirikaeError('NeedsOperator', error.problems.join(' ')) : error;
  }
}

/**
 * The plan as it counts now: read anew where people have said `retry` since.
 * @throws UsageError with every problem of the settings, or the variables that are not set
 */
export function presentPlan(settings: Settings, { plan: name, retry }: RunRef): Plan {
  if (retry) readAnew(settings, name, retry);
  const plan = findPlan(settings, name);
  const missing = missingVariables(plan);
  if (missing.length > 0) throw new UsageError(missing);
  return plan;
}

/** Aborts when this activity is cancelled or has lost its place to another attempt. */
export function cancellation(): AbortSignal {
  return Context.current().cancellationSignal;
}
