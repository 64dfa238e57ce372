/** What an activity works with: the plan, and its run as Temporal knows it. */
import { Context } from '@temporalio/activity';
import { KirikaeError, UsageError } from '../src/errors';
import { HeldRun, workflowOf } from '../src/ledger/held-run';
import { findPlan, missingVariables, type Plan, type Settings } from '../src/settings/read';
import { identityOf } from './identity';

export type { Moved } from '../src/ledger/held-run';

/** Sent with every activity: which plan. Who asks is taken from Temporal. */
export interface RunRef {
  plan: string;
  /** Hash of the plan when the run began; null where a changed plan must not hinder (ways back). */
  planHash: string | null;
}

/** An activity's run. @throws KirikaeError when the plan isn't there, lacks variables, or isn't what the run began with */
export async function openRun(settings: Settings, ref: RunRef): Promise<HeldRun> {
  const plan = planOf(settings, ref.plan);
  const missing = missingVariables(plan);
  if (missing.length > 0) throw new KirikaeError('NeedsOperator', missing.join(' '));
  if (ref.planHash !== null && ref.planHash !== plan.hash) {
    throw new KirikaeError(
      'NeedsOperator',
      `The settings, mapping or schema files of plan "${ref.plan}" have changed on the worker since this run began. Put back what they were, start the worker again, and send retry; or cancel the run.`,
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

// Once a run is under way its plan is there: people put it right, and say retry.
function planOf(settings: Settings, name: string): Plan {
  try {
    return findPlan(settings, name);
  } catch (error) {
    throw error instanceof UsageError ? new KirikaeError('NeedsOperator', error.problems.join(' ')) : error;
  }
}

/** Aborts when this activity is cancelled or has lost its place to another attempt. */
export function cancellation(): AbortSignal {
  return Context.current().cancellationSignal;
}
