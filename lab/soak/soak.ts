/** Migrations over and over while workers, sessions and servers are killed under them; each run is judged at its end. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Client as TemporalClient, WorkflowHandle } from '@temporalio/client';
import { TASK_QUEUE, type Status } from '../../src/contract';
import { sentence } from '../../src/errors';
import { chooseFaults, Injector, type Fault } from './faults';
import { judgeMigrated, stateOf, type DatabaseState, type Verdict } from '../database-state';
import { judgeRestored } from './judge';
import { seededRandom, type Random } from './random';
import { plans, type PlanName, type Stage } from './stage';

export interface SoakOptions {
  kills: number;
  seed: number;
  say: (line: string) => void;
}

export interface SoakResult {
  kills: number;
  rowsJudged: number;
  runs: number;
  problems: string[];
}

const runTimeoutMs = 240_000;
// A run whose moments all pass by unused must not go on for ever.
const maxIdleRuns = 10;

/** Runs until so many faults were fired and the last run has ended. */
export async function soak(stage: Stage, client: TemporalClient, options: SoakOptions): Promise<SoakResult> {
  const random = seededRandom(options.seed);
  const result: SoakResult = { kills: 0, rowsJudged: 0, runs: 0, problems: [] };
  for (let idle = 0; result.kills < options.kills && idle < maxIdleRuns;) {
    const plan = choosePlan(random, result.runs);
    const faults = chooseRun(random, plan).slice(0, options.kills - result.kills);
    const startedAtMs = Date.now();
    result.runs += 1;
    const run = await runOnce(stage, client, plan, faults).catch((error: unknown) => sentence(error));
    if (typeof run === 'string') {
      result.problems.push(`run ${result.runs}: ${run}`);
      return result;
    }
    result.kills += run.fired.length;
    result.rowsJudged += run.rowsJudged;
    result.problems.push(...run.problems.map((problem) => `run ${result.runs}: ${problem}`));
    idle = run.fired.length === 0 ? idle + 1 : 0;
    const seconds = ((Date.now() - startedAtMs) / 1000).toFixed(1);
    const done =
      run.fired.map(({ phase, kind }) => `${kind} in ${phase}`).join(', ') || 'nothing met its moment';
    options.say(
      `run ${result.runs} (${plan}): ${done}; ${run.outcome} after ${seconds}s, ${run.rowsJudged} rows judged, problems: ${run.problems.length}`,
    );
    for (const problem of run.problems) options.say(`  ${problem}`);
  }
  if (result.kills < options.kills) result.problems.push('No moment was met any more.');
  return result;
}

/** Every other run is to end well; the first fails, so that even a short soak restores. */
function choosePlan(random: Random, runs: number): PlanName {
  const failing = random.pick(['fails-in-migrate', 'fails-in-smoke'] as const);
  return runs % 2 === 0 ? failing : 'migrates';
}

function chooseRun(random: Random, plan: PlanName): Fault[] {
  if (plan === 'migrates')
    return [...chooseFaults(random, 'backup', 3), ...chooseFaults(random, 'migrate', 4)];
  return [
    ...chooseFaults(random, 'backup', 2),
    ...chooseFaults(random, 'migrate', 2),
    ...chooseFaults(random, 'restore', 3),
  ];
}

async function runOnce(
  stage: Stage,
  client: TemporalClient,
  plan: PlanName,
  faults: Fault[],
): Promise<Verdict & { outcome: string; fired: Fault[]; seen: Injector['seen'] }> {
  await stage.layOutProduction();
  const before = await stateOf(stage.urls.production);
  const injector = new Injector(faults, {
    adminUrl: stage.adminUrl,
    killWorker: stage.replaceWorker,
    killPostmaster: stage.crashPostgres,
  });
  stage.watch((type, text) => injector.watch(type, text));
  const handle = await client.workflow.start('offlineMigration', {
    taskQueue: TASK_QUEUE,
    workflowId: `soak-${Date.now()}`,
    args: [{ plan, requestedBy: 'soak', checklist: [] }],
  });
  const outcome = await followToTheEnd(handle);
  stage.watch(() => 'pass');
  await injector.stop();
  const verdict = await judge(stage, plan, outcome, before);
  return {
    rowsJudged: verdict.rowsJudged,
    problems: [...injector.failures, ...verdict.problems],
    outcome,
    fired: injector.fired,
    seen: injector.seen,
  };
}

async function judge(stage: Stage, plan: PlanName, outcome: string, before: DatabaseState): Promise<Verdict> {
  if (outcome !== plans[plan])
    return { rowsJudged: 0, problems: [`The run ended as ${outcome}, expected ${plans[plan]}.`] };
  try {
    return await (plan === 'migrates' ? judgeMigrated(stage) : judgeRestored(stage, before));
  } catch (error) {
    return { rowsJudged: 0, problems: [`The run could not be judged: ${String(error)}`] };
  }
}

/** Approves once and waits. @returns the outcome; for a run that parks or doesn't end, a sentence (it is terminated) */
async function followToTheEnd(handle: WorkflowHandle): Promise<string> {
  const deadline = Date.now() + runTimeoutMs;
  let isApproved = false;
  let last: Status | null = null;
  while (Date.now() < deadline) {
    // A query needs a worker, and that may just have been killed.
    const status = await handle.query<Status>('status').catch(() => null);
    last = status ?? last;
    if (status?.outcome && (await isClosed(handle))) return explain(status);
    if (status?.parked) break;
    if (status?.step === 'approval' && status.waitingFor !== null && !isApproved) {
      await handle.signal('approve', { by: 'operator', fingerprint: status.backup?.fingerprint });
      isApproved = true;
    }
    await wait(200);
  }
  await handle.terminate().catch(() => undefined);
  return last?.parked
    ? `parked, waiting for ${last.waitingFor ?? 'nothing'}`
    : `no outcome within ${runTimeoutMs / 1000}s, last in step ${last?.step ?? 'unknown'}`;
}

async function isClosed(handle: WorkflowHandle): Promise<boolean> {
  return (await handle.describe()).status.name !== 'RUNNING';
}

function explain({ outcome, notes, steps }: Status): string {
  if (outcome === 'migrated') return outcome;
  const failed = steps.filter(({ state }) => state === 'failed').map(({ name }) => name);
  return `${outcome}, failed in ${failed.join(', ') || 'no step'}${isOnPurpose(failed) ? '' : `: ${notes.at(-1)}`}`;
}

function isOnPurpose(failed: readonly string[]): boolean {
  return failed.length === 1 && (failed[0] === 'migrate' || failed[0] === 'smoke');
}
