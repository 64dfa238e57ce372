/** Tells the stakeholders; a notification that fails is a note, never a reason to stop. */
import { sentence } from '../errors';
import type { Plan } from '../settings/read';

/** Posts `{ "text": … }` to every webhook of the plan. @returns sentences about those that failed */
export async function notifyStakeholders(plan: Plan, text: string): Promise<string[]> {
  const results = await Promise.all(
    plan.notify.map(async ({ urlEnv }) => {
      try {
        const response = await fetch(process.env[urlEnv] ?? '', {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ text }),
          signal: AbortSignal.timeout(10_000),
        });
        await response.body?.cancel();
        return response.ok
          ? null
          : `The webhook in ${urlEnv} answered ${response.status}; its stakeholders were not told.`;
      } catch (error) {
        const cause = (error as { cause?: unknown }).cause;
        return `The webhook in ${urlEnv} can't be reached (${sentence(cause ?? error)}); its stakeholders were not told.`;
      }
    }),
  );
  return results.filter((note) => note !== null);
}
