/** The switch-over: the destructive reset, the new schema, its rows, the proof. */
import { sealedManifest } from '../src/backup/manifest';
import type { Dropped, TableReport } from '../src/contract';
import { KirikaeError } from '../src/errors';
import { mirrorClaim, ownClaim, setMark } from '../src/ledger/claim';
import { keepCounters } from '../src/ledger/late-writes';
import { beginMigrate, finishMigrate } from '../src/migrate/plan';
import { verifyMigration } from '../src/migrate/verify';
import { compareWithShadow, runSchemaStep } from '../src/new-schema/deploy';
import { inTransaction } from '../src/postgres/connect';
import { emptySchemas } from '../src/postgres/managed-schemas';
import { resetProduction } from '../src/reset/reset';
import type { Settings } from '../src/settings/read';
import { ActivityRun, cancellation, type RunRef } from './context';
import { withRoom, type GroupPlan } from './copy-rows';
import { countProgress } from './guard';

export function switchOverActivities(settings: Settings) {
  const open = (ref: RunRef) => new ActivityRun(settings, ref);

  return {
    /** Compares everything with the manifest under lock, writes the mark and drops; a retry that finds the mark is done. */
    async reset({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      const work = run.work(countProgress('reset'));
      await run.sessions(['production', 'backup'], async (pair) => {
        const { production, backup } = pair;
        const manifest = await sealedManifest(backup.client);
        const mode = run.plan.reset?.mode ?? 'drop';
        await resetProduction(pair, { schemas: run.schemas, mode, manifest, run: run.identity }, work);
        await mirrorClaim(backup.client, await ownClaim(production.client, run.identity));
      });
    },

    /** The new schema into emptied production, compared with the shadow; every attempt starts from empty. */
    async deploySchema({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production'], async ({ production: { client: production } }) => {
        await inTransaction(production, async () => {
          const claim = await ownClaim(production, run.identity);
          if (!claim.resetAt || claim.liveAt || claim.verifiedAt) {
            throw new KirikaeError(
              'StepFailed',
              'The ledger does not call for a schema now, so nothing was emptied.',
            );
          }
          await emptySchemas(production, run.schemas);
        });
        const target = { url: run.url('production'), client: production };
        await runSchemaStep(target, run.plan, { key: run.commandKey, signal: cancellation() });
      });
      await compareWithShadow(run.url('production'), run.url('shadow'), run.schemas);
    },

    /** Strips keys and indexes off the new schema and plans the parts. */
    async beginMigrate({ run: ref }: { run: RunRef }): Promise<GroupPlan> {
      const run = open(ref);
      return run.sessions(['production', 'backup'], async (pair) =>
        withRoom(await beginMigrate(pair, { plan: run.plan, run: run.identity }), [
          pair.production.client,
          pair.backup.client,
        ]),
      );
    },

    async finishMigrate({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production', 'backup'], async ({ production, backup }) => {
        const manifest = await sealedManifest(backup.client);
        const databases = { production, shadow: run.place('shadow') };
        await finishMigrate(databases, { plan: run.plan, run: run.identity, manifest }, run.work());
      });
    },

    /** Conservation, content, schema, assertions; then the mark `verified` and the counters of later writes. */
    async verify({
      run: ref,
    }: {
      run: RunRef;
    }): Promise<{ tables: TableReport[]; dropped: Dropped[]; rows: number; assertions: string[] }> {
      const run = open(ref);
      const work = run.work(countProgress('verify'));
      return run.sessions(['production', 'backup'], async (pair) => {
        const production = pair.production.client;
        await ownClaim(production, run.identity);
        const manifest = await sealedManifest(pair.backup.client);
        const databases = { ...pair, shadow: run.place('shadow') };
        const verified = await verifyMigration(databases, { plan: run.plan, manifest }, work);
        await keepCounters(production, run.schemas);
        await setMark(production, 'verified_at');
        return verified;
      });
    },
  };
}
