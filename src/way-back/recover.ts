/** Recovery without Temporal: the way that the ledger calls for, gone by this process with the functions of the workflow's way back. */
import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { failureType, KirikaeError } from '../errors';
import { endCommandsOf, endNoted } from '../host/pid-file';
import { readClaim, standingOf, type Claim, type RunIdentity } from '../ledger/claim';
import { HeldRun, workflowOf } from '../ledger/held-run';
import { isAtHome, readMarker } from '../ledger/marker';
import { readMirror } from '../ledger/mirror';
import { wayBack, wouldRestore, type Standing } from '../ledger/phases';
import { readDeploys, type DeployRow } from '../ledger/records';
import { removeLedger } from '../ledger/remove';
import { cleanShadow } from '../new-schema/shadow';
import { inTransaction, withClient } from '../postgres/connect';
import { placesOf } from '../postgres/endpoint';
import { databaseOf } from '../postgres/url';
import type { Plan } from '../settings/read';
import { describeProduction } from './describe';
import { finishRun } from './end';
import { explain } from './plain-words';
import { Journey, type Operator } from './journey';
import { adopt, endOthersOf, look, takeOver, takeStock } from './stock';
import { turnBack } from './turn';

export interface Recovery {
  plan: Plan;
  /** Of this host: part of the holder's name. */
  host: string;
  /** The furthest of what is known is gone back from, where the witnesses don't agree. */
  acceptLoss: boolean;
  /** How long whoever held the run may still be at something that it looked at the ledger for; 30 s. */
  settleMs?: number;
  signal: AbortSignal;
}

/**
 * Brings production to a safe end: does what the ledger calls for, asks first, and may be repeated until it is done.
 * @returns true when production is safe
 * @throws KirikaeError naming what stops it
 */
export async function recover(recovery: Recovery, operator: Operator): Promise<boolean> {
  const { plan, signal } = recovery;
  const production = placesOf(plan).production;
  const database = databaseOf(production.url);
  const found = await withClient(production.url, 'recover look', readMarker);
  if (found.kind === 'marked' && !isAtHome(found.marker))
    return removeCopied(production.url, found.marker.name, operator);
  const claim = await findClaim(plan);
  if (!claim) {
    operator.say(nothingToDo(database));
    return true;
  }
  // A key of this process's own: its pieces of work run beside each other, and none may end another's sessions.
  const run = new HeldRun(plan, {
    identity: identityFor(claim, recovery.host),
    key: `${workflowOf(claim)} ${randomUUID()} recover`,
    attempt: 1,
    signal,
  });
  const standing = await agreeWith(run, recovery, operator);
  if (!standing) return true;
  const way = wayBack(standing, 'goBack');
  const steps = way.kind === 'back' || way.kind === 'close' ? way.steps : [];
  operator.say(await describeProduction(run));
  for (const sentence of await explain(run, standing, steps)) operator.say(sentence);
  if (!(await operator.confirm(`Bring ${database} to a safe end in this way?`, database))) return false;
  const { settleMs = 30_000, host } = recovery;
  await becomeOnlyOne(run, claim, { settleMs, host, operator });
  if (!(await nothingRunsElsewhere(run, { host, operator, database }))) return false;
  await goAllTheWay(run, operator);
  operator.say(`Production ${database} is safe: ${await describeProduction(run)}`);
  return true;
}

async function removeCopied(url: string, from: string, operator: Operator): Promise<boolean> {
  const database = databaseOf(url);
  operator.say(
    `The database ${database} holds a ledger that was made in the database ${from} and came here with a copy. It says nothing about ${database}, and hinders every run of it.`,
  );
  if (!(await operator.confirm(`Remove that ledger from ${database}?`, database))) return false;
  const notes = await withClient(url, 'recover remove', (client) =>
    inTransaction(client, () => removeLedger(client)),
  );
  for (const note of notes) operator.say(note);
  return true;
}

// The claim in production, else what its mirror in the backup says of it.
async function findClaim(plan: Plan): Promise<Claim | null> {
  const { production, backup } = placesOf(plan);
  const claim = await withClient(production.url, 'recover look', readClaim);
  if (claim) return claim;
  try {
    return await withClient(backup.url, 'recover look', readMirror);
  } catch {
    return null;
  }
}

function identityFor(claim: Claim, host: string): RunIdentity {
  const { namespace, workflowId, firstRunId, plan } = claim;
  return { namespace, workflowId, firstRunId, plan, runId: `recover ${host} ${new Date().toISOString()}` };
}

function nothingToDo(database: string): string {
  return `Neither production ${database} nor its backup holds a claim of a run: there is nothing to recover. Look whether the maintenance page is down and the rows are there; if rows are missing, kirikae restore brings a sealed backup back.`;
}

/** Where the run stands, as all witnesses have it. @returns null when the run had ended */
async function agreeWith(
  run: HeldRun,
  { acceptLoss }: Recovery,
  operator: Operator,
): Promise<Standing | null> {
  const { claim, judgement } = await run.sessions(['production'], ({ production }) =>
    look(run, production.client, null),
  );
  switch (judgement.kind) {
    case 'agreed':
      return claim && standingOf(claim);
    case 'finish':
      return claim && { ...standingOf(claim), phase: judgement.to };
    case 'ended':
      operator.say(
        `The run had ended before (${judgement.as}): nothing is to be done. ${await describeProduction(run)}`,
      );
      return null;
    case 'nothing':
      return null;
    case 'lost':
      throw new KirikaeError('NeedsOperator', `The ledger is gone, and its mirror too: ${judgement.text}.`);
    case 'behind': {
      const { furthest, text } = judgement;
      operator.say(`What is known of the run doesn't agree: ${text}.`);
      if (!wouldRestore(furthest) || acceptLoss) return furthest;
      throw new KirikaeError(
        'NeedsOperator',
        'Nothing was changed: going back would restore on a word that another contradicts. If the furthest of them is right, repeat this with --accept-loss.',
      );
    }
  }
}

async function becomeOnlyOne(
  run: HeldRun,
  before: Claim,
  { settleMs, host, operator }: { settleMs: number; host: string; operator: Operator },
): Promise<void> {
  const { judgement } = await run.sessions(['production'], ({ production }) =>
    look(run, production.client, null),
  );
  if (judgement.kind === 'behind') await adopt(run, judgement.furthest);
  await takeOver(run);
  await endSessionsInBackup(run);
  for (const sentence of endCommandsOf(workflowOf(before))) operator.say(sentence);
  // Without its note too, which only this user's with the same TMPDIR find.
  for (const { name, host: its, process: noted } of await openDeploys(run)) {
    if (its !== host || !noted) continue;
    const how = endNoted(noted) ? 'was still running and was ended' : "doesn't run any more";
    operator.say(
      `The deploy "${name}" began on host ${its}; its command ${how} (process group ${noted.pid}).`,
    );
  }
  if (before.holder.startsWith('recover ')) return;
  operator.say(`Waiting ${Math.round(settleMs / 1_000)} s for whatever the run before was still at.`);
  await wait(settleMs, undefined, { signal: run.signal });
}

async function openDeploys(run: HeldRun): Promise<DeployRow[]> {
  const deploys = await run.sessions(['production'], ({ production }) => readDeploys(production.client));
  return deploys.filter(({ ended, failed, undone }) => !ended && !failed && !undone);
}

// A deploy that runs on would bring the new version out over the old rows.
async function nothingRunsElsewhere(
  run: HeldRun,
  { host, operator, database }: { host: string; operator: Operator; database: string },
): Promise<boolean> {
  const unknown = (await openDeploys(run)).filter(({ host: its, process: noted }) => its !== host || !noted);
  for (const { name, host: its, process: noted } of unknown) {
    const where = noted ? `process group ${noted.pid}` : 'whose process id is not known';
    operator.say(`The deploy "${name}" began on host ${its} (${where}) and its end isn't known.`);
  }
  if (unknown.length === 0) return true;
  const hosts = [...new Set(unknown.map(({ host: its }) => its))].join(', ');
  const question = `Have you made sure that no command of these deploys runs on ${hosts} any more?`;
  if (await operator.confirm(question, database)) return true;
  operator.say('Nothing was restored and the page was left as it is. End them there, and run this again.');
  return false;
}

// Those of an earlier recover too, which may be frozen. A backup that doesn't answer is met, and named, by the step that needs it.
async function endSessionsInBackup(run: HeldRun): Promise<void> {
  await run.sessions(['backup'], ({ backup: { client } }) => endOthersOf(run, client)).catch(() => undefined);
}

// From `aside` again where the counters were begun anew: what can't be counted is copied.
async function goAllTheWay(run: HeldRun, operator: Operator, triesLeft = 3): Promise<void> {
  const stock = await takeStock(run, null);
  if (stock.kind !== 'ready') return;
  const way = wayBack(stock.standing, 'goBack');
  if (way.kind === 'back') await turnBack(run, { intent: 'goBack', by: [] });
  if (way.kind !== 'back' && way.kind !== 'close') return;
  const journey = new Journey(run, operator, stock.standing);
  try {
    for (const step of way.steps) {
      operator.say(`${step} …`);
      await journey.steps[step]();
    }
  } catch (error) {
    if (failureType(error) !== 'Uncounted' || triesLeft === 0) throw error;
    journey.end();
    return goAllTheWay(run, operator, triesLeft - 1);
  } finally {
    journey.end();
  }
  await cleanShadow(run.plan, run.url('shadow'), run.identity.firstRunId).catch(() => undefined);
  for (const note of (await finishRun(run)).notes) operator.say(note);
}
