/** The end of a run: its backup, its shadow and its ledger go. */
import { isOwnClone } from '../src/backup/clone';
import { readBackup, removeBackup } from '../src/backup/manifest';
import { KirikaeError } from '../src/errors';
import { isSameWorkflow, readClaim, removeLedger } from '../src/ledger/claim';
import { cleanShadow } from '../src/new-schema/shadow';
import { inTransaction, withClient } from '../src/postgres/connect';
import { databaseExists, dropDatabase } from '../src/postgres/databases';
import { dropKept, keptSchemas } from '../src/reset/set-aside';
import type { Settings } from '../src/settings/read';
import { ActivityRun, type RunRef } from './context';

export function endActivities(settings: Settings) {
  const open = (ref: RunRef) => new ActivityRun(settings, ref);

  return {
    /** Deletes the backup of this run; one that isn't there (any more) is no error, another run's is left alone. */
    async dropBackup({ run: ref }: { run: RunRef }): Promise<boolean> {
      const run = open(ref);
      const url = run.url('backup');
      if (!(await databaseExists(url, 'backup drop'))) return false;
      const state = await withClient(url, `${run.label} backup`, async (backup) => {
        const found = await readBackup(backup).catch((error: unknown) => {
          if (error instanceof KirikaeError) return null;
          throw error;
        });
        if (!found) {
          const cloned = run.plan.databases.backup.method === 'clone';
          return cloned && (await isOwnClone(backup, run.identity, run.url('production')))
            ? 'clone'
            : 'other';
        }
        if (found.chain !== run.identity.chain) return 'other';
        await removeBackup({ ...run.place('backup'), client: backup }, run.schemas);
        return 'removed';
      });
      // A clone whose worker died before it was marked.
      if (state === 'clone') await dropDatabase(url, 'backup drop');
      return state !== 'other';
    },

    /**
     * The last act of a run: its shadow goes, then old objects that were kept, and its ledger; another run's are left alone.
     * @returns sentences about what went
     */
    async release({ run: ref }: { run: RunRef }): Promise<string[]> {
      const run = open(ref);
      return run.sessions(['production'], async ({ production: { client: production } }) => {
        await cleanShadow(run.plan, run.url('shadow'), run.identity.chain);
        const claim = await readClaim(production);
        if (!claim || !isSameWorkflow(claim, run.identity)) return [];
        return inTransaction(production, async () => {
          const kept = await keptSchemas(production);
          if (kept.length > 0 && !claim.liveAt) {
            throw new KirikaeError(
              'NeedsOperator',
              `The old objects still wait in ${kept.map(({ schema }) => schema).join(', ')} and the ledger has no mark "live", so nothing was removed. docs/if-it-stops.md, "By hand", has the commands that move them home.`,
            );
          }
          const dropped = await dropKept(production);
          await removeLedger(production);
          return dropped.map(
            (schema) => `The old objects were dropped from production for good (schema ${schema}).`,
          );
        });
      });
    },
  };
}
