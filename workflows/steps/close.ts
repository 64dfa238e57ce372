/** Production closes: claimed, behind the maintenance page, read-only. */
import { database, hostOf } from '../calls';
import { doStep } from '../do-step';
import { problemOf, Refused } from '../failures';
import type { Run } from '../run';

export async function turnOnMaintenance(run: Run): Promise<void> {
  await doStep(run, 'maintenanceOn', async () => {
    await database.claim({ run: run.ref() }).catch((error: unknown) => {
      const { type, message } = problemOf(error);
      if (type === 'StepFailed') throw new Refused([message]);
      throw error;
    });
    run.claimed = true;
    await database.notePage({ run: run.ref(), on: true });
    run.pageOnAt = Date.now();
    await hostOf(run.plan.hostQueue).maintenanceOn({ run: run.ref() });
  });
}

export async function raiseFence(run: Run): Promise<void> {
  await doStep(run, 'fence', () => database.fence({ run: run.ref() }));
}
