/** The end of a run: backup and ledger go, the report is written, people are told, an operator is handed what a settled run leaves. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isOwnClone } from '../src/backup/clone';
import { readBackup, removeBackup } from '../src/backup/manifest';
import type { Report } from '../src/contract';
import { KirikaeError } from '../src/errors';
import { notifyStakeholders } from '../src/host/notify';
import { isSameWorkflow, readClaim, removeLedger } from '../src/ledger/claim';
import { cleanShadow } from '../src/new-schema/shadow';
import { inTransaction, withClient } from '../src/postgres/connect';
import { databaseExists, dropDatabase } from '../src/postgres/databases';
import { identifier } from '../src/postgres/sql';
import { databaseOf, placeOf, shellWord } from '../src/postgres/url';
import { renderReport } from '../src/report/html';
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

    /** Tells the stakeholders. @returns sentences about those who could not be told */
    async notify({ run: ref, text }: { run: RunRef; text: string }): Promise<string[]> {
      return notifyStakeholders(open(ref).plan, text);
    },

    /** Writes report.json and report.html. @returns the page's path */
    async writeReport({ run: ref, report }: { run: RunRef; report: Report }): Promise<{ file: string }> {
      const { plan } = new ActivityRun(settings, ref);
      const dir = path.resolve(plan.folder, plan.report.dir);
      mkdirSync(dir, { recursive: true });
      const name = path.join(dir, `${report.workflowId}-${report.runId}`.replace(/[^\w.-]+/g, '_'));
      writeFileSync(`${name}.json`, `${JSON.stringify(report, null, 2)}\n`);
      writeFileSync(`${name}.html`, renderReport(report));
      return Promise.resolve({ file: `${name}.html` });
    },

    /** The commands that lift page and fence by hand, for a settled run. */
    async handOver({ run: ref }: { run: RunRef }): Promise<string[]> {
      const run = new ActivityRun(settings, ref);
      const { claim, kept } = await run.sessions(
        ['production'],
        async ({ production: { client: production } }) => ({
          claim: await readClaim(production),
          kept: await keptSchemas(production),
        }),
      );
      const { maintenance, databases } = run.plan;
      const database = identifier(databaseOf(run.url('production')));
      const variable = databases.production.urlEnv;
      const lift =
        claim?.fenceBefore != null
          ? `set default_transaction_read_only = ${claim.fenceBefore}`
          : 'reset default_transaction_read_only';
      // A command stands on a line of its own, so that it can be pasted.
      return [
        `Production ${placeOf(run.url('production'))} is left as it is: fence ${claim?.fenceOn ? 'up' : 'down'}, page ${claim?.pageOn ? 'on' : 'off'}${claim?.resetAt ? `, reset at ${claim.resetAt}` : ''}.`,
        // Under the fence a plain session may not even lift it; those that began under it stay read-only until they end.
        `To lift the fence:\nPGOPTIONS='-c default_transaction_read_only=off' psql "$${variable}" -c ${shellWord(`alter database ${database} ${lift}`)} -c 'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()'`,
        maintenance.kind === 'nginx'
          ? `To take the page down:\nrm ${shellWord(path.resolve(run.plan.folder, maintenance.flagFile))}`
          : `To take the page down:\n${maintenance.off.map(shellWord).join(' ')}`,
        ...kept.map(
          ({ home, schema }) =>
            `The old objects of schema ${home} wait in schema ${schema}: docs/if-it-stops.md, "By hand", has the commands that move them home, or remove them.`,
        ),
        `When production is safe, remove the ledger:\npsql "$${variable}" -c 'drop schema kirikae cascade'`,
      ];
    },
  };
}
