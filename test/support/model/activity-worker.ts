/** The worker of the model: activities act on the stubbed world when they are told to, fail as they are told to, and are retried. */
import { needsPage } from '../../../src/ledger/phases';
import { hasReached } from '../../../src/ledger/phases';
import { stubbedActivities } from '../stubbed-activities';
import type { Stubs } from '../stubbed-run';
import { ApplicationFailure } from '@temporalio/client';
import type { Activity, Answer } from './execution';
import { thrown, timedOut } from './jobs';

export type ErrorType = 'StepFailed' | 'Outage' | 'NeedsOperator' | 'DataDiffer' | 'Overtaken';

export type How =
  /** It acts, and is heard of; one that is to be cancelled is cancelled before it acts. */
  | 'done'
  /** It acts, and is heard of later. */
  | 'act'
  /** It acts, although it is to be cancelled. */
  | 'despite'
  | { fails: ErrorType; when: 'before' | 'after' };

interface Attention {
  how: How;
  runId: string;
  nowMs: number;
}

const firstWaitMs = 1_000;
const longestWaitMs = 15_000;
const lookEveryMs = 10_000;
const long = ['watchPage', 'holdBackup'];

export class ActivityWorker {
  private how: How = 'done';
  private runId = '';
  private readonly activities: Record<string, (input: unknown) => Promise<unknown>>;

  constructor(private readonly stubs: Stubs) {
    const did = async <T>(call: string, act: () => T | Promise<T>): Promise<T> => {
      stubs.calls.push(call);
      const { how } = this;
      const failing = typeof how === 'object' ? failureOf(call, how.fails) : null;
      if (failing && typeof how === 'object' && how.when === 'before') throw failing;
      const result = await act();
      if (failing) throw failing;
      return result;
    };
    this.activities = stubbedActivities(stubs, did, () => this.runId) as never;
  }

  /** False while a long one goes on. */
  isReady({ name, nextLookMs, isCancelled, isTold }: Activity): boolean {
    return !isTold && (!long.includes(name) || nextLookMs === null || isCancelled);
  }

  /** Attends to an activity. @returns its answer; null where the run hears of nothing yet */
  async attend(activity: Activity, attention: Attention): Promise<Answer | null> {
    const { runId, nowMs } = attention;
    // It asks Temporal alone, which is there or not.
    const isAsking = activity.name === 'lookBack';
    const { how: asked } = attention;
    const how = isAsking && typeof asked === 'object' && asked.fails !== 'Outage' ? 'done' : asked;
    const { answer } = activity;
    if (answer) {
      activity.answer = null;
      return answer;
    }
    if (activity.isCancelled && (how === 'done' || long.includes(activity.name))) return { cancelled: true };
    if (long.includes(activity.name) && typeof how !== 'object') return this.begin(activity, attention);
    this.how = how;
    this.runId = runId;
    const came = await this.activities[activity.name]?.(activity.input).then(
      (value): Answer => ({ value }),
      (error: unknown) => failed(activity, error as ApplicationFailure, nowMs),
    );
    if (came === undefined) throw new Error(`There is no activity ${activity.name}.`);
    if (how === 'act' && came) {
      activity.answer = came;
      return null;
    }
    return came;
  }

  /** A worker that goes takes what nobody has heard of yet with it. */
  lose(activity: Activity): void {
    activity.answer = null;
    activity.nextLookMs = null;
  }

  private begin(activity: Activity, attention: Attention): Answer | null {
    activity.nextLookMs = attention.nowMs;
    return this.lookAgain(activity, attention);
  }

  /** What a long activity does every now and then (src/host/page-watch.ts, activities/close.ts). */
  lookAgain(activity: Activity, { runId, nowMs }: Omit<Attention, 'how'>): Answer | null {
    activity.nextLookMs = nowMs + lookEveryMs;
    const { world } = this.stubs;
    try {
      if (activity.name === 'holdBackup') {
        if (activity.attempt === 1) world.own(runId, ['aside', 'emptied']);
        activity.attempt += 1;
        return null;
      }
      const { standing } = world.own(runId);
      if (!needsPage(standing.phase)) world.own(runId, []);
      if (world.page === 'on') return null;
      world.page = 'on';
      if (!hasReached(standing.phase, 'verified') || world.lateRows === 0) return null;
      return { failure: thrown('NeedsOperator', 'The maintenance page was found off, and users wrote.') };
    } catch (error) {
      return { failure: thrown('Overtaken', (error as Error).message) };
    }
  }
}

function failed(activity: Activity, error: ApplicationFailure, nowMs: number): Answer | null {
  const { type, message } = error;
  if (!type) throw error;
  const failure = thrown(type, message);
  const { attempt, maximumAttempts, untilMs, isCancelled } = activity;
  if (type !== 'Outage' || (maximumAttempts > 0 && attempt >= maximumAttempts)) return { failure };
  if (isCancelled) return { cancelled: true };
  activity.attempt += 1;
  activity.notBeforeMs = nowMs + Math.min(longestWaitMs, firstWaitMs * 1.5 ** (attempt - 1));
  if (untilMs !== null && activity.notBeforeMs >= untilMs) return { failure: timedOut(failure) };
  return null;
}

function failureOf(call: string, type: ErrorType): ApplicationFailure {
  const message = `${call}: ${type}, as the model wants it.`;
  return ApplicationFailure.create({ type, message, nonRetryable: type !== 'Outage' });
}
