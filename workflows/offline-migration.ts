/** The runbook: one offline migration from its checks to its report, and the way back when anything fails before. */
import { CancellationScope, isCancellation } from '@temporalio/workflow';
import type { MigrationInput, Status } from '../src/contract';
import { close, leavePath } from './ending';
import { openInbox } from './inbox';
import { fillInput, refuseUnusable } from './input';
import { Run } from './run';
import { awaitApproval, backUp } from './steps/back-up';
import { raiseFence, turnOnMaintenance } from './steps/close';
import { deploy, goLive, smoke } from './steps/open';
import { announce, preflight } from './steps/prepare';
import { deploySchema, migrate, reset, verify } from './steps/switch-over';
import { monitor, retireBackup } from './steps/watch';

export async function offlineMigration(input: MigrationInput): Promise<Status> {
  const run = new Run(fillInput(input));
  openInbox(run);
  try {
    refuseUnusable(input);
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
    await monitor(run);
    await retireBackup(run);
    return await close(run, 'migrated');
  } catch (error) {
    // A cancel that meets a failure on its way is still a cancel.
    const cancelled = isCancellation(error) || CancellationScope.current().consideredCancelled;
    return await CancellationScope.nonCancellable(() => leavePath(run, error, cancelled));
  }
}
