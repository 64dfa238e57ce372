/** Who an activity acts for, as Temporal has it: nothing of it is taken from arguments, which anybody may make up. */
import { Context, type Info } from '@temporalio/activity';
import { KirikaeError, sentence } from '../src/errors';
import type { RunIdentity } from '../src/ledger/claim';

// A run's first run never changes.
const firstRuns = new Map<string, string>();
const remembered = 1_000;

/** The Temporal run that this activity belongs to. @throws KirikaeError Outage when Temporal doesn't answer */
export async function identityOf(plan: string): Promise<RunIdentity> {
  const { workflowExecution, workflowNamespace } = Context.current().info;
  if (!workflowExecution) throw new KirikaeError('StepFailed', 'The activity was not started by a workflow.');
  const { workflowId, runId } = workflowExecution;
  const namespace = workflowNamespace ?? 'default';
  return { namespace, workflowId, runId, firstRunId: await firstRunOf(namespace, workflowId, runId), plan };
}

/** The first run of a run's workflow: another one after a Temporal reset, the run itself otherwise. */
async function firstRunOf(namespace: string, workflowId: string, runId: string): Promise<string> {
  const key = `${namespace} ${runId}`;
  const known = firstRuns.get(key);
  if (known !== undefined) return known;
  try {
    const { raw } = await Context.current().client.workflow.getHandle(workflowId, runId).describe();
    const first = raw.workflowExecutionInfo?.firstRunId || runId;
    if (firstRuns.size > remembered) firstRuns.clear();
    firstRuns.set(key, first);
    return first;
  } catch (error) {
    throw new KirikaeError('Outage', `Temporal does not say which run this is: ${sentence(error)}.`, {
      cause: error,
    });
  }
}

/** What the runs before this one may have done: nothing, something, or they had come to their end. */
export type Past = 'none' | 'acted' | 'ended';

/**
 * Asks Temporal what the first run of this workflow has done. It alone can have claimed production: a run that a Temporal reset
 * made claims nothing.
 * @throws KirikaeError Outage when Temporal doesn't answer
 */
export async function lookBackAt({ workflowExecution, workflowNamespace }: Info): Promise<Past> {
  const { workflowId = '', runId = '' } = workflowExecution ?? {};
  const first = await firstRunOf(workflowNamespace ?? 'default', workflowId, runId);
  if (first === runId) return 'none';
  try {
    const handle = Context.current().client.workflow.getHandle(workflowId, first);
    const { events } = await handle.fetchHistory();
    const isClaim = (event: NonNullable<typeof events>[number]) =>
      event.activityTaskScheduledEventAttributes?.activityType?.name === 'claim';
    if (!events?.some(isClaim)) return 'none';
    const { status } = await handle.describe();
    return ['COMPLETED', 'FAILED', 'CANCELLED'].includes(status.name) ? 'ended' : 'acted';
  } catch (error) {
    throw new KirikaeError(
      'Outage',
      `Temporal does not say what the first run has done: ${sentence(error)}.`,
      {
        cause: error,
      },
    );
  }
}
