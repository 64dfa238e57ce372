/** The runbook: one offline migration from its checks to its report, and the way back when anything fails before. */
import {
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  allHandlersFinished,
  condition,
  isCancellation,
  patched,
} from '@temporalio/workflow';
import { z } from 'zod';
import type { MigrationInput, Outcome, Status } from '../src/contract';
import {
  deploy,
  deploySchema,
  goLive,
  migrate,
  monitor,
  reset,
  retireBackup,
  smoke,
  verify,
  writeReport,
} from './after-reset';
import {
  announce,
  awaitApproval,
  backUp,
  preflight,
  raiseFence,
  tell,
  turnOnMaintenance,
} from './before-reset';
import { database, early } from './calls';
import { Refused, Rejected, RollBackGranted, Settled, problemOf } from './failures';
import { openInbox } from './inbox';
import { Run, now } from './run';
import { goBack } from './way-back';

const inputSchema = z.object({
  plan: z.string().min(1),
  requestedBy: z.string().trim().min(1),
  rehearse: z.boolean().optional(),
  checklist: z.array(z.string()).optional(),
});

export async function offlineMigration(input: MigrationInput): Promise<Status> {
  const run = new Run(fillInput(input), tell);
  openInbox(run);
  try {
    refuseUnusable(input);
    await preflight(run);
    await announce(run);
    await turnOnMaintenance(run);
    await raiseFence(run);
    await backUp(run);
    await awaitApproval(run);
    await reset(run);
    await deploySchema(run);
    await migrate(run);
    await verify(run);
    await deploy(run);
    await smoke(run);
    await goLive(run);
    await monitor(run);
    await retireBackup(run);
    return await close(run, 'migrated');
  } catch (error) {
    // A cancel that meets a failure on its way is still a cancel.
    const cancelled = isCancellation(error) || CancellationScope.current().consideredCancelled;
    return await CancellationScope.nonCancellable(() => leavePath(run, error, cancelled));
  }
}

/** Decides how a run that left its path ends; `cancelled` when a cancel was asked for before the way back began. */
async function leavePath(run: Run, error: unknown, cancelled: boolean): Promise<Status> {
  try {
    if (error instanceof RollBackGranted) {
      await goBack(run, { lossAccepted: true });
      return await close(run, 'rolled-back', error.message);
    }
    if (error instanceof Settled) throw error;
    if (run.live && cancelled) {
      run.note('The run was cancelled after it went live: the monitoring ended, the backup is kept.');
      return await close(run, 'migrated');
    }
    const { type, message } = problemOf(error);
    const reasons = error instanceof Refused ? error.reasons : [message];
    // Before the claim nothing is changed, so whatever stops preflight is a refusal; unless the ledger knows more.
    const refuses =
      error instanceof Refused ||
      (run.step === 'preflight' && !isCancellation(error) && type !== 'Overtaken');
    if (refuses) {
      for (const reason of reasons) run.note(reason);
      const asksLedger = mayHaveChanged(run, error);
      if (!cancelled && !asksLedger) return await refuse(run, reasons);
      if (cancelled && !asksLedger && !run.plan) return await close(run, 'cancelled', cancelledSentence);
    }
    if (type === 'Overtaken') await run.park(message, lookFirst);
    const found = await goBack(run, {
      lossAccepted: false,
      lookFirst:
        refuses && !cancelled && run.step === 'preflight' ? { problem: message, next: lookFirst } : undefined,
    });
    switch (found) {
      case 'live':
        return await close(run, 'migrated');
      case 'unknown':
        if (!cancelled) throw new Settled(`${message} ${noTrace}`);
        return await close(run, 'cancelled', 'The run was cancelled; nothing of it was in production.');
      case 'nothing':
        if (refuses && !cancelled) return await refuse(run, reasons);
        break;
      case 'restored':
      case 'untouched':
        break;
    }
    if (cancelled) return await close(run, 'cancelled', cancelledSentence);
    if (error instanceof Rejected) return await close(run, 'rejected', message);
    return await close(
      run,
      'rolled-back',
      `The step ${failedStep(run)} failed and production is what it was before: ${message}`,
    );
  } catch (settled) {
    if (!(settled instanceof Settled)) throw asFailure(settled);
    await leaveToOperator(run);
    return close(run, 'needs-operator', settled.message);
  }
}

const cancelledSentence = 'The run was cancelled; production is what it was before.';

const lookFirst =
  'look at production, then send retry to go the way back that the ledger calls for, or settle';

const noTrace =
  "Neither production nor the backup holds anything of this run any more, so how it ended before can't be said: expected production's ledger, or the backup with its copy of it. Look at production and at the report of the run's earlier execution, and start again when both are as they should be.";

/**
 * True when this run, or the one that a Temporal reset made it from, may have changed production: then the ledger is asked
 * before anything is called a refusal.
 */
function mayHaveChanged(run: Run, error: unknown): boolean {
  const inputIsUnusable = error instanceof Refused && !run.plan;
  if (inputIsUnusable || (run.step === 'preflight' && !run.hasPast)) return false;
  // Older histories refused without asking.
  return patched('ask-the-ledger-before-refusing');
}

async function refuse(run: Run, reasons: string[]): Promise<Status> {
  if (run.plan) await removeShadow(run);
  run.at(run.step).state = 'failed';
  run.at(run.step).error = reasons.join(' ');
  return close(run, 'refused', reasons.join(' '));
}

/** Ends the run: nothing of it stays in production, the report is written, the workflow closes as the outcome says. */
async function close(run: Run, outcome: Outcome, why?: string): Promise<Status> {
  if (outcome === 'migrated') {
    const removed = await run.insist('Removing shadow and ledger', () =>
      database.release({ run: run.ref(true) }),
    );
    // Older histories have no such sentences.
    for (const sentence of (removed as string[] | null | undefined) ?? []) run.note(sentence);
  }
  if (why !== undefined && outcome !== 'refused') run.note(why);
  for (const step of run.steps) {
    if (['pending', 'running', 'waiting'].includes(step.state)) step.state = 'skipped';
  }
  const report = run.at('report');
  report.startedAt = now();
  run.finishedAt = now();
  run.outcome = outcome;
  run.step = 'report';
  report.state = 'done';
  run.wait(null, ending(run, outcome));
  if (run.plan) {
    await writeReport(run);
    if (outcome !== 'refused') await tell(run, `${run.plan.name}: ${outcome} (workflow ${run.id}).`);
  }
  report.finishedAt = now();
  run.show();
  await condition(allHandlersFinished);
  switch (outcome) {
    case 'migrated':
    case 'rehearsed':
    case 'rejected':
      return run.status();
    case 'cancelled':
      throw new CancelledFailure(why ?? 'cancelled');
    case 'refused':
    case 'rolled-back':
    case 'needs-operator':
      throw ApplicationFailure.create({ type: outcome, message: why ?? outcome, nonRetryable: true });
  }
}

function ending(run: Run, outcome: Outcome): string {
  switch (outcome) {
    case 'migrated':
    case 'rehearsed':
      return 'Nothing: the migration is finished.';
    case 'refused':
      return 'Do what the notes say, then start again. Nothing was changed.';
    case 'rolled-back':
    case 'rejected':
    case 'cancelled':
      return 'Production is what it was before. Start again when the cause is gone.';
    case 'needs-operator':
      return `Bring production to a safe end by hand: README, "By hand". Page and fence were left as they are (${run.id}).`;
  }
}

// A database that is down must not keep a refusal from ending.
async function removeShadow(run: Run): Promise<void> {
  try {
    await early.release({ run: run.ref(true) });
  } catch (error) {
    run.note(`The shadow database could not be removed: ${problemOf(error).message}`);
  }
}

async function leaveToOperator(run: Run): Promise<void> {
  try {
    for (const command of await database.handOver({ run: run.ref(true) })) run.notes.push(command);
  } catch (error) {
    run.note(
      `The commands that lift page and fence could not be worked out (${problemOf(error).message}); README, "By hand", has them.`,
    );
  }
}

function refuseUnusable(input: unknown): void {
  const parsed = inputSchema.safeParse(input);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(
      (issue) => `${issue.path.join('.') || 'the input'}: ${issue.message}`,
    );
    throw new Refused([
      `The workflow's input is unusable (${problems.join('; ')}). Expected {"plan":"NAME","requestedBy":"NAME","checklist":["…"]}; start again with that.`,
    ]);
  }
  if (parsed.data.rehearse === true) {
    throw new Refused([
      'Rehearsals ("rehearse": true) are not available in this version, and a real run was not started in their place. Start without it when you mean a real migration.',
    ]);
  }
}

// Status and queries must work even for an unusable input.
function fillInput(input: unknown): MigrationInput {
  const given = (typeof input === 'object' && input !== null ? input : {}) as Partial<
    Record<keyof MigrationInput, unknown>
  >;
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  const checklist = Array.isArray(given.checklist)
    ? given.checklist.filter((item) => typeof item === 'string')
    : [];
  return {
    plan: text(given.plan),
    requestedBy: text(given.requestedBy),
    rehearse: given.rehearse === true,
    checklist,
  };
}

function failedStep(run: Run): string {
  return run.steps.find((step) => step.state === 'failed')?.name ?? run.step;
}

function asFailure(error: unknown): unknown {
  return error instanceof ApplicationFailure || error instanceof CancelledFailure
    ? error
    : ApplicationFailure.create({
        type: 'needs-operator',
        message: problemOf(error).message,
        nonRetryable: true,
      });
}
