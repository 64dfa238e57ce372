/** Activities on the host that holds the maintenance flag and deploy rights, and the checks and messages anyone can send. */
import path from 'node:path';
import { runCommand } from '../src/host/command';
import { KirikaeError } from '../src/errors';
import { turnMaintenance } from '../src/host/page';
import { notifyStakeholders } from '../src/host/notify';
import { ownClaim } from '../src/ledger/claim';
import { inTransaction } from '../src/postgres/connect';
import { compareWithShadow, runSchemaStep } from '../src/new-schema/deploy';
import { rollbackChecks, type Settings } from '../src/settings/read';
import { milliseconds, type AutomaticCheck } from '../src/settings/schema';
import { runCheck } from '../src/host/smoke';
import { Run, cancellation, type RunRef } from './context';
import { emptySchemas } from '../src/postgres/managed-schemas';
import { namedVariables } from '../src/settings/environment';
import { probeMaintenance } from '../src/host/probe';
import { countProgress } from './guard';

export function hostActivities(settings: Settings) {
  const open = (ref: RunRef) => new Run(settings, ref);

  return {
    async maintenanceOn({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await turnMaintenance(run.plan, true, run.commandKey, cancellation());
    },

    async maintenanceOff({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await turnMaintenance(run.plan, false, run.commandKey, cancellation());
    },

    /** Asks from outside whether the page still shows. */
    async probePage({ run: ref }: { run: RunRef }): Promise<void> {
      await probeMaintenance(open(ref).plan, true, cancellation());
    },

    /** The new schema into emptied production, compared with the shadow; every attempt starts from empty. */
    async deploySchema({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production'], async (production) => {
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
        await runSchemaStep(run.plan, run.url('production'), production, run.commandKey, cancellation());
      });
      await compareWithShadow(run.url('production'), run.url('shadow'), run.schemas);
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
      return runCheck(run.plan, check, run.url('production'), {
        key: run.commandKey,
        signal: cancellation(),
      });
    },

    /** Tells the stakeholders. @returns sentences about those who could not be told */
    async notify({ run: ref, text }: { run: RunRef; text: string }): Promise<string[]> {
      return notifyStakeholders(open(ref).plan, text);
    },
  };
}
