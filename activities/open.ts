/** Production opens: the fence lifted, the applications and their checks, the mark `live`, the page down. */
import path from 'node:path';
import { KirikaeError } from '../src/errors';
import { runCommand } from '../src/host/command';
import { turnMaintenance } from '../src/host/page';
import { runCheck } from '../src/host/smoke';
import { mirrorClaim, ownClaim, setMark } from '../src/ledger/claim';
import { liftFence } from '../src/reset/fence';
import { namedVariables } from '../src/settings/environment';
import { rollbackChecks, type Settings } from '../src/settings/read';
import { milliseconds, type AutomaticCheck } from '../src/settings/schema';
import { ActivityRun, cancellation, type RunRef } from './context';
import { countProgress } from './guard';

export function openActivities(settings: Settings) {
  const open = (ref: RunRef) => new ActivityRun(settings, ref);

  return {
    async liftFence({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production'], async ({ production: { client: production } }) =>
        liftFence(production, await ownClaim(production, run.identity)),
      );
    },

    /** Runs one deploy command, or its rollback. */
    async deploy({ run: ref, index, back }: { run: RunRef; index: number; back: boolean }): Promise<string> {
      const run = open(ref);
      const deploy = run.plan.deploy[index];
      const command = back ? deploy?.rollback : deploy?.run;
      if (!deploy || !command)
        throw new KirikaeError(
          'StepFailed',
          `The plan has no ${back ? 'rollback of the ' : ''}deploy number ${index + 1}.`,
        );
      const lines = await runCommand({
        run: command,
        cwd: path.resolve(run.plan.folder, deploy.cwd ?? '.'),
        env: namedVariables(deploy.env),
        timeoutMs: milliseconds(deploy.timeout),
        key: run.commandKey,
        signal: cancellation(),
      });
      return lines.at(-1) ?? '';
    },

    /** Runs one automatic check of `smoke`, or of `rollbackSmoke`. */
    async smoke({ run: ref, name, back }: { run: RunRef; name: string; back: boolean }): Promise<string> {
      const run = open(ref);
      const list = back ? rollbackChecks(run.plan) : run.plan.smoke;
      const check = list.find((item): item is AutomaticCheck => item.name === name && item.kind !== 'manual');
      if (!check) throw new KirikaeError('StepFailed', `The plan has no automatic check "${name}".`);
      countProgress('smoke');
      return runCheck(run.plan, check, {
        productionUrl: run.url('production'),
        key: run.commandKey,
        signal: cancellation(),
      });
    },

    /** Writes the mark `live`: from here on nothing restores without accepted loss. */
    async markLive({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production', 'backup'], async ({ production: { client }, backup }) => {
        await ownClaim(client, run.identity);
        await setMark(client, 'live_at');
        await mirrorClaim(backup.client, await ownClaim(client, run.identity));
      });
    },

    async maintenanceOff({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await turnMaintenance(run.plan, 'off', { key: run.commandKey, signal: cancellation() });
    },
  };
}
