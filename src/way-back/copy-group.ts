/** One group of a copy's parts: between which databases, at which phases of the ledger. */
import { BACKUP_PHASE } from '../backup/manifest';
import type { Phase as LedgerPhase } from '../contract';
import { copyGroup, type Copied } from '../engine/copy';
import type { Phase } from '../engine/parts';
import { freshMs, stopwatch, systemClocks } from '../host/fresh-look';
import type { Claim } from '../ledger/claim';
import type { HeldRun } from '../ledger/held-run';
import { asideUrl, proveAside } from './aside';

/** At which phases of the ledger the rows of a copy may be written. */
const ledgerPhases = {
  backup: ['fenced'],
  migrate: ['built'],
  restore: ['emptied'],
  aside: ['returning', 'aside'],
} as const;

export interface Group {
  phase: Phase;
  group: number;
  onProgress: (rows: number, bytes: number) => void;
}

/** Copies one group; what an earlier attempt committed is not copied again. @returns rows and bytes of the whole group */
export async function copyOwnGroup(run: HeldRun, { phase, group, onProgress }: Group): Promise<Copied> {
  const phases = ledgerPhases[phase.name];
  const claim = await run.hold({ roles: ['backup'], phases }, (_, held) => Promise.resolve(held));
  if (phase.name === 'aside') await proveAside(run, claim);
  const inProduction = phase.name === 'migrate' || phase.name === 'restore';
  return copyGroup({
    ...direction(run, phase, claim),
    // The copy set aside is a backup of its own, with its own checkpoints.
    phase: phase.name === 'aside' ? BACKUP_PHASE : phase,
    group,
    searchPath: phase.name === 'migrate' ? run.schemas : [],
    targetPath: run.schemas,
    label: `${run.label} ${phase.name} ${group}`,
    mayWrite: inProduction ? run.stillMay(phases) : lookingAgain(run, phases),
    onProgress,
    signal: run.signal,
  });
}

// Production's ledger isn't where these rows go: it was looked at seconds before each commit.
function lookingAgain(run: HeldRun, phases: readonly LedgerPhase[]): () => Promise<void> {
  let clock = stopwatch(systemClocks);
  return async () => {
    if (clock.isWithin(freshMs / 2)) return;
    await run.lookAgain(phases);
    clock = stopwatch(systemClocks);
  };
}

function direction(run: HeldRun, phase: Phase, claim: Claim): { sourceUrl: string; targetUrl: string } {
  const [production, backup] = [run.url('production'), run.url('backup')];
  switch (phase.name) {
    case 'backup':
      return { sourceUrl: production, targetUrl: backup };
    case 'aside':
      return { sourceUrl: production, targetUrl: asideUrl(run, claim) };
    case 'migrate':
    case 'restore':
      return { sourceUrl: backup, targetUrl: production };
  }
}
