/** Watching the maintenance page while it must be on: whoever takes it down finds it on again within seconds. */
import { setTimeout as wait } from 'node:timers/promises';
import { KirikaeError, failureType, sentence } from '../errors';
import type { Plan } from '../settings/read';
import type { FlagOwner } from './flag-file';
import { freshMs, stopwatch, systemClocks, type Clocks } from './fresh-look';
import { turnMaintenance } from './page';
import { get } from './probe';

/** What the watch has to tell; `at` is ISO 8601 in UTC. */
export type PageSeen =
  /** Told before the page is turned on again; `saw` is the status, or why there was no answer. */
  | { kind: 'found off'; at: string; saw: string }
  /** Told when the reason changes, not at every attempt. */
  | { kind: 'still off'; at: string; why: string }
  | { kind: 'on again'; at: string };

export interface PageWatch {
  holder: FlagOwner;
  /** The same for every attempt: see `Command`. */
  key: string;
  /**
   * Asks the ledger whether the page must be on and this run is the one to see to it.
   * Throws KirikaeError Overtaken when not; anything else counts as no answer.
   */
  look: () => Promise<void>;
  /** Must not throw. */
  onSeen: (seen: PageSeen) => void;
  /** Ends the watch. The page is not touched after it. */
  signal: AbortSignal;
  /** 10 s by default. */
  everyMs?: number;
  clocks?: Clocks;
}

const lookLimitMs = 10_000;

/**
 * Probes the page every 10 s. Where it doesn't show, or its address doesn't answer, the ledger is asked and the page turned
 * on again, and so on until it shows.
 *
 * While the ledger doesn't answer the page is turned on as well: with the page on nobody loses a row, and the phases that
 * take it down are written only after this watch has ended. A watch that stood still for 5 s may have been taken for dead
 * and outlived, so that one waits for the ledger's answer.
 * @returns when the signal aborts
 * @throws KirikaeError Overtaken when ledger or flag say that the page is no longer this run's to keep on
 */
export async function watchPage(plan: Plan, watch: PageWatch): Promise<void> {
  const { signal, everyMs = 10_000, clocks = systemClocks } = watch;
  const continuity = new Continuity(clocks);
  try {
    let lastWhy: string | null = null;
    while (!signal.aborted) {
      const answer = await get(plan.maintenance.probe.url, signal);
      const isShown = answer.status === plan.maintenance.probe.on;
      if (!isShown && lastWhy === null) watch.onSeen({ kind: 'found off', at: now(), saw: answer.text });
      const why = isShown ? null : await turnOnAgain(plan, watch, continuity);
      if (why !== null && why !== lastWhy) watch.onSeen({ kind: 'still off', at: now(), why });
      if (why === null && (!isShown || lastWhy !== null)) watch.onSeen({ kind: 'on again', at: now() });
      lastWhy = why;
      await wait(everyMs, undefined, { signal });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    continuity.end();
  }
}

/** @returns null when the page shows again, else why it doesn't */
async function turnOnAgain(plan: Plan, watch: PageWatch, continuity: Continuity): Promise<string | null> {
  const { holder, key, look, signal, clocks = systemClocks } = watch;
  try {
    const age = stopwatch(clocks);
    const silence = await answerOf(look, signal);
    // An older answer may have been waiting to be read while this process stood still.
    if (silence === null && age.isWithin(freshMs)) continuity.renew();
    const mayAct = silence === null ? look : () => continuity.confirm(silence);
    await turnMaintenance(plan, 'on', { key, signal, holder: { ...holder, mayAct } });
    return null;
  } catch (error) {
    if (signal.aborted || failureType(error) === 'Overtaken') throw error;
    return sentence(error);
  }
}

/** @returns null when the ledger says that the page must be on, else why there is no answer @throws KirikaeError Overtaken */
async function answerOf(look: () => Promise<void>, signal: AbortSignal): Promise<string | null> {
  const answered = new AbortController();
  const limit = wait(lookLimitMs, `no answer within ${lookLimitMs / 1000} s`, {
    signal: AbortSignal.any([signal, answered.signal]),
  });
  try {
    return await Promise.race([look().then(() => null), limit]);
  } catch (error) {
    if (signal.aborted || failureType(error) === 'Overtaken') throw error;
    return sentence(error);
  } finally {
    answered.abort();
    limit.catch(() => undefined);
  }
}

/** Whether this process has run without a standstill since the ledger last answered. */
class Continuity {
  private isBroken = false;
  private sinceBeat;
  private readonly timer;

  constructor(private readonly clocks: Clocks) {
    this.sinceBeat = stopwatch(clocks);
    this.timer = setInterval(() => this.beat(), 1000);
  }

  renew(): void {
    this.sinceBeat = stopwatch(this.clocks);
    this.isBroken = false;
  }

  /** @throws KirikaeError Outage after a standstill */
  confirm(silence: string): Promise<void> {
    this.beat();
    return this.isBroken ? Promise.reject(new KirikaeError('Outage', unsure(silence))) : Promise.resolve();
  }

  end(): void {
    clearInterval(this.timer);
  }

  private beat(): void {
    this.isBroken ||= !this.sinceBeat.isWithin(freshMs);
    this.sinceBeat = stopwatch(this.clocks);
  }
}

function unsure(silence: string): string {
  return `The ledger does not say whether the page must be on (${silence}), and the worker stood still meanwhile: another one may have gone on. The page is turned on as soon as the ledger says so.`;
}

function now(): string {
  return new Date().toISOString();
}
