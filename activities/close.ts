/** Production closes: the claim, the maintenance page, the fence. */
import { KirikaeError } from '../src/errors';
import { turnMaintenance } from '../src/host/page';
import { probeMaintenance } from '../src/host/probe';
import { claimProduction, notePage, ownClaim, removeLedger } from '../src/ledger/claim';
import { shadowOwner } from '../src/new-schema/shadow';
import { databaseOf } from '../src/postgres/url';
import { raiseFence } from '../src/reset/fence';
import type { Settings } from '../src/settings/read';
import { ActivityRun, cancellation, type RunRef } from './context';

export function closeActivities(settings: Settings) {
  const open = (ref: RunRef) => new ActivityRun(settings, ref);

  return {
    /** Claims production for this run and gives the shadow a last look: another preflight may have taken it. */
    async claim({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production', 'shadow'], async ({ production, shadow }) => {
        await claimProduction(production.client, run.identity, databaseOf(run.url('backup')));
        if ((await shadowOwner(shadow.client)) !== run.identity.chain) {
          await removeLedger(production.client);
          throw new KirikaeError(
            'StepFailed',
            'The shadow database was taken by another preflight meanwhile. Nothing was changed in production. Start again when the other one is done.',
          );
        }
      });
    },

    /** Makes sure that this Temporal run still holds the claim. @throws KirikaeError Overtaken when it doesn't */
    async confirmClaim({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production'], async ({ production: { client: production } }) => {
        await ownClaim(production, run.identity);
      });
    },

    /** Notes in the ledger that this run turns the page on, or has taken it down. */
    async notePage({ run: ref, on }: { run: RunRef; on: boolean }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production'], async ({ production: { client: production } }) => {
        await ownClaim(production, run.identity);
        await notePage(production, { on });
      });
    },

    async maintenanceOn({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await turnMaintenance(run.plan, 'on', { key: run.commandKey, signal: cancellation() });
    },

    /** Asks from outside whether the page still shows. */
    async probePage({ run: ref }: { run: RunRef }): Promise<void> {
      await probeMaintenance(open(ref).plan, 'on', cancellation());
    },

    async fence({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production'], async ({ production: { client: production } }) =>
        raiseFence(production, await ownClaim(production, run.identity)),
      );
    },
  };
}
