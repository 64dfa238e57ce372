/** Stock-taking before a way back: what ledger, mirror and history say of where the run stands, and what people may do about it. */
import type { Client } from 'pg';
import { failureType } from '../errors';
import {
  adoptStanding,
  advance,
  becomeHolder,
  heldByAnother,
  isSameWorkflow,
  readClaim,
  serverHasMoved,
  standingOf,
  type Claim,
} from '../ledger/claim';
import type { HeldRun } from '../ledger/held-run';
import { readMarker } from '../ledger/marker';
import { readMirror } from '../ledger/mirror';
import { hasReached, type Standing } from '../ledger/phases';
import { beginDeploy } from '../ledger/records';
import { judge, type Judgement } from '../ledger/witnesses';
import { inTransaction, withClient } from '../postgres/connect';
import { mustEndSessions } from '../postgres/sessions';
import { lookAtPage, takePageDown } from './describe';

/** What was found. */
export type Stock =
  /** The ledger is this run's, and nobody knows more: what the phase calls for may be done. */
  | { kind: 'ready'; standing: Standing }
  /** Another Temporal run of this workflow, or `recover`, holds the claim. */
  | { kind: 'overtaken'; standing: Standing; problem: string }
  /** The mirror or the history is further on than the ledger. */
  | { kind: 'behind'; furthest: Standing; problem: string }
  /** The claim is gone, and so is its mirror, though the run had begun to act. */
  | { kind: 'lost'; problem: string }
  /** The run had come to its end before; `problem` where its page shows all the same. */
  | { kind: 'ended'; as: 'live' | 'home'; problem: string | null }
  /** Nothing of this run is in production. */
  | { kind: 'nothing'; isAfterReset: boolean };

/** @param history the last transition that the run's history has; null for who has none */
export async function takeStock(run: HeldRun, history: Standing | null): Promise<Stock> {
  return run.sessions(['production'], async ({ production: { client: production } }) => {
    const isAfterReset = run.identity.runId !== run.identity.firstRunId;
    const { claim, judgement } = await look(run, production, history);
    if (claim && claim.holder !== run.identity.runId) {
      return { kind: 'overtaken', standing: standingOf(claim), problem: heldByAnother(claim) };
    }
    switch (judgement.kind) {
      case 'agreed':
        return claim ? { kind: 'ready', standing: standingOf(claim) } : { kind: 'nothing', isAfterReset };
      case 'finish': {
        const { to } = judgement;
        const reached = await inTransaction(production, () => advance(production, run.identity, to));
        return { kind: 'ready', standing: standingOf(reached) };
      }
      case 'behind':
        return {
          kind: 'behind',
          furthest: judgement.furthest,
          problem: `What is known of this run doesn't agree: ${judgement.text}. Nothing was changed.`,
        };
      case 'lost':
        return {
          kind: 'lost',
          problem: `Production's ledger is gone (somebody dropped schema kirikae?), and no mirror of it is found in the backup: ${judgement.text}. Nothing was changed. Look at production: if its rows are missing, kirikae restore brings a sealed backup back.`,
        };
      case 'ended':
        return { ...judgement, problem: await strandedPage(run, production) };
      case 'nothing':
        return { kind: 'nothing', isAfterReset };
    }
  });
}

// Without a ledger no run may touch the page. One that another run needs is none of this run's.
async function strandedPage(run: HeldRun, production: Client): Promise<string | null> {
  if ((await readClaim(production)) || (await lookAtPage(run)) !== 'on') return null;
  return `Production is whole, by the backup's mirror, and its ledger is gone (somebody dropped schema kirikae?), but the maintenance page shows. No ledger of production calls for it. Look at production, and whether a run of another database has this page too; then take it down: ${takePageDown(run.plan)}.`;
}

/** What ledger, mirror and history say together, whoever holds the claim. The claim is null where this workflow has none. */
export async function look(
  run: HeldRun,
  production: Client,
  history: Standing | null,
): Promise<{ claim: Claim | null; judgement: Judgement }> {
  const found = await readClaim(production);
  const claim = found && isSameWorkflow(found, run.identity) ? found : null;
  const mirror = await mirrorOf(run, claim);
  const judgement = judge({
    ledger: claim && standingOf(claim),
    mirror: mirror && standingOf(mirror),
    history,
    hasMoved: claim !== null && (await serverHasMoved(production, claim)),
  });
  return { claim, judgement };
}

/** Makes this run the holder of its workflow's claim, and ends the sessions of whoever held it. */
export async function takeOver(run: HeldRun): Promise<void> {
  await run.sessions(['production'], async ({ production: { client: production } }) => {
    await inTransaction(production, async () => {
      const claim = await readClaim(production);
      if (claim && isSameWorkflow(claim, run.identity)) await becomeHolder(production, run.identity);
    });
    await endOthersOf(run, production);
  });
}

/** Ends this workflow's sessions in a client's database that aren't this piece of work's own. */
export async function endOthersOf(run: HeldRun, client: Client): Promise<void> {
  await mustEndSessions(client, {
    where: 'datname = current_database() and application_name like $1 and application_name not like $2',
    values: [run.workflowSessions, run.ownSessions],
  });
}

/**
 * Writes what the furthest witness knows into production's ledger, as people decided who saw all three; a claim that is gone is
 * made anew from its mirror.
 */
export async function adopt(run: HeldRun, furthest: Standing): Promise<Standing> {
  return run.sessions(['production'], async ({ production: { client: production } }) => {
    const before = await readClaim(production);
    const claim = before && isSameWorkflow(before, run.identity) ? before : null;
    const mirror = claim ? null : await mirrorOf(run, null);
    await inTransaction(production, async () => {
      await adoptStanding(production, { run: run.identity, furthest, mirror });
      if (mirror) await noteDeploys(production, mirror, run);
    });
    return (await run.mirrored(production)).standing;
  });
}

// What a mirror doesn't know is taken for the worse: every deploy may have begun.
async function noteDeploys(production: Client, { from, phase }: Claim, run: HeldRun): Promise<void> {
  if (!hasReached(from ?? phase, 'verified')) return;
  for (const [position, { name }] of run.plan.deploy.entries())
    await beginDeploy(production, { name, position, host: 'unknown' });
}

// A backup that isn't there, doesn't answer, or isn't this run's says nothing.
async function mirrorOf(run: HeldRun, claim: Claim | null): Promise<Claim | null> {
  try {
    return await withClient(run.url('backup'), `${run.label} mirror`, async (backup) => {
      const found = await readMarker(backup);
      if (found.kind !== 'marked' || found.marker.role !== 'backup') return null;
      const mirror = await readMirror(backup);
      if (!mirror || mirror.id !== found.marker.claim || !isSameWorkflow(mirror, run.identity)) return null;
      return claim === null || claim.id === mirror.id ? mirror : null;
    });
  } catch (error) {
    if (failureType(error) === 'Overtaken') throw error;
    return null;
  }
}
