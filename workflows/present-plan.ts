/** `retry` reads the settings anew: going forward what was approved must be in them as it was, everything else counts as it is now. */
import { ApplicationFailure } from '@temporalio/workflow';
import { fold } from '../src/text';
import { database } from './calls';
import type { Run } from './run';

/**
 * Takes over what the settings say since the last `retry`; without one since the last look it does nothing.
 * @throws ApplicationFailure NeedsOperator where they can't be used
 */
export async function takePresentPlan(run: Run): Promise<void> {
  const { retry } = run;
  if (run.plan && run.planOfRetry === retry) return;
  const fresh = await database.outlinePlan({ run: run.refBack() });
  if (!run.plan) return run.begin(fresh);
  const { hostQueue, approval } = run.plan;
  // A worker serves the queues that it was started with, and how many must agree is not for the way back to change.
  run.plan = { ...fresh, hostQueue, approval: { ...approval, timeoutMs: fresh.approval.timeoutMs } };
  run.planOfRetry = retry;
}

/** The same going forward. @throws ApplicationFailure NeedsOperator naming what isn't as it was approved */
export async function takeApprovedPlan(run: Run): Promise<void> {
  await takePresentPlan(run);
  const changed = changedParts(run.approved.parts, run.plan.parts);
  if (changed.length === 0) return;
  // Looked at again after the next answer.
  run.planOfRetry = null;
  const { first, leftOut } = fold(changed, { count: 20, bytes: 2_000 });
  throw ApplicationFailure.create({
    type: 'NeedsOperator',
    message: `The settings of plan "${run.input.plan}" are not what this run began with: ${[...first, ...(leftOut > 0 ? [`and ${leftOut} more`] : [])].join(', ')}. Expected: databases, mapping, schema step, reset, page, deploys and checks as they were; passwords, time limits, contacts and notifications may change. Put them back and send retry, or cancel the run: it goes back by itself.`,
    nonRetryable: true,
  });
}

function changedParts(approved: Record<string, string>, present: Record<string, string>): string[] {
  const names = [...new Set([...Object.keys(approved), ...Object.keys(present)])];
  return names
    .filter((name) => approved[name] !== present[name])
    .map((name) => {
      if (!(name in approved)) return `${name} is new`;
      return name in present ? `${name} has changed` : `${name} is gone`;
    });
}
