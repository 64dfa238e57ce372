/** Automatic smoke checks: HTTP, SQL and commands. */
import path from 'node:path';
import { KirikaeError, failWith } from '../errors';
import { all, inTransaction, withClient } from '../postgres/connect';
import { readOwnSettings, settingOwn } from '../postgres/own-settings';
import { identifiers } from '../postgres/sql';
import { namedVariables } from '../settings/environment';
import type { Plan } from '../settings/read';
import { milliseconds, type AutomaticCheck } from '../settings/schema';
import { runCommand } from './command';
import { get, repeatUntil } from './probe';

/** Runs one check. @param options `mayRun` as for `runCommand` @returns what it saw @throws KirikaeError StepFailed when it fails; an outage of the database as such */
export async function runCheck(
  plan: Plan,
  check: AutomaticCheck,
  options: { productionUrl: string; key: string; signal?: AbortSignal; mayRun?: () => Promise<void> },
): Promise<string> {
  switch (check.kind) {
    case 'http': {
      const complaint = await repeatUntil(milliseconds(check.within), options.signal, async () => {
        const answer = await get(check.url, options.signal);
        if (answer.status !== check.expect.status)
          return `expected status ${check.expect.status}, got ${answer.text}`;
        const wanted = check.expect.bodyIncludes;
        return wanted !== undefined && !answer.body.includes(wanted) ? `the answer lacks "${wanted}"` : null;
      });
      if (complaint !== null)
        throw new KirikaeError(
          'StepFailed',
          `The check "${check.name}" fails at ${check.url}: ${complaint}.`,
        );
      return `status ${check.expect.status}`;
    }
    case 'sql':
      return withClient(options.productionUrl, 'check', async (client) =>
        inTransaction(
          client,
          async () => {
            const own = settingOwn(await readOwnSettings(client), 'local');
            await client.query(
              `${own} set local search_path = ${identifiers(plan.databases.production.schemas)}`,
            );
            const rows = await all(client, check.sql).catch((error: unknown) =>
              failWith(error, (why) => `The check "${check.name}" can't be read: ${why}.`),
            );
            if (rows.length > 0) {
              throw new KirikaeError(
                'StepFailed',
                `The check "${check.name}" fails: its SQL returned ${rows.length === 1 ? 'a row' : `${rows.length} rows`} instead of none.`,
              );
            }
            return 'no row returned';
          },
          'begin read only',
        ),
      );
    case 'command': {
      const lines = await runCommand({
        run: check.run,
        cwd: path.resolve(plan.folder, check.cwd ?? '.'),
        env: namedVariables(check.env),
        timeoutMs: milliseconds(check.timeout),
        key: options.key,
        ...(options.mayRun ? { mayRun: options.mayRun } : {}),
        ...(options.signal ? { signal: options.signal } : {}),
      });
      return lines.at(-1) ?? 'exit code 0';
    }
  }
}
