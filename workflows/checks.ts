/** Running checks, waiting for those that a person makes, and recording what came out. */
import { condition } from '@temporalio/workflow';
import type { CheckReport } from '../src/contract';
import { LIMITS, oneLine } from '../src/text';
import { database, hostOf } from './calls';
import { confirmationChoices, shellWord } from './choices';
import { problemOf } from './failures';
import { type Run, now } from './run';

/**
 * Runs one automatic check and notes its result.
 * @param list of which settings key it is: `smoke` for the new version, `rollbackSmoke` for the old one
 * @throws what the check throws
 */
export async function checkNow(
  run: Run,
  { name, kind }: { name: string; kind: string },
  list: 'smoke' | 'rollbackSmoke',
): Promise<void> {
  const back = list === 'rollbackSmoke';
  const where = kind === 'command' ? hostOf(run.plan.hostQueue) : database;
  try {
    const detail = await where.smoke.executeWithOptions({ summary: name }, [
      { run: back ? run.refBack() : run.ref(), name, back },
    ]);
    record(run, { step: 'smoke', name, passed: true, detail });
  } catch (error) {
    record(run, { step: 'smoke', name, passed: false, detail: problemOf(error).message });
    throw error;
  }
}

/** Waits for a person's answer to a manual check. @throws Error when it is that the check failed */
export async function awaitConfirmation(run: Run, name: string): Promise<void> {
  const status = run.at('smoke');
  status.state = 'waiting';
  run.awaitedCheck = name;
  run.wait(
    `a person to confirm the manual check "${name}"`,
    `Confirm with: kirikae confirm ${run.id} --by NAME --check ${shellWord(name)} (or --failed)`,
    confirmationChoices(run.id, name),
  );
  await condition(() => run.confirmations.has(name));
  run.awaitedCheck = null;
  run.goOn();
  status.state = 'running';
  const answer = run.confirmations.get(name);
  record(run, { step: 'smoke', name, passed: answer?.passed === true, detail: `said ${answer?.by ?? ''}` });
  if (answer?.passed !== true)
    throw new Error(`The manual check "${name}" failed, said ${answer?.by ?? ''}.`);
}

/** Notes what a check came to, for the report. */
export function record(run: Run, check: Omit<CheckReport, 'at'>): void {
  run.checks.push({ ...check, detail: oneLine(check.detail, LIMITS.sentence), at: now() });
}
