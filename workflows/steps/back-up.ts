/** The backup, and the approval of what follows it. */
import { sha256 } from '@noble/hashes/sha2';
import { bytesToHex } from '@noble/hashes/utils';
import { CancellationScope, condition } from '@temporalio/workflow';
import { database } from '../calls';
import { copyRows } from '../copy-rows';
import { approveCommand } from '../details';
import { doStep } from '../do-step';
import { Rejected } from '../failures';
import { tell } from '../people';
import type { Run } from '../run';

/** Rows copied and verified, sealed; indexes and keys follow while the approval is awaited. */
export async function backUp(run: Run): Promise<void> {
  await doStep(run, 'backup', async () => {
    const plan = await database.beginBackup({ run: run.ref() });
    await copyRows(run, {
      step: 'backup',
      phase: { name: 'backup', attempt: 1 },
      plan,
      ref: run.ref(),
    });
    const { manifestHash, dropped, ...sealed } = await database.sealBackup({ run: run.ref() });
    run.dropped = dropped;
    run.backup = { ...sealed, fingerprint: fingerprint(manifestHash, run) };
    run.at('backup').rows = sealed.rows;
    run.at('backup').rowsTotal = sealed.rows;
    run.at('reset').rowsTotal = sealed.rows;
    run.at('migrate').rowsTotal = sealed.rows;
    run.at('verify').rowsTotal = sealed.rows;
    const scope = new CancellationScope();
    const done = scope.run(() => database.indexBackup({ run: run.ref() }));
    done.catch(() => undefined);
    run.indexing = { done, cancel: () => scope.cancel() };
  });
}

// Bound to this Temporal run: an approval that a Temporal reset re-applies carries another run's fingerprint.
// Bound to this Temporal run: an approval that a Temporal reset re-applies carries another run's fingerprint.
function fingerprint(manifestHash: string, run: Run): string {
  return bytesToHex(sha256(`${manifestHash}\n${run.plan.hash}\n${run.info.runId}`)).slice(0, 24);
}

/** Waits for the persons the plan asks for. @throws Rejected on rejection or time-out */
export async function awaitApproval(run: Run): Promise<void> {
  await doStep(run, 'approval', async () => {
    const status = run.at('approval');
    const { minimum, timeoutMs } = run.plan.approval;
    status.state = 'waiting';
    const who = minimum === 1 ? 'an approval' : `${minimum} approvals by different persons`;
    run.wait(
      `${who} of the reset of ${run.plan.productionDatabase} (fingerprint ${run.backup?.fingerprint}, ${run.backup?.rows} rows in ${run.backup?.tables} tables are backed up and will be dropped)`,
      `Approve with: kirikae approve ${run.id} --by NAME, or ${approveCommand(run.id, run.backup?.fingerprint ?? '')}`,
    );
    await tell(
      run,
      `${run.plan.name}: ${who} ${minimum === 1 ? 'is' : 'are'} waited for, fingerprint ${run.backup?.fingerprint} (workflow ${run.id}).`,
    );
    const decided = await condition(() => run.rejection !== null || run.approvals.size >= minimum, timeoutMs);
    if (run.rejection)
      throw new Rejected(
        `${run.rejection.by} rejected the reset${run.rejection.note ? `: ${run.rejection.note}` : ''}.`,
      );
    if (!decided)
      throw new Rejected(
        `No approval came within ${timeoutMs < 120_000 ? `${timeoutMs / 1_000} s` : `${Math.round(timeoutMs / 60_000)} minutes`}.`,
      );
    status.state = 'running';
    run.goOn();
  });
}
