/** `kirikae start`: checks the plan, has the checklist confirmed, and starts one run of a production database. */
import { createHash } from 'node:crypto';
import { WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@temporalio/client';
import { type MigrationInput, QUERIES, TASK_QUEUE, WORKFLOW_TYPE } from '../src/contract';
import { UsageError } from '../src/errors';
import { placeOf, urlProblem } from '../src/postgres/url';
import { type Plan, findPlan, readSettings, settingsFile } from '../src/settings/read';
import { type Temporal, askServer, requireWorker, withTemporal } from './connection';
import { CommandFailed, Unanswered } from './failures';
import { queryRun } from './run-view';
import { type CommonOptions, type Io, askItems, print, printJson } from './terminal';
import { watchRun } from './watch';

export interface StartOptions extends CommonOptions {
  by: string;
  config?: string;
  id?: string;
  rehearse?: boolean;
  confirmChecklist?: boolean;
  watch?: boolean;
}

/**
 * Starts a run, and with `--watch` follows it.
 * @returns the exit code
 * @throws UsageError for settings, an unconfirmed checklist or a second run; Unanswered without a server or worker
 */
export async function startRun(io: Io, planName: string, options: StartOptions): Promise<number> {
  // A rehearsal that is silently ignored would be a real migration.
  if (options.rehearse) {
    throw new UsageError([
      '--rehearse is not available yet: rehearsals come in a later version. Nothing was started. Without --rehearse this command starts the real migration.',
    ]);
  }
  const plan = findPlan(readSettings(settingsFile(options.config, io.env)), planName);
  const id = options.id ?? `kirikae-${plan.name}`;
  return withTemporal(io, async (temporal) => {
    await requireWorker(temporal);
    const production = hashOfProduction(io.env[plan.databases.production.urlEnv]);
    if (production) await refuseSecondRun(temporal, production);
    const checklist = await confirmChecklist(io, plan, options);
    const input: MigrationInput = { plan: plan.name, requestedBy: options.by, checklist, rehearse: false };
    const runId = await startWorkflow(temporal, id, input, production);
    return followStart(io, temporal, { id, runId, plan, options });
  });
}

/** A name for a production database that is the same for every plan that uses it, and tells no secret; null if the URL is missing or no URL. */
export function hashOfProduction(url: string | undefined): string | null {
  if (!url || urlProblem(url)) return null;
  return createHash('sha256').update(placeOf(url)).digest('hex');
}

/** @throws UsageError naming a run that migrates the same production and has not ended */
export async function refuseSecondRun(temporal: Temporal, production: string): Promise<void> {
  const running = await askServer(temporal, async () => {
    const query = `WorkflowType = '${WORKFLOW_TYPE}' AND ExecutionStatus = 'Running'`;
    for await (const run of temporal.client.workflow.list({ query })) {
      if (run.memo?.production !== production) continue;
      if (await isOpen(temporal, run.workflowId, run.runId)) return run.workflowId;
    }
    return null;
  });
  if (running === null) return;
  throw new UsageError([
    `The run ${running} is already migrating this production database, so nothing was started. Look at it with: kirikae status ${running}`,
  ]);
}

// The list lags behind: it may still show a run that has just ended, or one that is deleted.
async function isOpen(temporal: Temporal, id: string, runId: string): Promise<boolean> {
  try {
    const { status } = await temporal.client.workflow.getHandle(id, runId).describe();
    return status.name === 'RUNNING' || status.name === 'PAUSED';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

async function confirmChecklist(io: Io, plan: Plan, options: StartOptions): Promise<string[]> {
  if (plan.checklist.length === 0 || options.confirmChecklist || options.yes) return plan.checklist;
  const confirmed = io.isTerminal
    ? await askItems(io, options, 'What is true? Every item must be, before a run may start.', plan.checklist)
    : [];
  const missing = plan.checklist.filter((item) => !confirmed.includes(item));
  if (missing.length === 0) return plan.checklist;
  throw new UsageError([
    ...missing.map((item) => `Checklist: "${item}" is not confirmed.`),
    'Nothing was started. Confirm the items on a terminal, or all of them with --confirm-checklist.',
  ]);
}

async function startWorkflow(
  temporal: Temporal,
  id: string,
  input: MigrationInput,
  production: string | null,
): Promise<string> {
  try {
    const handle = await askServer(temporal, () =>
      temporal.client.workflow.start(WORKFLOW_TYPE, {
        workflowId: id,
        taskQueue: TASK_QUEUE,
        args: [input],
        workflowIdConflictPolicy: 'FAIL',
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        memo: production ? { production } : {},
        staticSummary: `Migration of plan ${input.plan}, requested by ${input.requestedBy}`,
      }),
    );
    return handle.firstExecutionRunId;
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    throw new UsageError([
      `A run with the ID ${id} is already under way, so nothing was started. Look at it with: kirikae status ${id}`,
    ]);
  }
}

interface Started {
  id: string;
  runId: string;
  plan: Plan;
  options: StartOptions;
}

async function followStart(io: Io, temporal: Temporal, started: Started): Promise<number> {
  const { id, runId, plan, options } = started;
  const facts = { workflowId: id, runId, plan: plan.name, requestedBy: options.by };
  if (!options.json) {
    print(io, `Started ${id} (plan ${plan.name}, requested by ${options.by}, run ${runId}).`);
    print(io, `Watch it:  kirikae status ${id} --watch`);
    print(io, `In the UI: ${uiAddress(temporal, id)}`);
  }
  try {
    if (options.watch) {
      const { view, ending } = await watchRun(io, temporal, id, options);
      if (options.json) printJson(io, { ...facts, status: view.status });
      return ending.exitCode;
    }
    // A worker that died a moment ago still counts as polling: only an answer shows that the run goes on.
    await queryRun(temporal, id, QUERIES.status);
  } catch (error) {
    if (!(error instanceof Unanswered)) throw error;
    throw new CommandFailed(
      `${id} was started, but nobody answers for it. ${error.message} The run goes on by itself as soon as a worker is there; to end it instead: kirikae cancel ${id}`,
    );
  }
  if (options.json) printJson(io, facts);
  return 0;
}

function uiAddress({ address, namespace }: Temporal, id: string): string {
  const [host = '', port = ''] = address.split(':');
  const place = `namespaces/${encodeURIComponent(namespace)}/workflows/${encodeURIComponent(id)}`;
  if (host.endsWith('.tmprl.cloud') || host.endsWith('.api.temporal.io'))
    return `https://cloud.temporal.io/${place}`;
  // The development server's own ports, unless they are changed.
  if (/^(localhost|127\.0\.0\.1)$/.test(host) && port === '7233') return `http://${host}:8233/${place}`;
  return `workflow ${id} in namespace ${namespace}`;
}
