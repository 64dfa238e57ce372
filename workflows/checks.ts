/** Running checks, waiting for those that a person makes, and recording what came out. */
import { condition } from '@temporalio/workflow';
import type { CheckReport } from '../src/contract';
import { LIMITS, oneLine } from '../src/text';
import { heedPage } from './background';
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
  const where = kind === 'command' ? hostOf(run.plan.hostQueue) : database;
  try {
    const check = list === 'smoke' ? where.smoke : where.rollbackSmoke;
    const ref = list === 'smoke' ? run.ref() : run.refBack();
    const detail = await check.executeWithOptions({ summary: name }, [{ run: ref, name }]);
    record(run, { step: 'smoke', name, passed: true, detail });
  } catch (error) {
    record(run, { step: 'smoke', name, passed: false, detail: problemOf(error).message });
    throw error;
  }
}

/** Waits for a person's answer to a manual check. @throws Error when it is that the check failed */
export async function awaitConfirmation(run: Run, name: string): Promise<void> {
  const status = run.at('smoke');
  // An answer of before, to a check that a way back has passed over since, answers nothing.
  run.confirmations.delete(name);
  status.state = 'waiting';
  run.awaitedCheck = name;
  run.wait(
    `a person to confirm the manual check "${name}"`,
    `Confirm with: kirikae confirm ${run.id} --by NAME --check ${shellWord(name)} (or --failed)`,
    confirmationChoices(run.id, name),
  );
  await condition(() => run.confirmations.has(name) || run.pageProblem !== null);
  run.awaitedCheck = null;
  run.goOn();
  status.state = 'running';
  const answer = run.confirmations.get(name);
  if (!answer) {
    await heedPage(run);
    return awaitConfirmation(run, name);
  }
  record(run, { step: 'smoke', name, passed: answer.passed, detail: `said ${answer.by}` });
  if (!answer.passed) throw new Error(`The manual check "${name}" failed, said ${answer.by}.`);
  await database.confirmCheck({ run: run.ref(), name, by: answer.by });
}

/** Notes what a check came to, for the report. */
export function record(run: Run, check: Omit<CheckReport, 'at'>): void {
  run.checks.push({ ...check, detail: oneLine(check.detail, LIMITS.sentence), at: now() });
}
