/** What every activity passes through: heartbeats, and failures without secrets. */
import { Context, CancelledFailure, CompleteAsyncError } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { ActivityInboundCallsInterceptor } from '@temporalio/worker';
import type { Heartbeat, StepName } from '../src/contract';
import { failureType, sentence, sqlStateOf } from '../src/errors';
import { knowingStandbyWaits, waitsForStandby } from '../src/postgres/deadline';
import { fold, LIMITS, lines } from '../src/text';
import { outageOf, type MetOutage } from './outage';

/** Turns an error into the ApplicationFailure that Temporal records; only an `Outage` is retried. */
export function toFailure(error: unknown, redact: (text: string) => string): ApplicationFailure {
  const type = failureType(error);
  const code = sqlStateOf(error);
  const hint = type === 'StepFailed' && code ? ` (SQLSTATE ${code})` : '';
  const failure = ApplicationFailure.create({
    type,
    message: said(sentence(error) + hint, redact),
    nonRetryable: type !== 'Outage',
  });
  failure.stack = `${type}: ${failure.message}`;
  return failure;
}

type Counts = Required<Pick<Heartbeat, 'step' | 'rows' | 'bytes'>>;

const progress = new WeakMap<Context, Counts>();

/** Counts rows and bytes in flight into the next heartbeats of this activity. */
export function countProgress(step: Counts['step']): (rows: number, bytes?: number) => void {
  const counts: Counts = { step, rows: 0, bytes: 0 };
  progress.set(Context.current(), counts);
  return (rows, bytes = 0) => {
    counts.rows += rows;
    counts.bytes += bytes;
  };
}

/** As `countProgress`, for work that reads two sides: a row counts when both of its readings are done. */
export function countBothSides(step: StepName): (rows: number) => void {
  const count = countProgress(step);
  let read = 0;
  return (rows) => {
    const before = Math.floor(read / 2);
    read += rows;
    count(Math.floor(read / 2) - before);
  };
}

/** Heartbeats every second for every activity, and turns whatever it throws into a failure without secrets. */
export function guardActivities(
  redact: (text: string) => string,
  patienceMs: (plan: string) => number,
): (context: Context) => { inbound: ActivityInboundCallsInterceptor } {
  return (context) => ({
    inbound: {
      execute: (input, next) =>
        knowingStandbyWaits(async () => {
          const outage = outageOf(context);
          const beat = () => context.heartbeat(heartbeatOf(context, outage, redact));
          const timer = setInterval(beat, 1_000);
          try {
            return withoutSecrets(await next(input), redact);
          } catch (error) {
            if (error instanceof CancelledFailure || error instanceof CompleteAsyncError) throw error;
            if (context.cancellationSignal.aborted) throw context.cancellationSignal.reason;
            if (error instanceof ApplicationFailure) {
              throw ApplicationFailure.create({
                type: error.type ?? 'StepFailed',
                message: said(error.message, redact),
                nonRetryable: error.nonRetryable ?? false,
              });
            }
            const failure = toFailure(error, redact);
            if (failure.type !== 'Outage') throw failure;
            const sinceMs = outage.begin(failure.message);
            beat();
            throw Date.now() - sinceMs > patienceMs(planOf(input.args)) ? lasting(failure, sinceMs) : failure;
          } finally {
            clearInterval(timer);
          }
        }),
    },
  });
}

// The workflow tells people, and calls the activity again.
function lasting({ message }: ApplicationFailure, sinceMs: number): ApplicationFailure {
  return ApplicationFailure.create({ type: 'LongOutage', message, details: [sinceMs], nonRetryable: true });
}

function planOf(args: unknown[]): string {
  const [first] = args as [{ run?: { plan?: unknown } } | undefined];
  return typeof first?.run?.plan === 'string' ? first.run.plan : '';
}

function heartbeatOf(context: Context, met: MetOutage, redact: (text: string) => string): Heartbeat {
  const counts: Heartbeat = progress.get(context) ?? {};
  if ((counts.rows ?? 0) > 0) met.end();
  const [wait] = waitsForStandby();
  const outage = wait ? { ...wait, error: said(wait.error, redact) } : met.outage;
  return outage ? { ...counts, outage } : counts;
}

// What activities say to people may quote a command or a driver, on success too. Names, hashes and counts stay as they are:
// a short password would tear holes into them.
function withoutSecrets(result: unknown, redact: (text: string) => string): unknown {
  if (typeof result === 'string') return said(result, redact);
  if (Array.isArray(result))
    return shortList(result.map((item: unknown) => (typeof item === 'string' ? said(item, redact) : item)));
  if (typeof result !== 'object' || result === null) return result;
  const spoken = Object.entries(result).filter(([name]) => name === 'findings' || name === 'notes');
  return {
    ...result,
    ...Object.fromEntries(spoken.map(([name, sentences]) => [name, withoutSecrets(sentences, redact)])),
  };
}

// Redacted first: half of a secret would not be found.
function said(text: string, redact: (text: string) => string): string {
  return lines(redact(text), LIMITS.sentence);
}

// Temporal takes 2 MB as a result.
function shortList(items: unknown[]): unknown[] {
  const { first, leftOut, last } = fold(items, { count: 1_000, bytes: 500_000 });
  return leftOut === 0 ? items : [...first, `… ${leftOut} more are left out here …`, ...last];
}
