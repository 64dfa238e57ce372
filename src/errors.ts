/** The errors of the product: what each means for a run, and the sentence an operator reads. */

/**
 * How a failure is treated (design: "Failure rules").
 * - `Outage`: retried by Temporal until it is over.
 * - `NeedsOperator`: parks the run; an operator repairs and says `retry`.
 * - `Overtaken`: the ledger is further on than this run's history, or the claim is another's.
 * - `DataDiffer`: a comparison that was carried out and found a difference.
 * - `SnapshotLost`: the moment that a live source was read at is gone; the copy starts again.
 * - `StepFailed`: anything else; the step fails and the way back begins.
 */
export type FailureType =
  'Outage' | 'NeedsOperator' | 'Overtaken' | 'DataDiffer' | 'SnapshotLost' | 'StepFailed' | 'UsageError';

/** A failure with one sentence for people; `type` decides what the run does about it. */
export class KirikaeError extends Error {
  constructor(
    readonly type: FailureType,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = type;
  }
}

/** A user's own mistake: printed without a stack trace, exit code 2. One problem a line. */
export class UsageError extends KirikaeError {
  constructor(readonly problems: string[]) {
    super('UsageError', problems.join('\n'));
  }
}

const outageCodes = /^(08...|57P0.|53300|40001|40P01|55P03|55006)$/;
const operatorCodes = /^(28...|53100|53200)$/;
const socketErrors = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/**
 * Sorts any error into a FailureType by its SQLSTATE or socket code.
 * Serialization failures, deadlocks, lock time-outs and "database is being accessed" are treated like outages: they pass.
 */
export function failureType(error: unknown): FailureType {
  if (error instanceof KirikaeError) return error.type;
  const code = codeOf(error);
  if (code === undefined) return isLostConnection(error) ? 'Outage' : 'StepFailed';
  if (outageCodes.test(code) || socketErrors.has(code)) return 'Outage';
  if (operatorCodes.test(code)) return 'NeedsOperator';
  return 'StepFailed';
}

/** The SQLSTATE or system error code of an error, or of the first error inside an AggregateError. */
export function codeOf(error: unknown): string | undefined {
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** One line of text for any thrown value, without row data (`detail` and `where` of PostgreSQL errors are left out). */
export function sentence(error: unknown): string {
  if (error instanceof AggregateError) return sentence(error.errors[0]);
  if (error instanceof Error) return error.message || codeOf(error) || error.name;
  return String(error);
}

// `pg` reports a connection that ended under a query without any code.
function isLostConnection(error: unknown): boolean {
  return (
    error instanceof Error &&
    /Connection terminated|Client has encountered a connection error|connection is closed|timeout expired/i.test(
      error.message,
    )
  );
}
