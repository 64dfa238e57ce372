/** What stands, what will be done, and what can be lost, in the words of a person. */
import type { WayBackStepName } from '../contract';
import type { HeldRun } from '../ledger/held-run';
import { describeLateWrites, writtenSince } from '../ledger/late-writes';
import { hasReached, needsRestore, type Standing } from '../ledger/phases';

const words: Record<WayBackStepName, string> = {
  proveBackup: 'prove that the backup is what was sealed',
  pageOn: 'turn the maintenance page on',
  fence: 'make production read-only for everybody else',
  aside: 'copy aside what must not be lost of the present database',
  empty: 'empty the managed schemas',
  restore: 'bring the old rows back from the backup',
  compare: 'compare everything with the sealed manifest',
  liftFence: 'lift the fence',
  undoDeploys: 'bring back the previous version of every deploy that began, last first',
  rollbackSmoke: 'check the old version',
  pageOff: 'take the maintenance page down',
  removeBackup: "remove the run's backup",
};

/** Sentences for a run that stands there and goes these steps. */
export async function explain(
  run: HeldRun,
  { phase, from }: Standing,
  steps: readonly WayBackStepName[],
): Promise<string[]> {
  const done = steps.map((step) => words[step]);
  return [
    stands(phase, from),
    `What will be done: ${[...done, 'remove shadow and ledger'].join('; ')}.`,
    await lost(run, { phase, from }, steps),
  ];
}

function stands(phase: Standing['phase'], from: Standing['from']): string {
  if (phase === 'live') return 'Production is new, verified and open to its users: nothing is restored.';
  if (phase === 'home' || phase === 'over')
    return 'Production is as it should be; only the end of the run is missing.';
  const at = from ?? phase;
  if (!needsRestore(at)) return 'Production still has its old rows and applications.';
  if (phase === 'restored') return 'Production has its old rows again, proved.';
  if (phase === 'emptied') return 'Production was emptied, and its old rows are being brought back.';
  return hasReached(at, 'verified')
    ? 'Production has the new schema and rows, verified, and was not opened to its users.'
    : 'Production has been reset: its old rows are in the backup alone.';
}

async function lost(
  run: HeldRun,
  { phase, from }: Pick<Standing, 'phase' | 'from'>,
  steps: readonly WayBackStepName[],
): Promise<string> {
  const isLate = steps.includes('aside') && hasReached(from ?? phase, 'verified');
  if (!isLate) return 'Nothing is lost by it.';
  const late = await run.sessions(['production'], ({ production }) =>
    writtenSince(production.client, run.schemas),
  );
  if (!late.isKnown)
    return "Whether rows were written since can't be told, so the whole database is copied aside first.";
  if (late.tables.length === 0) return 'Nothing was written since it was verified, so nothing is lost by it.';
  return `${describeLateWrites(late).join(' ')} They will not be in production any more: the whole database is copied aside first.`;
}
