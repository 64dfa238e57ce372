/** Talking to a run: its status, waiting for what it shows, approving, and workers while that goes on. */
import type { WorkflowHandle } from '@temporalio/client';
import type { Worker } from '@temporalio/worker';
import { until } from '../../lab/stage';
import type { Status } from '../../src/contract';

/** Runs workers while `work` runs; one that fails ends the wait. */
export async function runUntil<T>(workers: readonly Worker[], work: () => Promise<T>): Promise<T> {
  const running = workers.map((worker) => worker.run());
  const failed = Promise.all(running).then(() => {
    throw new Error('The workers ended before the work was done.');
  });
  try {
    return await Promise.race([work(), failed]);
  } finally {
    failed.catch(() => undefined);
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
    await Promise.all(running);
  }
}

export async function statusOf(handle: WorkflowHandle): Promise<Status> {
  return handle.query<Status>('status');
}

/** Waits until the status satisfies; fails early when the run has ended otherwise. */
export async function untilStatus(
  handle: WorkflowHandle,
  wanted: (status: Status) => boolean,
): Promise<Status> {
  let last: Status | undefined;
  await until(async () => {
    last = await statusOf(handle);
    if (wanted(last)) return true;
    if (last.outcome !== null)
      throw new Error(`The run ended as ${last.outcome}: ${JSON.stringify(last.notes)}`);
    return false;
  });
  return last as Status;
}

/** Waits for the approval step and approves with the status's fingerprint. */
export async function approve(handle: WorkflowHandle, by = 'bob'): Promise<Status> {
  const status = await untilStatus(handle, (s) => s.step === 'approval' && s.waitingFor !== null);
  await handle.executeUpdate('approve', { args: [{ by, fingerprint: status.backup?.fingerprint }] });
  return status;
}

/** The final status of a run, however it closed. */
export async function ending(handle: WorkflowHandle): Promise<Status> {
  await handle.result().catch(() => undefined);
  return statusOf(handle);
}
