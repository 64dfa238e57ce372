/** Preflight of `rollbackSmoke`: its checks pass on production as it is, or a way back could never end. */
import { sentence } from '../errors';
import { runCheck } from '../host/smoke';
import { placesOf } from '../postgres/endpoint';
import { rollbackChecks, type Plan } from '../settings/read';
import type { AutomaticCheck } from '../settings/schema';

// The old version has been up for long: what it doesn't answer now it won't answer later.
const patience = '2s';

/**
 * Tries the checks of these kinds on the old version, as the way back will.
 * @param attempt `key` is the same for every attempt of the caller: commands use it to find what an earlier one left running
 * @returns a finding for each that fails
 */
export async function tryRollbackChecks(
  plan: Plan,
  kinds: readonly AutomaticCheck['kind'][],
  attempt: { key: string; signal?: AbortSignal },
): Promise<string[]> {
  const findings: string[] = [];
  const where = plan.rollbackSmoke ? 'rollbackSmoke' : 'smoke, which stands for rollbackSmoke too';
  for (const check of rollbackChecks(plan).filter(({ kind }) => kinds.includes(kind))) {
    const tried = check.kind === 'http' ? { ...check, within: patience } : check;
    try {
      await runCheck(plan, tried, { ...attempt, productionUrl: placesOf(plan).production.url });
    } catch (error) {
      attempt.signal?.throwIfAborted();
      findings.push(
        `Production as it is fails the check "${check.name}" of ${where}: ${sentence(error).replace(/\.$/, '')}. After a way back it would have to pass before the page comes down. Name checks in rollbackSmoke that pass on the old version, or repair what this one finds.`,
      );
    }
  }
  return findings;
}
