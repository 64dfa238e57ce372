/** Copying rows: one group of parts of any phase. */
import type { Client } from 'pg';
import { BACKUP_PHASE } from '../src/backup/manifest';
import { copyGroup, type Copied } from '../src/engine/copy';
import type { Phase } from '../src/engine/parts';
import { groupsInFlight } from '../src/engine/room';
import { ownClaim } from '../src/ledger/claim';
import type { Settings } from '../src/settings/read';
import { ActivityRun, cancellation, type RunRef } from './context';
import { countProgress } from './guard';

export interface GroupPlan {
  groups: number;
  bytes: number;
  /** How many groups may be copied at a time, on all hosts together; histories of older versions don't have it. */
  inFlight?: number;
}

/** Adds to a plan how many of its groups may be copied at a time. @param servers a session on each side of the copy */
export async function withRoom<P extends GroupPlan>(plan: P, servers: readonly Client[]): Promise<P> {
  return { ...plan, inFlight: await groupsInFlight(servers) };
}

const stepOf = { backup: 'backup', migrate: 'migrate', restore: 'reset', aside: 'backup' } as const;

export function copyRowsActivities(settings: Settings) {
  const open = (ref: RunRef) => new ActivityRun(settings, ref);

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
      const run = open(ref);
      const onProgress = countProgress(stepOf[phase.name]);
      const { sourceUrl, targetUrl } = direction(run, phase);
      const claimant = run.identity;
      const inProduction = phase.name === 'migrate' || phase.name === 'restore';
      return copyGroup({
        sourceUrl,
        targetUrl,
        // The copy set aside is a backup of its own, with its own checkpoints.
        phase: phase.name === 'aside' ? BACKUP_PHASE : phase,
        group,
        searchPath: phase.name === 'migrate' ? run.schemas : [],
        targetPath: run.schemas,
        label: `${run.label} ${phase.name} ${group}`,
        mayWrite: async (target: Client) => {
          if (inProduction) await ownClaim(target, claimant);
        },
        onProgress,
        signal: cancellation(),
      });
    },
  };
}

function direction(run: ActivityRun, phase: Phase): { sourceUrl: string; targetUrl: string } {
  const [production, backup] = [run.url('production'), run.url('backup')];
  switch (phase.name) {
    case 'backup':
      return { sourceUrl: production, targetUrl: backup };
    case 'aside':
      return { sourceUrl: production, targetUrl: run.abandonedUrl };
    case 'migrate':
    case 'restore':
      return { sourceUrl: backup, targetUrl: production };
  }
}
