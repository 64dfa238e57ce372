/** How production is, looked at and not believed: the page from outside, the fence and the ledger in the database. */
import { get } from '../host/probe';
import { readClaim } from '../ledger/claim';
import type { HeldRun } from '../ledger/held-run';
import { databaseSetting } from '../reset/fence';

/** One or two sentences. @throws what a database that can't be asked throws */
export async function describeProduction(run: HeldRun): Promise<string> {
  const { probe } = run.plan.maintenance;
  const answer = await get(probe.url, run.signal);
  const page =
    answer.status === probe.on
      ? 'on'
      : answer.status === probe.off
        ? 'off'
        : `not to be told (${answer.text})`;
  return run.sessions(['production'], async ({ production: { client } }) => {
    const claim = await readClaim(client);
    const fence = (await databaseSetting(client)) === 'on' ? 'stands' : 'does not stand';
    const ledger = claim ? `the ledger is at ${claim.phase}` : 'there is no ledger';
    return `The maintenance page is ${page}, the fence ${fence}, ${ledger}.`;
  });
}
