/** What a person says to a run: `approve`, `reject`, `confirm`, `retry`, `settle`, `roll-back`, `retire-backup`, and `cancel`. */
import { WorkflowUpdateFailedError } from '@temporalio/client';
import {
  type ApprovalPayload,
  type CommandName,
  type ConfirmPayload,
  type OperatorPayload,
  type RollBackPayload,
  type Status,
} from '../src/contract';
import { UsageError } from '../src/errors';
import { type Temporal, askServer, askWorker, requireWorker, withTemporal } from './connection';
import { CommandFailed, Unanswered, innermostMessage } from './failures';
import { lookAtRun } from './run-view';
import { type CommonOptions, type Io, askYesNo, print, printJson } from './terminal';

export interface DecisionOptions extends CommonOptions {
  by: string;
  note?: string;
}

export interface ConfirmOptions extends DecisionOptions {
  check: string;
  failed?: boolean;
}

type Payload = ApprovalPayload | ConfirmPayload | OperatorPayload | RollBackPayload;

/** Sends `approve` or `reject` with the fingerprint given, else the one the status shows, which is printed. */
export function decideApproval(
  io: Io,
  name: 'approve' | 'reject',
  id: string,
  options: DecisionOptions & { fingerprint?: string },
): Promise<number> {
  return send(io, name, id, options, (status) => {
    const fingerprint = options.fingerprint ?? status.backup?.fingerprint;
    if (!fingerprint) {
      throw new CommandFailed(
        `The run ${id} shows no fingerprint to ${name}: it is at step ${status.step}, and the backup is not sealed. ${status.nextAction}`,
      );
    }
    if (!options.json) print(io, `Fingerprint: ${fingerprint}`);
    return { ...base(options), fingerprint };
  });
}

/** Sends `confirm`: a manual check passed, or with `--failed` did not. */
export function confirmCheck(io: Io, id: string, options: ConfirmOptions): Promise<number> {
  return send(io, 'confirm', id, options, () => ({
    ...base(options),
    check: options.check,
    passed: !options.failed,
  }));
}

/** Sends `retry`, `settle`, `standDown` or `retireBackup`. */
export function tellRun(
  io: Io,
  name: 'retry' | 'settle' | 'standDown' | 'retireBackup',
  id: string,
  options: DecisionOptions,
): Promise<number> {
  return send(io, name, id, options, () => base(options));
}

/**
 * Sends `rollBack`, once somebody has accepted that rows written since are lost.
 * @throws UsageError when nobody did and there is no terminal to ask on
 */
export async function rollBack(
  io: Io,
  id: string,
  options: DecisionOptions & { acceptLoss?: boolean },
): Promise<number> {
  const question = `Restore the backup of ${id} over production? Everything users wrote since then is lost to them.`;
  const accepted =
    options.acceptLoss || options.yes || (io.isTerminal && (await askYesNo(io, options, question)));
  if (!accepted) {
    throw new UsageError([
      `Rolling back restores the backup over what users wrote since, and nobody has accepted that loss. Nothing was sent. Say so with: kirikae roll-back ${id} --by ${options.by} --accept-loss`,
    ]);
  }
  return send(io, 'rollBack', id, options, () => ({ ...base(options), acceptLoss: true }));
}

/** Asks Temporal to cancel a run: the polite stop, after which the ways back run. */
export function cancelRun(io: Io, id: string, options: CommonOptions): Promise<number> {
  return withTemporal(io, async (temporal) => {
    await askServer(temporal, () => temporal.client.workflow.getHandle(id).cancel());
    try {
      await requireWorker(temporal);
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      throw new CommandFailed(
        `The wish to stop ${id} is recorded, and takes effect when a worker is there. ${error.message}`,
      );
    }
    if (options.json) printJson(io, { workflowId: id, cancelRequested: true });
    else
      print(io, `Asked ${id} to stop. It undoes what it did first; watch it: kirikae status ${id} --watch`);
    return 0;
  });
}

function base({ by, note }: DecisionOptions): OperatorPayload {
  return note === undefined ? { by } : { by, note };
}

function send(
  io: Io,
  name: CommandName,
  id: string,
  options: CommonOptions,
  payloadFor: (status: Status) => Payload,
): Promise<number> {
  return withTemporal(io, async (temporal) => {
    // The look also proves that a worker answers: an update to nobody might be carried out much later.
    const { status, execution } = await lookAtRun(temporal, id);
    if (execution !== 'RUNNING' && execution !== 'PAUSED') {
      throw new CommandFailed(
        `${id} has ended (${status.outcome ?? execution}): nothing can be sent to it any more.`,
      );
    }
    const payload = payloadFor(status);
    await executeUpdate(temporal, id, name, payload);
    if (options.json) {
      printJson(io, { workflowId: id, update: name, payload, accepted: true });
      return 0;
    }
    print(io, `${id} accepted ${name} by ${payload.by}. Watch it: kirikae status ${id} --watch`);
    return 0;
  });
}

async function executeUpdate(
  temporal: Temporal,
  id: string,
  name: CommandName,
  payload: Payload,
): Promise<void> {
  const handle = temporal.client.workflow.getHandle(id);
  try {
    await askWorker(temporal, id, () => handle.executeUpdate(name, { args: [payload] }));
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) {
      throw new CommandFailed(`${id} refuses ${name}: ${innermostMessage(error)}`);
    }
    throw error;
  }
}
