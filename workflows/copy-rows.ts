/** Runs a phase's part groups, as many at a time as the servers have sessions for; the first that fails stops the others. */
import { CancellationScope } from '@temporalio/workflow';
import type { GroupPlan, RunRef } from '../activities';
import type { StepProgress } from '../src/contract';
import { copying } from './calls';
import type { Run } from './run';

export interface CopyPhase {
  name: 'backup' | 'migrate' | 'restore' | 'aside';
  attempt: number;
}

export interface RowsToCopy {
  /** Where rows and bytes are counted. */
  status: StepProgress;
  phase: CopyPhase;
  plan: GroupPlan;
  ref: RunRef;
}

/** Copies all groups and counts their rows and bytes into the step. @returns rows copied */
export async function copyRows(run: Run, { status, phase, plan, ref }: RowsToCopy): Promise<number> {
  status.rows = 0;
  status.bytes = 0;
  const { groups } = plan;
  const { copyGroup } = copying();
  let next = 0;
  await CancellationScope.cancellable(async () => {
    const scope = CancellationScope.current();
    const lane = async () => {
      while (next < groups) {
        const group = next;
        next += 1;
        const copied = await copyGroup.executeWithOptions(
          { summary: `${phase.name} ${group + 1} of ${groups}` },
          [{ run: ref, phase, group }],
        );
        status.rows = (status.rows ?? 0) + copied.rows;
        status.bytes = (status.bytes ?? 0) + copied.bytes;
        run.show();
      }
    };
    const lanes = Array.from({ length: plan.inFlight }, lane);
    try {
      await Promise.all(lanes);
    } catch (error) {
      scope.cancel();
      await Promise.allSettled(lanes);
      throw error;
    }
  });
  return status.rows;
}
