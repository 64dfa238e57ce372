/** A backup that is gone, or isn't what was sealed, when production is to be restored from it: what that means, and what people may do. */
import { failureType, KirikaeError, sentence } from '../errors';
import type { Claim } from '../ledger/claim';
import { hasReached } from '../ledger/phases';

/**
 * Does work that needs the backup.
 * @throws KirikaeError DataDiffer for whatever says that it can't be restored from; an outage, and what is an operator's to repair, as they are
 */
export async function explainingLoss<T>(claim: Claim, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const type = failureType(error);
    if (type !== 'StepFailed' && type !== 'DataDiffer') throw error;
    throw new KirikaeError('DataDiffer', describeLoss(claim, sentence(error)), { cause: error });
  }
}

/** @param why what was found, as a sentence with or without its full stop */
function describeLoss({ phase, from, backup }: Claim, why: string): string {
  const lost = `The old rows are not to be had from the backup ${backup}: ${why.replace(/\.$/, '')}.`;
  // Its run stands down by itself.
  if (phase === 'returning' && from === 'live') return lost;
  const repair = `If it was renamed, moved or changed, put it back as it was and send retry.`;
  const another = 'kirikae restore brings another copy of the backup into any database.';
  if (phase === 'emptied')
    return `${lost} Production was emptied, and its old rows are not all back: keep the page on. ${repair} Else settle; ${another}`;
  return from !== null && hasReached(from, 'verified')
    ? `${lost} ${repair} Else stand-down goes forward again with the new database; or settle, where the old rows must come back: ${another}`
    : `${lost} ${repair} Going forward needs it too, as the new database isn't finished: else settle; ${another}`;
}
