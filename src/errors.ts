/** The errors of the product: what each means for a run, and the sentence an operator reads. */

/**
 * How a failure is treated (design: "Failure rules").
 * - `Outage`: retried by Temporal until it is over.
 * - `LongOutage`: one that is longer than the plan's `patience`: people are told, and it is retried all the same.
 * - `NeedsOperator`: parks the run; an operator repairs and says `retry`.
 * - `NeedsRepair`: the server takes no more, or doesn't let us in: from `reset` on as `NeedsOperator`, before it as `StepFailed`.
 * - `Overtaken`: the ledger is further on than this run's history, or the claim is another's.
 * - `DataDiffer`: a comparison that was carried out and found a difference.
 * - `Uncounted`: PostgreSQL has begun its counters anew, so whether production was written to since can't be told: it is copied aside first.
 * - `SnapshotLost`: the moment that a live source was read at is gone; the copy starts again.
 * - `StepFailed`: anything else; the step fails and the way back begins.
 */
export type FailureType =
  | 'Outage'
  | 'LongOutage'
  | 'NeedsOperator'
  | 'NeedsRepair'
  | 'Overtaken'
  | 'DataDiffer'
  | 'Uncounted'
  | 'SnapshotLost'
  | 'StepFailed'
  | 'UsageError';

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

// An outage is over by itself: connection lost (08), shut down or starting up (57P0), too many clients, serialization failure,
// deadlock, lock time-out, object in use. Not query_canceled (57014): somebody, or a time limit of theirs, stopped that one
// statement on purpose, and it would be stopped again.
const outageStates = /^(08...|57P0.|53300|40001|40P01|55P03|55006)$/;
// An operator repairs these: passwords and who may log in (28), disk full, out of memory.
const repairStates = /^(28...|53100|53200)$/;
// The statement's own: features, cardinality, values, constraints, syntax and names, limits, and what functions raise.
const statementStates = /^(0A|21|22|23|2F|38|39|42|44|54|P0)/;
const socketErrors = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ENOTCONN',
  'ESHUTDOWN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENETRESET',
  'EADDRNOTAVAIL',
  'ENOTFOUND',
  'EAI_AGAIN',
  // Of a stream over a socket that is gone; a pipeline reports any better reason first.
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
  'ERR_SOCKET_CLOSED',
  'ERR_SOCKET_CONNECTION_TIMEOUT',
]);
// What `pg` says without any code.
const driverOutage =
  /^(Connection terminated|Client has encountered a connection error|Client was closed and is not queryable|timeout expired|Query read timeout|There was an error establishing an SSL connection)/;
const driverPassword = /^SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be /;

/**
 * Says what any error means for a run; everything that has to know asks here. By its SQLSTATE or system code; without one by
 * the driver's words; else by what it was caused by. Of an AggregateError the first that is no plain failure decides.
 */
export function failureType(error: unknown): FailureType {
  if (error instanceof KirikaeError) return error.type;
  if (error instanceof AggregateError)
    return error.errors.map(failureType).find((type) => type !== 'StepFailed') ?? 'StepFailed';
  const code = codeOf(error) ?? '';
  if (outageStates.test(code) || socketErrors.has(code) || isMissingSocket(error)) return 'Outage';
  if (repairStates.test(code)) return 'NeedsRepair';
  if (!(error instanceof Error) || sqlStateOf(error) !== undefined) return 'StepFailed';
  if (code === '' && driverOutage.test(error.message)) return 'Outage';
  if (code === '' && driverPassword.test(error.message)) return 'NeedsRepair';
  return error.cause === undefined ? 'StepFailed' : failureType(error.cause);
}

// The socket file of a server on this host goes when the server does.
function isMissingSocket(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' && (error as { syscall?: unknown }).syscall === 'connect';
}

const textOfRepair =
  /password authentication failed|no password supplied|no pg_hba\.conf entry|pg_hba\.conf rejects|authentication failed for user|not permitted to log in|FATAL: +role ".*" does not exist|no space left on device|out of (shared )?memory/i;
const textOfFailure = /FATAL: +(database ".*" does not exist|permission denied for database)/i;
const textOfOutage =
  /connection to server .* failed|could not connect|server closed the connection|no connection to the server|could not (receive|send) .*(data|server)|SSL SYSCALL|terminating connection|terminated abnormally|recovery mode|not (yet )?accepting connections|starting up|shutting down|too many clients|remaining connection slots|could not translate host|deadlock detected|due to lock timeout|could not serialize access/i;

/** The same for a program that speaks to PostgreSQL and reports in words (`pg_dump`). A server's own may be in its language. */
export function failureTypeOfText(text: string): FailureType {
  if (textOfRepair.test(text)) return 'NeedsRepair';
  if (textOfFailure.test(text)) return 'StepFailed';
  return textOfOutage.test(text) ? 'Outage' : 'StepFailed';
}

/** True when the statement itself is wrong, or wrong for the rows it met: the server answered, and would again. */
export function isStatementsFault(error: unknown): boolean {
  return failureType(error) === 'StepFailed' && statementStates.test(sqlStateOf(error) ?? '');
}

/**
 * For every catch that puts an error into a sentence: throws a StepFailed with the sentence that `say` makes of why it failed.
 * What is no plain failure (an outage, an operator's matter) and what is a KirikaeError already is thrown on as it is.
 */
export function failWith(error: unknown, say: (why: string) => string): never {
  if (error instanceof KirikaeError || failureType(error) !== 'StepFailed') throw error;
  throw new KirikaeError('StepFailed', say(sentence(error)), { cause: error });
}

/** The SQLSTATE or system error code of an error, or of the first error inside an AggregateError. */
export function codeOf(error: unknown): string | undefined {
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** The SQLSTATE of an error that PostgreSQL reported. */
export function sqlStateOf(error: unknown): string | undefined {
  const code = codeOf(error);
  // System errors such as EPERM have five letters too.
  return code !== undefined && /^(?!E[A-Z]{4}$)[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** One line of text for any thrown value, without row data (`detail` and `where` of PostgreSQL errors are left out). */
export function sentence(error: unknown): string {
  if (error instanceof AggregateError) return sentence(error.errors[0]);
  if (error instanceof Error) return error.message || codeOf(error) || error.name;
  return String(error);
}
