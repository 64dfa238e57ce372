/** Copying rows: one group of parts of any phase. */
import type { Copied } from '../src/engine/copy';
import type { Phase } from '../src/engine/parts';
import { groupsInFlight } from '../src/engine/room';
import type { Endpoint, Pair } from '../src/postgres/endpoint';
import type { Settings } from '../src/settings/read';
import { copyOwnGroup } from '../src/way-back/copy-group';
import { openRun, type RunRef } from './context';
import { countProgress } from './guard';

export interface GroupPlan {
  groups: number;
  bytes: number;
  /** How many groups may be copied at a time, on all hosts together. */
  inFlight: number;
}

/** Adds to a plan how many of its groups may be copied at a time. */
export async function withRoom<P extends Omit<GroupPlan, 'inFlight'>>(
  plan: P,
  { production, backup }: Record<keyof Pair, Pick<Endpoint, 'client'>>,
): Promise<P & GroupPlan> {
  return { ...plan, inFlight: await groupsInFlight([production.client, backup.client]) };
}

export function copyRowsActivities(settings: Settings) {
  return {
    /** Copies one group of parts of a phase; what an earlier attempt committed is not copied again. */
    async copyGroup({
      run: ref,
      phase,
      group,
    }: {
      run: RunRef;
      phase: Phase;
      group: number;
    }): Promise<Copied> {
      return copyOwnGroup(await openRun(settings, ref), {
        phase,
        group,
        onProgress: countProgress(phase.name),
      });
    },
  };
}
