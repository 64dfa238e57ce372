/** What a failed command says and returns: one sentence a problem and an exit code, never a stack trace. */
import { WorkflowNotFoundError } from '@temporalio/client';
import { UsageError, sentence } from '../src/errors';

/** A command that could not do its work; the message is the sentence for the person who typed it. */
export class CommandFailed extends Error {
  constructor(
    message: string,
    readonly exitCode = 1,
  ) {
    super(message);
  }
}

/** No server or no worker answered in time; asking again later may help. */
export class Unanswered extends CommandFailed {}

/** Problems to print, one a line, and the exit code of any thrown value. */
export function describeFailure(error: unknown): { problems: string[]; exitCode: number } {
  if (error instanceof UsageError) return { problems: error.problems, exitCode: 2 };
  if (error instanceof CommandFailed) return { problems: [error.message], exitCode: error.exitCode };
  if (isInterruptedQuestion(error)) {
    return { problems: ['The question was left unanswered, so nothing was done.'], exitCode: 1 };
  }
  return { problems: [`Unexpected: ${firstLine(sentence(error))}`], exitCode: 1 };
}

/**
 * A sentence for an error of Temporal's client; errors that are none of Temporal's come back unchanged.
 * @param where address and namespace that were asked
 */
export function explainServerError(error: unknown, where: { address: string; namespace: string }): unknown {
  if (error instanceof CommandFailed || error instanceof UsageError) return error;
  if (error instanceof WorkflowNotFoundError) {
    return new CommandFailed(
      `Namespace "${where.namespace}" at ${where.address} has no run of that ID that is still going on. List the runs with: temporal workflow list`,
    );
  }
  switch (grpcCode(error)) {
    case grpc.deadlineExceeded:
    case grpc.unavailable:
    case grpc.cancelled:
      return noServer(where);
    case grpc.permissionDenied:
    case grpc.unauthenticated:
      return new CommandFailed(
        `The Temporal server at ${where.address} refuses these credentials for namespace "${where.namespace}". Check TEMPORAL_API_KEY, TEMPORAL_NAMESPACE and the TLS settings.`,
      );
    case grpc.notFound:
      return new CommandFailed(
        `The Temporal server at ${where.address} does not know the namespace "${where.namespace}" or the run asked for. Check TEMPORAL_NAMESPACE and the ID.`,
      );
    default:
      return error;
  }
}

/** No server answers there. */
export function noServer(where: { address: string }): Unanswered {
  return new Unanswered(
    `No Temporal server answers at ${where.address}. Start it, or set TEMPORAL_ADDRESS to the server's host:port; then run this command again.`,
  );
}

/** The codes of gRPC that mean something to a person here. */
export const grpc = {
  cancelled: 1,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  failedPrecondition: 9,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** The gRPC code of an error or of one of its causes. */
export function grpcCode(error: unknown): number | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = (cause as { code?: unknown }).code;
    if (typeof code === 'number') return code;
  }
  return undefined;
}

/** The message of the innermost cause: what the other side said. */
export function innermostMessage(error: unknown): string {
  let message = sentence(error);
  for (let cause = error; cause instanceof Error; cause = cause.cause) message = cause.message || message;
  return message;
}

function isInterruptedQuestion(error: unknown): boolean {
  return error instanceof Error && /^(ExitPromptError|AbortPromptError|CancelPromptError)$/.test(error.name);
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? text;
}
