/** What people say to a run: updates with validators, and signals of the same names. */
import {
  ApplicationFailure,
  CancellationScope,
  defineQuery,
  defineSignal,
  defineUpdate,
  setHandler,
  uuid4,
} from '@temporalio/workflow';
import { z } from 'zod';
import { COMMANDS, QUERIES, type CommandName, type Report, type Status } from '../src/contract';
import { LIMITS, oneLine } from '../src/text';
import { early } from './calls';
import { problemOf } from './failures';
import { nameText, problemsOf, shortText } from './input';
import { Undecodable } from './payloads';
import type { Run } from './run';

const person = z.object({ by: nameText, note: shortText(LIMITS.note).optional() });
const fingerprint = shortText(LIMITS.fingerprint).min(1);
const payloads = {
  approve: person.extend({ fingerprint }),
  reject: person.extend({ fingerprint }),
  confirm: person.extend({ check: shortText(LIMITS.check).min(1), passed: z.boolean() }),
  retry: person,
  settle: person,
  standDown: person,
  rollBack: person.extend({ acceptLoss: z.boolean().optional() }),
  retireBackup: person,
} satisfies Record<CommandName, z.ZodType>;

type Payload<N extends CommandName> = z.output<(typeof payloads)[N]>;

// What was accepted takes effect, also when an older version accepted it: cut here, refused above.
const accepted = z.object({
  by: z.string().transform((by) => oneLine(by.trim(), LIMITS.name)),
  note: z
    .string()
    .transform((note) => oneLine(note, LIMITS.note))
    .optional(),
});
const answer = z.object({ check: z.string(), passed: z.boolean() });

const descriptions: Record<CommandName, string> = {
  approve: 'Approves the destructive reset: { by, fingerprint, note? }; counts only in the step approval',
  reject: 'Rejects the reset, everything so far is undone: { by, fingerprint, note? }',
  confirm: 'Answers a manual smoke check: { by, check, passed, note? }',
  retry: 'Goes on after a repair, when the run is parked: { by, note? }',
  settle: 'Ends a parked run as needs-operator and leaves page and fence as they are: { by, note? }',
  standDown: 'Takes a way back that has emptied nothing back: the run is again where it was: { by, note? }',
  rollBack:
    'Brings the old database back after the point of no return, or where a parked run asks for it: { by, acceptLoss: true, note? }',
  retireBackup: 'Deletes the backup at the end: { by, note? }',
};

/** Registers queries, updates and signals; before anything is awaited, so that nothing said early is lost. */
export function openInbox(run: Run): void {
  setHandler(defineQuery<Status>(QUERIES.status), () => run.status(), {
    description: 'Where the run stands',
  });
  setHandler(defineQuery<Report>(QUERIES.report), () => run.report(), { description: 'The report as JSON' });
  for (const name of COMMANDS) {
    setHandler(
      defineUpdate<string, unknown[]>(name),
      async (...said) => {
        if (isForHolder(run, name)) orRefuse((await refusalOfLedger(run)) ?? refusal(run, name, said));
        return accept(run, name, said[0]);
      },
      { description: descriptions[name], validator: (...said) => orRefuse(refusal(run, name, said)) },
    );
    setHandler(
      defineSignal<unknown[]>(name),
      async (...said) => {
        let why = refusal(run, name, said);
        if (why === null && isForHolder(run, name))
          why = (await refusalOfLedger(run)) ?? refusal(run, name, said);
        if (why === null) accept(run, name, said[0]);
        else run.ignore(name, why);
      },
      { description: descriptions[name] },
    );
  }
}

/** @throws ApplicationFailure Refused with the reason, where there is one */
function orRefuse(why: string | null): void {
  if (why !== null) throw ApplicationFailure.create({ type: 'Refused', message: why, nonRetryable: true });
}

// What ends the watching is carried out by the run that holds the ledger. One that a Temporal reset made does not hold it, and
// finds out only when it looks: it would accept what it can't do.
function isForHolder(run: Run, name: CommandName): boolean {
  return run.live && !run.parked && (name === 'rollBack' || name === 'retireBackup');
}

/** Asks the ledger who holds production. @returns why this run may not act on it, of which it hears itself too; else null */
async function refusalOfLedger(run: Run): Promise<string | null> {
  try {
    await CancellationScope.nonCancellable(() => early.confirmLive({ run: run.refBack() }));
    return null;
  } catch (error) {
    const problem = problemOf(error);
    // Where the ledger can't be asked, what was said is taken, and waits for it.
    if (problem.type !== 'Overtaken') return null;
    run.overtaken = problem;
    return `${problem.message} This run can't do what was asked; its status says how it goes on.`;
  }
}

/** Why a message makes no sense now, with what would; null when it does. */
function refusal(run: Run, name: CommandName, said: unknown[]): string | null {
  const [input] = said;
  const parsed = payloads[name].safeParse(input);
  if (said.length > 1) return `${needs(name)} and nothing else (there are ${said.length} payloads).`;
  if (input instanceof Undecodable) return `${needs(name)} (${input.why}).`;
  if (!parsed.success) return `${needs(name)} (${problemsOf(parsed.error, 'payload')}).`;
  if (run.outcome !== null) return `The run has ended (${run.outcome}); nothing can be said to it any more.`;
  switch (name) {
    case 'approve':
    case 'reject':
      return refuseApproval(run, name, parsed.data as Payload<'approve'>);
    case 'confirm':
      return refuseConfirmation(run, parsed.data as Payload<'confirm'>);
    case 'retry':
      if (run.parked || run.awaitsRetry) return refuseSecondAnswer(run);
      return `Nothing waits for retry: ${present(run)}`;
    case 'settle':
      return run.parked ? refuseSecondAnswer(run) : `Only a parked run can be settled: ${present(run)}`;
    case 'standDown':
      return refuseStandDown(run);
    case 'rollBack':
      return refuseRollBack(run, parsed.data);
    case 'retireBackup':
      return run.step === 'retireBackup' && run.waitingFor !== null && !run.parked
        ? null
        : `The backup can be retired only in the step retireBackup: ${present(run)}`;
  }
}

function needs(name: CommandName): string {
  return `${name} needs the payload { ${Object.keys(payloads[name].shape).join(', ')} }`;
}

function refuseApproval(
  run: Run,
  name: 'approve' | 'reject',
  { by, fingerprint }: Payload<'approve'>,
): string | null {
  if (run.step !== 'approval' || run.at('approval').state !== 'waiting') {
    return `${name} counts only while the step approval waits: ${present(run)}`;
  }
  if (fingerprint !== run.backup?.fingerprint) {
    return `The fingerprint "${oneLine(fingerprint, LIMITS.fingerprint)}" is not the one of this run's backup, ${run.backup?.fingerprint}. Look at the status, compare, and send that one.`;
  }
  if (name === 'approve' && run.approvals.has(by))
    return `${by} has approved already; ${run.plan.approval.minimum} different persons must.`;
  if (name === 'approve' && isRequester(run, by)) {
    return `${by} requested this run and may not approve it (approval.requesterMayApprove is false). Somebody else must approve.`;
  }
  return null;
}

function refuseConfirmation(run: Run, { check }: Payload<'confirm'>): string | null {
  if (run.awaitedCheck !== null && isCheck(check, run.awaitedCheck)) return null;
  return run.awaitedCheck === null
    ? `No manual check is waited for: ${present(run)}`
    : `The check waited for is "${run.awaitedCheck}", not "${oneLine(check, LIMITS.check)}".`;
}

// A name of the settings may hold what can't be typed, or be longer than what is taken.
function isCheck(said: string, awaited: string): boolean {
  return oneLine(said, LIMITS.check) === oneLine(awaited, LIMITS.check);
}

// What was accepted takes effect: a parked run has one answer, though it goes on only when its contacts are told.
function refuseSecondAnswer(run: Run): string | null {
  return run.parked && run.answer !== null
    ? `The parked run has been answered already (${run.answer}) and goes on: look at its status again.`
    : null;
}

function refuseStandDown(run: Run): string | null {
  if (run.parked && run.mayStandDown) return refuseSecondAnswer(run);
  if (run.mayStandDown)
    return `standDown counts only while the way back is parked; this one goes on by itself: ${present(run)}`;
  switch (run.phase) {
    case 'emptied':
    case 'restored':
    case 'home':
      return `standDown is too late: the old database is being brought back already (phase ${run.phase}), and the way back can only be finished${run.parked ? '; repair what stops it and send retry' : ''}: ${present(run)}`;
    default:
      return `No way back is under way that could be taken back: ${present(run)}`;
  }
}

function refuseRollBack(run: Run, payload: Payload<'rollBack'>): string | null {
  if (run.parked && run.asksRollBack) return refuseSecondAnswer(run) ?? refuseVote(run, payload);
  if (!run.live)
    return `rollBack is for after the point of no return; before it, cancel the run: it then goes back by itself. ${present(run)}`;
  if (run.retired !== null)
    return `rollBack is too late: the backup is being deleted, as ${run.retired.by} said. ${present(run)}`;
  if (!isReadForVotes(run))
    return `rollBack is possible while the steps monitor and retireBackup wait: ${present(run)}`;
  return refuseVote(run, payload);
}

// Votes are read as long as these steps go on; a parked run reads answers alone.
function isReadForVotes(run: Run): boolean {
  if (run.parked || (run.step !== 'monitor' && run.step !== 'retireBackup')) return false;
  const { state } = run.at(run.step);
  return state === 'waiting' || (run.step === 'monitor' && state === 'running');
}

function refuseVote(run: Run, { by, acceptLoss }: Payload<'rollBack'>): string | null {
  if (acceptLoss !== true) {
    return 'Users may have written since production went live; rolling back loses that. Send rollBack with "acceptLoss": true if that is accepted.';
  }
  if (run.rollBackVotes.has(by))
    return `${by} has asked for it already; ${run.plan.approval.minimum} different persons must.`;
  if (isRequester(run, by))
    return `${by} requested this run and may not approve its roll back. Somebody else must.`;
  return null;
}

function accept(run: Run, name: CommandName, input: unknown): string {
  const { by, note } = accepted.parse(input);
  const decision = run.decide(by, name, note ?? null);
  switch (name) {
    case 'approve':
      run.approvals.set(by, decision.at);
      return `Approved by ${by} (${run.approvals.size} of ${run.plan.approval.minimum}).`;
    case 'reject':
      run.rejection = decision;
      return `Rejected by ${by}; everything so far is undone.`;
    case 'confirm': {
      const { check: said, passed } = answer.parse(input);
      const check = run.awaitedCheck ?? said;
      run.confirmations.set(check, { passed, by });
      return `${check}: ${passed ? 'passed' : 'failed'}, said ${by}.`;
    }
    case 'retry':
      run.retry = uuid4();
      run.answer = name;
      run.awaitsRetry = false;
      return 'The run goes on, by the settings as they are now.';
    case 'settle':
      run.answer = name;
      run.awaitsRetry = false;
      return 'The run ends as needs-operator.';
    case 'standDown':
      run.answer = name;
      return 'The way back is taken back: the run is again where it was.';
    case 'rollBack':
      run.rollBackVotes.add(by);
      if (run.parked && run.asksRollBack && run.rollBackVotes.size >= run.plan.approval.minimum)
        run.answer = name;
      return `Roll back asked for by ${by} (${run.rollBackVotes.size} of ${run.plan.approval.minimum}).`;
    case 'retireBackup':
      run.retired = decision;
      return 'The backup is deleted.';
  }
}

function isRequester(run: Run, by: string): boolean {
  return (
    !run.plan.approval.requesterMayApprove &&
    by.trim().toLowerCase() === run.input.requestedBy.trim().toLowerCase()
  );
}

function present(run: Run): string {
  return `the run is in step ${run.step}${run.waitingFor ? `, waiting for ${run.waitingFor}` : ''}.`;
}
