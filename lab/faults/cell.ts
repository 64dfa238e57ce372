/** One cell: a run comes to a phase, a fault is done to it, it is followed to its end and judged. */
import { setTimeout as wait } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { TASK_QUEUE, WORKFLOW_TYPE } from '../../src/contract';
import { sentence } from '../../src/errors';
import { recover } from '../../src/way-back/recover';
import { query, until } from '../stage';
import { watchUsers } from '../users-watch';
import { isOnTheWayBack, rightOutcomes, titleOf, type Cell, type CellResult } from './cells';
import { approach, follow, writeBehindThePage } from './follow';
import { judge, portray, type Reference } from './judge';
import { planName, type Lane } from './stage';

/** Lets a run end that nothing disturbs. @returns production before and after */
export async function takeReference(lane: Lane): Promise<Reference> {
  await lane.layOut();
  const old = await portray(lane);
  const handle = await start(lane, 'reference');
  const { outcome, why } = await follow(handle);
  if (outcome !== 'migrated') throw new Error(`The run that nothing disturbed ended as ${outcome}: ${why}`);
  return { old, new: await portray(lane) };
}

/** Runs a cell and judges it. Never throws: what went wrong is a problem of its result. */
export async function runCell(lane: Lane, cell: Cell, reference: Reference): Promise<CellResult> {
  const fromMs = Date.now();
  const result: CellResult = {
    title: titleOf(cell),
    metAt: null,
    outcome: 'none',
    parks: [],
    production: 'neither',
    seconds: 0,
    problems: [],
  };
  try {
    await fill(result, { lane, cell, reference });
  } catch (error) {
    result.problems.push(sentence(error));
    // What it left of a run must not reach the next cell.
    await lane.killWorker();
  }
  result.seconds = Math.round((Date.now() - fromMs) / 100) / 10;
  return result;
}

async function fill(
  result: CellResult,
  { lane, cell, reference }: { lane: Lane; cell: Cell; reference: Reference },
): Promise<void> {
  await lane.startWorker();
  await lane.layOut();
  const { problems } = result;
  if (cell.fault === 'crash')
    await query(lane.adminUrl, 'alter database tumiki set synchronous_commit = off');
  if (isOnTheWayBack(cell.phase)) lane.health.status = 500;
  const users = await watchUsers(lane, reference);
  let hasWrittenBehind = false;
  const ended = new AbortController();
  try {
    const handle = await start(lane, titleOf(cell));
    const following = follow(handle).finally(() => ended.abort());
    // Looked at below; not to end the process when the waiting fails first.
    following.catch(() => undefined);
    result.metAt = await approach(lane.urls.production, {
      phase: cell.phase,
      signal: ended.signal,
      onVerified: async () => {
        if (!isOnTheWayBack(cell.phase)) return;
        await writeBehindThePage(lane.urls.production);
        hasWrittenBehind = true;
      },
    });
    const said = result.metAt === null ? [] : await act(lane, cell, handle);
    const { outcome, why, parks } = await following;
    result.outcome = outcome === 'terminated' && cell.fault === 'recover' ? 'recovered' : outcome;
    result.parks = parks;
    if (result.metAt === null) problems.push(`The phase wasn't met: ${outcome} ${why}`);
    problems.push(...said);
    if (!rightOutcomes(cell).includes(result.outcome))
      problems.push(`Expected ${rightOutcomes(cell).join(' or ')}: ${why}`);
    if (parks.length > 0 && cell.fault !== 'no-backup') problems.push(`It parked: ${parks.join(' / ')}`);
    if (result.outcome !== 'needs-operator') await until(users.hasWritten, 3_000);
  } finally {
    ended.abort();
    await users.stop();
  }
  if (cell.fault === 'crash') await query(lane.adminUrl, 'alter database tumiki reset synchronous_commit');
  const judged = await judge({ lane, users, reference, outcome: result.outcome, hasWrittenBehind });
  result.production = judged.production;
  problems.push(...judged.problems);
}

async function start({ client }: Lane, title: string): Promise<WorkflowHandle> {
  return client.workflow.start(WORKFLOW_TYPE, {
    taskQueue: TASK_QUEUE,
    workflowId: `faults-${title.replace('/', '-')}-${Date.now()}`,
    args: [{ plan: planName, requestedBy: 'alice' }],
  });
}

/** Does the fault. @returns what was wrong already while it was done */
async function act(lane: Lane, { fault, delayMs }: Cell, handle: WorkflowHandle): Promise<string[]> {
  await wait(delayMs);
  switch (fault) {
    case 'kill':
      await lane.killWorker();
      await lane.startWorker();
      return [];
    case 'recover':
      await handle.terminate();
      await lane.killWorker();
      return recoverAlone(lane);
    case 'no-backup':
      await query(lane.adminUrl, 'drop database if exists tumiki_backup with (force)');
      return [];
    case 'second-run':
      return secondRun(await start(lane, 'second'), handle);
    case 'cancel':
      await handle.cancel();
      return [];
    case 'cut':
      lane.cutConnections();
      return [];
    case 'cut-commit':
      lane.cutAfterCommit();
      return [];
    case 'crash':
      await lane.crashPostgres();
      return [];
  }
}

// The workflow of the command; its 30 seconds are for a worker that may still live, and this one was killed.
async function recoverAlone({ plan }: Lane): Promise<string[]> {
  const said: string[] = [];
  try {
    const isSafe = await recover(
      { plan, host: 'faults', acceptLoss: false, settleMs: 0, signal: new AbortController().signal },
      { say: (text) => void said.push(text), confirm: () => Promise.resolve(true) },
    );
    return isSafe ? [] : [`recover did nothing: ${said.join(' ')}`];
  } catch (error) {
    return [`recover stopped: ${sentence(error)} (it had said: ${said.join(' ')})`];
  }
}

// It may come so late that the first has ended: then it is stopped politely.
async function secondRun(second: WorkflowHandle, first: WorkflowHandle): Promise<string[]> {
  const isOver = async (run: WorkflowHandle) => (await run.describe()).status.name !== 'RUNNING';
  const [end] = await Promise.all([
    follow(second),
    until(async () => (await isOver(second)) || (await isOver(first))).then(async () => {
      if (!(await isOver(second))) await second.cancel().catch(() => undefined);
    }),
  ]);
  const isRight =
    (end.outcome === 'refused' && /claimed|backup|mapping/i.test(end.why)) ||
    (end.outcome === 'cancelled' && (await isOver(first)));
  return isRight ? [] : [`The second run ended as ${end.outcome}: ${end.why}`];
}
