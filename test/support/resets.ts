/** One Temporal reset of a run that is watched: to which task, when, what the status said then, and how production was left. */
import type { WorkflowHandle } from '@temporalio/client';
import { contentOf, definitionOf, judgeMigrated, leftovers } from '../../lab/database-state';
import { query, until, withDatabase } from '../../lab/stage';
import { watchUsers, shapeOf, type UserWatch } from '../../lab/users-watch';
import type { Status } from '../../src/contract';
import { sentence } from '../../src/errors';
import type { TestNamespace } from './namespace';
import { layOutMigration, startRun, statusOf, withWorker, type Migration } from './migration';
import { eventsOf, failedTasks, phasesOf, tasksOf, untilPassed, type Task } from './workflow-tasks';

/** Two runs, as they would end by themselves. */
export const stories = ['migrated', 'rolled-back'] as const;
export type Story = (typeof stories)[number];

/** What a reset came to. */
export interface ResetResult {
  story: Story;
  when: 'during' | 'after';
  number: number;
  label: string;
  /** The ledger's phase at the reset. */
  phase: string;
  said: string;
  outcome: string;
  production: 'old' | 'new' | 'neither';
  seconds: number;
  problems: string[];
}

/** Production as it must be: completely old, or completely new. */
export interface Reference {
  old: { rows: string; definition: string; shape: string };
  new: { definition: string; shape: string };
}

/** A migration with its watching users and its run. */
interface Scene {
  migration: Migration;
  users: UserWatch;
  story: Story;
  reference: Reference;
}

export interface Bench {
  template: string;
  server: TestNamespace;
}

/** Lets a story come to its end. @returns its tasks, and production as it was and as it became where it migrated */
export async function tell(
  bench: Bench,
  story: Story,
): Promise<{ tasks: Task[]; phases: string[]; reference: Reference }> {
  const migration = await layOut(bench, story);
  try {
    const old = await portrait(migration);
    const handle = await withWorker(migration, bench.server.namespace, async () => {
      const run = await startRun(bench.server.client);
      await untilPassed(run, null);
      return run;
    });
    const became = await portrait(migration);
    const events = await eventsOf(handle);
    return {
      tasks: tasksOf(events),
      phases: phasesOf(events),
      reference: { old, new: { definition: became.definition, shape: became.shape } },
    };
  } finally {
    await migration.drop();
  }
}

/** Resets a run that goes on, to a task that it has just passed by a few events or rests after. */
export async function resetDuring(
  bench: Bench,
  { story, task, reference }: { story: Story; task: Task; reference: Reference },
): Promise<ResetResult> {
  return staged(bench, { story, reference }, async (scene) => {
    const handle = await startRun(bench.server.client);
    const found = await untilPassed(handle, task.label);
    if (!found) return { ...blank(scene, 'during', task), outcome: 'not met' };
    return resetAndJudge(bench, scene, { handle, task: found, when: 'during' });
  });
}

/** Resets a run that has ended to each of these tasks, one after the other. */
export async function resetAfter(
  bench: Bench,
  { story, tasks, reference }: { story: Story; tasks: readonly Task[]; reference: Reference },
  each: (result: ResetResult) => void,
): Promise<void> {
  await staged(bench, { story, reference }, async (scene) => {
    const handle = await startRun(bench.server.client);
    await untilPassed(handle, null);
    const own = tasksOf(await eventsOf(handle));
    // The user who comes in when the page is down.
    await until(() => scene.users.hasWritten(), 5_000);
    for (const { label, number } of tasks) {
      const task = own.find((candidate) => candidate.label === label) ?? own[number - 1];
      if (!task) continue;
      const result = await resetAndJudge(bench, scene, { handle, task, when: 'after' });
      each({ ...result, number });
    }
  });
}

async function staged<T>(
  bench: Bench,
  { story, reference }: { story: Story; reference: Reference },
  work: (scene: Scene) => Promise<T>,
): Promise<T> {
  const migration = await layOut(bench, story);
  const users = await watchUsers(migration, reference);
  try {
    return await withWorker(migration, bench.server.namespace, () =>
      work({ migration, users, story, reference }),
    );
  } finally {
    await users.stop();
    await migration.drop();
  }
}

function layOut({ template }: Bench, story: Story): Promise<Migration> {
  return layOutMigration(template, (plan) => {
    plan.monitor = { for: '5s', every: '2s' };
    plan.rollbackSmoke = [];
  }).then((migration) => {
    if (story === 'rolled-back') migration.health.status = 500;
    return migration;
  });
}

function blank({ story }: Scene, when: ResetResult['when'], { number, label }: Task): ResetResult {
  const empty = { phase: '', said: '', outcome: '', seconds: 0, problems: [] };
  return { story, when, number, label, ...empty, production: 'neither' };
}

async function resetAndJudge(
  bench: Bench,
  scene: Scene,
  { handle, task, when }: { handle: WorkflowHandle; task: Task; when: ResetResult['when'] },
): Promise<ResetResult> {
  const fromMs = Date.now();
  const result = blank(scene, when, task);
  result.phase = await phaseOf(scene.migration);
  let again: WorkflowHandle;
  try {
    again = await resetTo(bench, handle, task.eventId);
  } catch (error) {
    return { ...result, outcome: `not reset: ${sentence(error)}` };
  }
  try {
    const { status, said, lossAccepted } = await followTheStatus(again);
    result.said = said;
    result.outcome = status.outcome ?? 'none';
    await judge(scene, result, lossAccepted);
    result.problems.push(...(await failedTasks(again)));
  } catch (error) {
    result.problems.push(sentence(error));
    await again.terminate().catch(() => undefined);
  }
  result.seconds = Math.round((Date.now() - fromMs) / 100) / 10;
  return result;
}

/** Does what the status names, until the run has ended. */
async function followTheStatus(
  handle: WorkflowHandle,
): Promise<{ status: Status; said: string; lossAccepted: boolean }> {
  const said: string[] = [];
  let lossAccepted = false;
  const by = 'bob';
  for (let answers = 0; answers < 6;) {
    let status: Status | undefined;
    let asksSinceMs: number | null = null;
    const isThere = await until(async () => {
      const seen = await statusOf(handle);
      const { outcome, parked, waitingFor } = seen;
      status = seen;
      asksSinceMs = waitingFor === null ? null : (asksSinceMs ?? Date.now());
      // What was said to the run before is said to it again, and answers what it asks.
      const isUnanswered = asksSinceMs !== null && Date.now() - asksSinceMs > 5_000;
      return outcome !== null || parked || isUnanswered;
    }, 90_000);
    if (!status || !isThere) throw new Error(`No outcome and no question: ${JSON.stringify(status)}`);
    if (status.outcome !== null) {
      await handle.result().catch(() => undefined);
      return { status, said: said.join(' / '), lossAccepted };
    }
    if (!status.parked)
      throw new Error(`Something else than a parked run's answer is awaited: ${status.waitingFor}`);
    said.push(`parked: ${status.waitingFor}`);
    answers += 1;
    const asksRollBack = status.nextAction.includes('kirikae roll-back') && answers > 2;
    lossAccepted ||= asksRollBack;
    if (asksRollBack) await handle.executeUpdate('rollBack', { args: [{ by, acceptLoss: true }] });
    else if (status.nextAction.includes('kirikae retry'))
      await handle.executeUpdate('retry', { args: [{ by }] });
    else throw new Error(`The status names no way: ${status.nextAction}`);
  }
  throw new Error(`Six answers brought no end: ${said.join(' / ')}`);
}

async function judge(
  { migration, users, reference }: Scene,
  result: ResetResult,
  lossAccepted: boolean,
): Promise<void> {
  const { problems } = result;
  const place = { ...migration, ignoring: users.session };
  problems.push(...users.problems.splice(0));
  const kept = await users.takeBack();
  if (kept === false && !lossAccepted) problems.push('What a user wrote after the page was down is gone.');
  const now = await portrait(migration);
  const isOld = now.rows === reference.old.rows && now.definition === reference.old.definition;
  if (isOld) result.production = 'old';
  else if (now.definition === reference.new.definition) {
    const { problems: found } = await judgeMigrated(place);
    if (found.length === 0) result.production = 'new';
    problems.push(...found);
  }
  const expected = result.outcome === 'migrated' ? 'new' : 'old';
  if (result.production !== expected)
    problems.push(`It ended as ${result.outcome}, and production is ${result.production}.`);
  problems.push(...(await leftovers(place)));
  if (kept !== null && !lossAccepted) await users.writeAgain();
}

async function resetTo({ server }: Bench, handle: WorkflowHandle, eventId: number): Promise<WorkflowHandle> {
  const { workflowId } = handle;
  const runId = await firstRunOf(handle);
  const reset = await server.client.workflowService.resetWorkflowExecution({
    namespace: server.namespace,
    workflowExecution: { workflowId, runId },
    workflowTaskFinishEventId: eventId as never,
    requestId: `reset-${workflowId}-${eventId}`,
    reason: 'test',
  });
  return server.client.workflow.getHandle(workflowId, reset.runId);
}

async function firstRunOf(handle: WorkflowHandle): Promise<string | undefined> {
  const { raw } = await handle.describe();
  return raw.workflowExecutionInfo?.firstRunId ?? undefined;
}

async function phaseOf({ urls }: Migration): Promise<string> {
  const there = await query(urls.production, `select 1 from pg_namespace where nspname = 'kirikae'`);
  if (there.length === 0) return 'no ledger';
  const rows = await query<{ phase: string }>(urls.production, 'select phase from kirikae.claim').catch(
    () => [],
  );
  return rows[0]?.phase ?? 'no ledger';
}

async function portrait({ urls, production }: Migration): Promise<Reference['old']> {
  const rows = JSON.stringify(await contentOf(urls.production));
  const definition = (await definitionOf(urls.production))
    .join('\n')
    .replaceAll(production.name, 'PRODUCTION');
  return { rows, definition, shape: await withDatabase(urls.production, shapeOf) };
}
