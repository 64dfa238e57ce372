/** Production opens: the applications, their checks, the page down. */
import { CancellationScope } from '@temporalio/workflow';
import { heedPage, stopWatchingPage, watchPage } from '../background';
import { hostOf, database } from '../calls';
import { record, awaitConfirmation, checkNow } from '../checks';
import { doStep, insist, parks } from '../do-step';
import { problemOf } from '../failures';
import { writeReport, tell } from '../people';
import type { Run } from '../run';

export async function deploy(run: Run): Promise<void> {
  await doStep(run, { name: 'deploy', until: 'deployed' }, async () => {
    const host = hostOf(run.plan.hostQueue);
    for (const { name } of run.plan.deploys) {
      await heedPage(run);
      await host.probePage({ run: run.ref() });
      const detail = await host.deploy.executeWithOptions({ summary: name }, [{ run: run.ref(), name }]);
      record(run, { step: 'deploy', name, passed: true, detail });
    }
    await host.probePage({ run: run.ref() });
    run.moved(await database.endDeploys({ run: run.ref() }));
  });
}

export async function smoke(run: Run): Promise<void> {
  await doStep(run, { name: 'smoke', until: 'checked' }, async () => {
    for (const check of run.plan.smoke) {
      if (check.kind === 'manual') await awaitConfirmation(run, check.name);
      else await checkNow(run, check, 'smoke');
      await heedPage(run);
    }
    run.moved(await database.endChecks({ run: run.ref() }));
  });
}

/** The point of no return: the phase `live` first, then the page down; what fails is retried by a person, never undone. */
export async function goLive(run: Run): Promise<void> {
  await doStep(run, { name: 'maintenanceOff', until: 'live' }, async () => {
    await CancellationScope.nonCancellable(async () => {
      // What is found in the last moment is heeded too, and heeding watches again.
      do {
        await heedPage(run);
        await stopWatchingPage(run);
      } while (run.pageProblem);
      try {
        run.moved(await database.goLive({ run: run.ref() }));
      } catch (error) {
        // Parked, production waits behind its page; what fails otherwise turns it on again by itself.
        if (parks(run, problemOf(error))) watchPage(run);
        throw error;
      }
    });
    await insist(run, 'Taking the maintenance page down', () =>
      hostOf(run.plan.hostQueue).pageOff({ run: run.refBack() }),
    );
    run.pageOffAt = Date.now();
  });
  await writeReport(run);
  await tell(
    run,
    `${run.plan.name}: the migration is live; the maintenance page is down (workflow ${run.id}).`,
  );
}
