/** How production is, looked at and not believed: the page from outside, the fence and the ledger in the database. */
import path from 'node:path';
import { get } from '../host/probe';
import { readClaim } from '../ledger/claim';
import type { HeldRun } from '../ledger/held-run';
import { shellWord } from '../postgres/url';
import { databaseSetting } from '../reset/fence';
import type { Plan } from '../settings/read';

/** `on` or `off`, seen from outside, or that it can't be told. */
export async function lookAtPage({ plan, signal }: HeldRun): Promise<string> {
  const { probe } = plan.maintenance;
  const { status, text } = await get(probe.url, signal);
  if (status === probe.on) return 'on';
  return status === probe.off ? 'off' : `not to be told (${text})`;
}

/** The command that takes the page down by hand, for the shell of the host that holds it. */
export function takePageDown({ folder, maintenance }: Plan): string {
  return maintenance.kind === 'nginx'
    ? `rm ${shellWord(path.resolve(folder, maintenance.flagFile))}`
    : maintenance.off.map(shellWord).join(' ');
}

/** One or two sentences. @throws what a database that can't be asked throws */
export async function describeProduction(run: HeldRun): Promise<string> {
  const page = await lookAtPage(run);
  return run.sessions(['production'], async ({ production: { client } }) => {
    const claim = await readClaim(client);
    const fence = (await databaseSetting(client)) === 'on' ? 'stands' : 'does not stand';
    const ledger = claim ? `the ledger is at ${claim.phase}` : 'there is no ledger';
    return `The maintenance page is ${page}, the fence ${fence}, ${ledger}.`;
  });
}
