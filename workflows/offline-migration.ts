/** The runbook: one offline migration from its checks to its report, and the way back when anything fails before. */
import { CancellationScope, isCancellation } from '@temporalio/workflow';
import type { MigrationInput, Status } from '../src/contract';
import { close, leavePath } from './ending';
import { openInbox } from './inbox';
import { fillInput, refuseUnusable } from './input';
import { bearingOutages } from './outages';
import { Run } from './run';
import { awaitApproval, backUp } from './steps/back-up';
import { raiseFence, turnOnMaintenance } from './steps/close';
import { deploy, goLive, smoke } from './steps/open';
import { announce, preflight } from './steps/prepare';
import { deploySchema, migrate, reset, verify } from './steps/switch-over';
import { monitor, retireBackup } from './steps/watch';
import { finish } from './way-back';

export async function offlineMigration(input: MigrationInput): Promise<Status> {
  const run = new Run(fillInput(input));
  openInbox(run);
  return bearingOutages(run, () => followRunbook(run, input));
}

async function followRunbook(run: Run, input: MigrationInput): Promise<Status> {
  // People may take a way back back: then the run goes on where it was, past the steps that its ledger has done. The cancel that
  // led to it is taken back with it, as far as `live`.
  let wasTakenBack = false;
  for (;;) {
    try {
      refuseUnusable(input);
      await (wasTakenBack ? CancellationScope.nonCancellable(() => toLive(run)) : toLive(run));
      await monitor(run);
      await retireBackup(run);
      await finish(run);
      return await close(run, 'migrated');
    } catch (error) {
      // A cancel that meets a failure on its way is still a cancel.
      const cancelled: boolean =
        isCancellation(error) || (!wasTakenBack && CancellationScope.current().consideredCancelled);
      const ended = await CancellationScope.nonCancellable(() => leavePath(run, error, cancelled));
      if (ended) return ended;
      wasTakenBack ||= cancelled;
    }
  }
}

async function toLive(run: Run): Promise<void> {
  await preflight(run);
  await announce(run);
  await turnOnMaintenance(run);
  await raiseFence(run);
  await backUp(run);
  await awaitApproval(run);
  await reset(run);
  await deploySchema(run);
  await migrate(run);
  await verify(run);
  await deploy(run);
  await smoke(run);
  await goLive(run);
}
