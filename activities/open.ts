/** Production opens: the applications and their checks, the phase `live`, the page down. */
import os from 'node:os';
import { failureType, KirikaeError } from '../src/errors';
import { startOf } from '../src/host/pid-file';
import {
  beginDeploy,
  endDeploy,
  noteDeployProcess,
  notePassed,
  readDeploys,
  readPassed,
} from '../src/ledger/records';
import { compareWithLearnt } from '../src/new-schema/deploy';
import { inTransaction } from '../src/postgres/connect';
import { rollbackChecks, type Settings } from '../src/settings/read';
import { runDeploy, runNamedCheck, takePageDown, undoDeploy } from '../src/way-back/outside';
import { openRun, type Moved, type RunRef } from './context';
import { learntOf } from './learnt';

export function openActivities(settings: Settings) {
  const open = (ref: RunRef) => openRun(settings, ref);

  return {
    /** Runs one deploy command; one that has ended well is not run again. @returns its last line of output */
    async deploy({ run: ref, name }: { run: RunRef; name: string }): Promise<string> {
      const run = await open(ref);
      const phases = ['verified'] as const;
      return run.hold({ roles: [], phases }, async ({ production: { client } }) => {
        const position = run.plan.deploy.findIndex((deploy) => deploy.name === name);
        if ((await readDeploys(client)).some((row) => row.name === name && row.ended)) return 'done before';
        const note = (what: () => Promise<void>) =>
          inTransaction(client, async () => {
            await what();
            await run.stillMay(phases)(client);
          });
        await note(() => beginDeploy(client, { name, position, host: os.hostname() }));
        const onStart = (pid: number) =>
          note(() => noteDeployProcess(client, name, { pid, started: startOf(pid) }));
        try {
          const line = await runDeploy(run, { name, list: 'run', phases, onStart });
          await endDeploy(client, name, 'ended');
          return line;
        } catch (error) {
          if (failureType(error) === 'StepFailed') await endDeploy(client, name, 'failed');
          throw error;
        }
      });
    },

    /** After the last deploy: all of the plan's have ended, and none has changed the schema. Then it is `deployed`. */
    async endDeploys({ run: ref }: { run: RunRef }): Promise<Moved> {
      const run = await open(ref);
      const phases = ['verified', 'deployed'] as const;
      return run.hold({ roles: [], phases }, async ({ production: { client, url } }, claim) => {
        if (claim.phase === 'deployed') return run.mirrored(client);
        const ended = new Set((await readDeploys(client)).filter((row) => row.ended).map((row) => row.name));
        const open = run.plan.deploy.filter((deploy) => !ended.has(deploy.name)).map((deploy) => deploy.name);
        if (open.length > 0)
          throw new KirikaeError('StepFailed', `The ledger has no end of the deploy ${open.join(', ')}.`);
        await compareWithLearnt(url, await learntOf(client), run.schemas);
        return run.move(client, 'deployed');
      });
    },

    /** Runs one automatic check of `smoke`, and notes in the ledger that it passed. */
    async smoke({ run: ref, name }: { run: RunRef; name: string }): Promise<string> {
      const run = await open(ref);
      return run.hold({ roles: [], phases: ['deployed'] }, async ({ production: { client } }) => {
        const said = await runNamedCheck(run, run.plan.smoke, name);
        await notePassed(client, name, run.identity.runId);
        return said;
      });
    },

    /** Runs one check of `rollbackSmoke` against the old version. */
    async rollbackSmoke({ run: ref, name }: { run: RunRef; name: string }): Promise<string> {
      const run = await open(ref);
      await run.lookAgain(['restored']);
      return runNamedCheck(run, rollbackChecks(run.plan), name);
    },

    /** Runs one automatic check of `smoke` while production is live; reads only. */
    async watchCheck({ run: ref, name }: { run: RunRef; name: string }): Promise<string> {
      const run = await open(ref);
      return runNamedCheck(run, run.plan.smoke, name);
    },

    /** Notes that a person has confirmed a manual check. */
    async confirmCheck({ run: ref, name, by }: { run: RunRef; name: string; by: string }): Promise<void> {
      const run = await open(ref);
      await run.hold({ roles: [], phases: ['deployed'] }, async ({ production: { client } }) =>
        inTransaction(client, async () => {
          await notePassed(client, name, by);
          await run.stillMay(['deployed'])(client);
        }),
      );
    },

    /** After the last check: all of the plan's have passed. Then it is `checked`. */
    async endChecks({ run: ref }: { run: RunRef }): Promise<Moved> {
      const run = await open(ref);
      return run.hold(
        { roles: [], phases: ['deployed', 'checked'] },
        async ({ production: { client } }, claim) => {
          if (claim.phase === 'checked') return run.mirrored(client);
          const passed = await readPassed(client);
          const open = run.plan.smoke.filter((check) => !passed.has(check.name)).map((check) => check.name);
          if (open.length > 0)
            throw new KirikaeError(
              'StepFailed',
              `The ledger does not know that these checks passed: ${open.join(', ')}.`,
            );
          return run.move(client, 'checked');
        },
      );
    },

    /** Writes the phase `live`: from here on nothing restores without accepted loss. */
    async goLive({ run: ref }: { run: RunRef }): Promise<Moved> {
      const run = await open(ref);
      return run.hold({ roles: [], phases: ['checked', 'live'] }, ({ production: { client } }) =>
        run.move(client, 'live'),
      );
    },

    async pageOff({ run: ref }: { run: RunRef }): Promise<void> {
      await takePageDown(await open(ref));
    },

    /** Runs the rollback command of a deploy that began. @returns null where the plan has none */
    async undoDeploy({ run: ref, name }: { run: RunRef; name: string }): Promise<string | null> {
      return undoDeploy(await open(ref), name);
    },
  };
}
