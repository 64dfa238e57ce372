/** What a run does outside the databases, each after a look at the ledger: the page, the fence, the applications and their checks. */
import path from 'node:path';
import type { Phase } from '../contract';
import { KirikaeError } from '../errors';
import { runCommand, type Command } from '../host/command';
import { turnMaintenance, type PageHolder } from '../host/page';
import { watchPage, type PageWatch } from '../host/page-watch';
import { runCheck } from '../host/smoke';
import { ownClaim, type Claim } from '../ledger/claim';
import type { HeldRun, Moved } from '../ledger/held-run';
import { closedPhases } from '../ledger/phases';
import { endDeploy, readDeploys } from '../ledger/records';
import type { Client } from 'pg';
import { inTransaction } from '../postgres/connect';
import { endOtherSessions, setFence } from '../reset/fence';
import { namedVariables } from '../settings/environment';
import type { Plan } from '../settings/read';
import { milliseconds, type AutomaticCheck } from '../settings/schema';

/** Turns the page on and waits until it shows from outside; on the way forward production is `closed` then. */
export async function turnPageOn(run: HeldRun): Promise<Moved> {
  const phases = ['claimed', ...closedPhases] as const satisfies readonly Phase[];
  return run.hold({ roles: [], phases }, async ({ production: { client } }, claim) => {
    await turnMaintenance(run.plan, 'on', pageTurn(client, { run, claim, phases }));
    return claim.phase === 'claimed' ? run.move(client, 'closed') : run.mirrored(client);
  });
}

/**
 * Keeps the page on as long as the ledger calls for it, until the signal aborts.
 * @throws KirikaeError Overtaken when it doesn't (any more)
 */
export async function keepPageOn(
  run: HeldRun,
  { signal, onSeen }: Pick<PageWatch, 'signal' | 'onSeen'>,
): Promise<void> {
  const { id, window } = await run.claimAt(closedPhases);
  await watchPage(run.plan, {
    holder: { claim: id, window },
    key: run.commandKey,
    signal,
    look: () => run.lookAgain(closedPhases),
    onSeen,
  });
}

/** Takes the page down: only where the ledger says that users may come in. */
export async function takePageDown(run: HeldRun): Promise<void> {
  const phases = ['live', 'home'] as const;
  await run.hold({ roles: [], phases }, ({ production: { client } }, claim) =>
    turnMaintenance(run.plan, 'off', pageTurn(client, { run, claim, phases })),
  );
}

/** What the page is told of who turns it: claim, window, and the look at the ledger just before the act. */
export function pageTurn(
  production: Client,
  { run, claim, phases }: { run: HeldRun; claim: Claim; phases: readonly Phase[] },
): { key: string; signal: AbortSignal; holder: PageHolder } {
  const mayAct = async () => void (await ownClaim(production, run.identity, phases));
  return {
    key: run.commandKey,
    signal: run.signal,
    holder: { claim: claim.id, window: claim.window, mayAct },
  };
}

/** Makes production read-only for everyone but this run, and ends other sessions; on the way forward it is `fenced` then. */
export async function raiseFence(run: HeldRun): Promise<Moved> {
  const phases = ['closed', 'fenced', 'returning', 'aside', 'emptied', 'restored'] as const;
  return run.hold({ roles: [], phases }, async ({ production: { client } }, claim) => {
    await inTransaction(client, async () => {
      await setFence(client, claim);
      await run.stillMay(phases)(client);
    });
    await endOtherSessions(client);
    return claim.phase === 'closed' ? run.move(client, 'fenced') : run.mirrored(client);
  });
}

/** A command of a deploy, and the phases in which it may run. */
interface DeployCommand extends Pick<Command, 'onStart'> {
  name: string;
  list: 'run' | 'rollback';
  phases: readonly Phase[];
}

/** Runs a command of a deploy; ended when the ledger leaves the phases meanwhile. @returns its last line of output */
export async function runDeploy(
  run: HeldRun,
  { name, list, phases, onStart }: DeployCommand,
): Promise<string> {
  const deploy = run.plan.deploy.find((item) => item.name === name);
  const command = deploy?.[list];
  if (!deploy || !command)
    throw new KirikaeError('StepFailed', `The plan has no deploy "${name}" with a ${list} command.`);
  const lines = await runCommand({
    run: command,
    cwd: path.resolve(run.plan.folder, deploy.cwd ?? '.'),
    env: namedVariables(deploy.env),
    timeoutMs: milliseconds(deploy.timeout),
    key: run.commandKey,
    signal: run.signal,
    onStart,
    mayRun: () => run.lookAgain(phases),
  });
  return lines.at(-1) ?? '';
}

/** A deploy that began and whose previous version isn't back. */
export interface DeployToUndo {
  name: string;
  hasRollback: boolean;
}

/** Those deploys, last first. */
export async function deploysToUndo(run: HeldRun): Promise<DeployToUndo[]> {
  return run.hold({ roles: [], phases: ['restored'] }, async ({ production }) => {
    const begun = (await readDeploys(production.client)).filter((row) => !row.undone).reverse();
    return begun.map(({ name }) => ({
      name,
      hasRollback: run.plan.deploy.some((deploy) => deploy.name === name && deploy.rollback !== undefined),
    }));
  });
}

/** Runs the rollback command of a deploy that began. @returns null where the plan has none */
export async function undoDeploy(run: HeldRun, name: string): Promise<string | null> {
  const phases = ['restored'] as const;
  return run.hold({ roles: [], phases }, async ({ production: { client } }) => {
    const deploy = run.plan.deploy.find((item) => item.name === name);
    const line = deploy?.rollback ? await runDeploy(run, { name, list: 'rollback', phases }) : null;
    await endDeploy(client, name, 'undone');
    return line;
  });
}

/** Runs one automatic check of a list by its name. @returns what it found */
export async function runNamedCheck(run: HeldRun, list: Plan['smoke'], name: string): Promise<string> {
  const check = list.find((item): item is AutomaticCheck => item.name === name && item.kind !== 'manual');
  if (!check) throw new KirikaeError('StepFailed', `The plan has no automatic check "${name}".`);
  return runCheck(run.plan, check, {
    productionUrl: run.url('production'),
    key: run.commandKey,
    signal: run.signal,
  });
}
