/** The maintenance page: turned on and off, and believed only when a probe from outside shows it. */
import path from 'node:path';
import { namedVariables } from '../settings/environment';
import type { Plan } from '../settings/read';
import { milliseconds } from '../settings/schema';
import { runCommand } from './command';
import { putFlag, removeFlag, type FlagOwner } from './flag-file';
import { actOnFreshLook } from './fresh-look';
import { probeMaintenance } from './probe';

/** Who turns the page: what the flag file says, what a command gets as KIRIKAE_CLAIM and KIRIKAE_WINDOW. */
export interface PageHolder extends FlagOwner {
  /** Asks the ledger; awaited at most 5 s before the act, and every 10 s while a command runs. Throws when the ledger doesn't allow it. */
  mayAct: () => Promise<void>;
}

export interface PageTurn {
  /** The same for every attempt: see `Command`. */
  key: string;
  holder: PageHolder;
  signal?: AbortSignal;
}

/**
 * Turns the page on or off and waits until the probe shows it.
 *
 * A flag file that people put there by hand (it names no claim) is taken over when the page is turned on, and removed when
 * it is turned off: the page comes down when the run says so. What preflight finds there it refuses, so that such a flag
 * was put there during the run. A flag of a newer window of the same claim, or of another claim, is never touched.
 * @throws KirikaeError Overtaken when the flag is another's; StepFailed when the page doesn't show within `probe.within`;
 * what `mayAct` throws
 */
export async function turnMaintenance(
  plan: Plan,
  page: 'on' | 'off',
  { key, holder, signal }: PageTurn,
): Promise<void> {
  const { maintenance } = plan;
  if (maintenance.kind === 'nginx') {
    const file = path.resolve(plan.folder, maintenance.flagFile);
    await actOnFreshLook(holder.mayAct, () => {
      signal?.throwIfAborted();
      if (page === 'on') putFlag(file, holder);
      else removeFlag(file, holder);
    });
  } else {
    await runCommand({
      run: maintenance[page],
      cwd: path.resolve(plan.folder, maintenance.cwd ?? '.'),
      env: { ...namedVariables(maintenance.env), ...variablesFor(holder) },
      timeoutMs: milliseconds(maintenance.timeout),
      key: `${key} maintenance ${page}`,
      mayRun: holder.mayAct,
      ...(signal ? { signal } : {}),
    });
  }
  await probeMaintenance(plan, page, signal);
}

function variablesFor({ claim, window }: FlagOwner): NodeJS.ProcessEnv {
  return { KIRIKAE_CLAIM: claim, KIRIKAE_WINDOW: String(window) };
}
