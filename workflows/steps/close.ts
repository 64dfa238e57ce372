/** Production closes: claimed, behind the maintenance page, read-only. */
import { watchPage } from '../background';
import { database, hostOf } from '../calls';
import { doStep } from '../do-step';
import { problemOf, Refused } from '../failures';
import type { Run } from '../run';

export async function turnOnMaintenance(run: Run): Promise<void> {
  await doStep(run, { name: 'maintenanceOn', until: 'closed' }, async () => {
    const claimed = await database.claim({ run: run.ref() }).catch((error: unknown) => {
      const { type, message } = problemOf(error);
      if (type === 'StepFailed') throw new Refused([message]);
      throw error;
    });
    run.moved(claimed);
    run.pageOnAt ??= Date.now();
    run.moved(await hostOf(run.plan.hostQueue).pageOn({ run: run.ref() }));
    watchPage(run);
  });
}

export async function raiseFence(run: Run): Promise<void> {
  await doStep(run, { name: 'fence', until: 'fenced' }, async () => {
    run.moved(await database.fence({ run: run.ref() }));
  });
}
