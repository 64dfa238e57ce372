/** Runs a phase's part groups, a few at a time; the first that fails stops the others. */
import { CancellationScope } from '@temporalio/workflow';
import type { RunRef } from '../activities';
import type { StepName } from '../src/contract';
import { database } from './calls';
import type { Run } from './run';

export interface CopyPhase {
  name: 'backup' | 'migrate' | 'restore' | 'aside';
  attempt: number;
}

export interface RowsToCopy {
  /** Whose rows and bytes are counted. */
  step: StepName;
  phase: CopyPhase;
  groups: number;
  ref: RunRef;
}

/** Copies all groups and counts their rows and bytes into the step. @returns rows copied */
export async function copyRows(run: Run, { step, phase, groups, ref }: RowsToCopy): Promise<number> {
  const status = run.at(step);
  status.rows = 0;
  status.bytes = 0;
  let next = 0;
  await CancellationScope.cancellable(async () => {
    const scope = CancellationScope.current();
    const lane = async () => {
      while (next < groups) {
        const group = next;
        next += 1;
        const copied = await database.copyGroup.executeWithOptions(
          { summary: `${phase.name} ${group + 1} of ${groups}` },
          [{ run: ref, phase, group }],
        );
        status.rows = (status.rows ?? 0) + copied.rows;
        status.bytes = (status.bytes ?? 0) + copied.bytes;
        run.show();
      }
    };
    const lanes = Array.from({ length: run.plan.lanes }, lane);
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
