/** Production opens: the applications, their checks, the page down. */
import { CancellationScope } from '@temporalio/workflow';
import { hostOf, database } from '../calls';
import { record, awaitConfirmation, checkNow } from '../checks';
import { doStep, insist } from '../do-step';
import { writeReport, tell } from '../people';
import type { Run } from '../run';

export async function deploy(run: Run): Promise<void> {
  await doStep(run, 'deploy', async () => {
    const host = hostOf(run.plan.hostQueue);
    await database.confirmClaim({ run: run.ref() });
    await host.probePage({ run: run.ref() });
    for (const [index, { name }] of run.plan.deploys.entries()) {
      if (!run.deploysBegun.includes(index)) run.deploysBegun.push(index);
      const detail = await host.deploy.executeWithOptions({ summary: name }, [
        { run: run.ref(), index, back: false },
      ]);
      record(run, { step: 'deploy', name, passed: true, detail });
    }
  });
}

export async function smoke(run: Run): Promise<void> {
  await doStep(run, 'smoke', async () => {
    for (const check of run.plan.smoke) {
      if (check.kind === 'manual') await awaitConfirmation(run, check.name);
      else await checkNow(run, check, 'smoke');
    }
  });
}

/** The point of no return: the mark `live` first, then the page down; what fails is retried by a person, never undone. */
export async function goLive(run: Run): Promise<void> {
  await doStep(run, 'maintenanceOff', async () => {
    await CancellationScope.nonCancellable(() => database.markLive({ run: run.ref() }));
    run.live = true;
    await insist(run, 'Taking the maintenance page down', async () => {
      await hostOf(run.plan.hostQueue).maintenanceOff({ run: run.refBack() });
      await database.notePage({ run: run.refBack(), on: false });
    });
    run.pageOffAt = Date.now();
  });
  await writeReport(run);
  await tell(
    run,
    `${run.plan.name}: the migration is live; the maintenance page is down (workflow ${run.id}).`,
  );
}
