/** What people are told: messages, the report's files, and the commands that a settled run hands over. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Report } from '../src/contract';
import { notifyStakeholders } from '../src/host/notify';
import { readClaim } from '../src/ledger/claim';
import { identifier } from '../src/postgres/sql';
import { databaseOf, placeOf, shellWord } from '../src/postgres/url';
import { renderReport } from '../src/report/html';
import { keptSchemas } from '../src/reset/set-aside';
import type { Settings } from '../src/settings/read';
import { describeProduction, takePageDown } from '../src/way-back/describe';
import { openRun, type RunRef } from './context';

export function peopleActivities(settings: Settings) {
  const open = (ref: RunRef) => openRun(settings, ref);

  return {
    /** Tells the stakeholders. @returns sentences about those who could not be told */
    async notify({ run: ref, text }: { run: RunRef; text: string }): Promise<string[]> {
      return notifyStakeholders((await open(ref)).plan, text);
    },

    /** Writes report.json and report.html. @returns the page's path */
    async writeReport({ run: ref, report }: { run: RunRef; report: Report }): Promise<{ file: string }> {
      const { plan } = await openRun(settings, ref);
      const dir = path.resolve(plan.folder, plan.report.dir);
      mkdirSync(dir, { recursive: true });
      const name = path.join(dir, `${report.workflowId}-${report.runId}`.replace(/[^\w.-]+/g, '_'));
      writeFileSync(`${name}.json`, `${JSON.stringify(report, null, 2)}\n`);
      writeFileSync(`${name}.html`, renderReport(report));
      return Promise.resolve({ file: `${name}.html` });
    },

    /** The commands that lift page and fence by hand, for a settled run. */
    async handOver({ run: ref }: { run: RunRef }): Promise<string[]> {
      const run = await openRun(settings, ref);
      const stands = await describeProduction(run);
      const { claim, kept } = await run.sessions(
        ['production'],
        async ({ production: { client: production } }) => ({
          claim: await readClaim(production),
          kept: await keptSchemas(production),
        }),
      );
      const { databases } = run.plan;
      const database = identifier(databaseOf(run.url('production')));
      const variable = databases.production.urlEnv;
      const lift =
        claim?.fenceBefore != null
          ? `set default_transaction_read_only = ${claim.fenceBefore}`
          : 'reset default_transaction_read_only';
      // A command stands on a line of its own, so that it can be pasted.
      return [
        `Production ${placeOf(run.url('production'))} is left as it is. ${stands}`,
        `To bring it to a safe end: kirikae recover ${shellWord(run.plan.name)}`,
        // Under the fence a plain session may not even lift it; those that began under it stay read-only until they end.
        `To lift the fence: PGOPTIONS='-c default_transaction_read_only=off' psql "$${variable}" -c ${shellWord(`alter database ${database} ${lift}`)} -c 'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()'`,
        `To take the page down: ${takePageDown(run.plan)}`,
        ...kept.map(
          ({ home, schema }) =>
            `The old objects of schema ${home} wait in schema ${schema}: docs/if-it-stops.md, "By hand", has the commands that move them home, or remove them.`,
        ),
      ];
    },
  };
}
