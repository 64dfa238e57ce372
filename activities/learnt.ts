/** What preflight learnt on the shadow, as the claim holds it. */
import type { Client } from 'pg';
import { KirikaeError } from '../src/errors';
import { readLearnt, type Learnt } from '../src/new-schema/learnt';

/** Reads it from production's ledger. @throws KirikaeError when the ledger has lost it */
export async function learntOf(production: Client): Promise<Learnt> {
  const learnt = await readLearnt(production);
  if (learnt) return learnt;
  throw new KirikaeError(
    'StepFailed',
    "Production's ledger does not hold what preflight learnt of the new schema (kirikae.learnt is empty).",
  );
}
