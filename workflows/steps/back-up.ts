/** The backup, and the approval of what follows it. */
import { CancellationScope, condition } from '@temporalio/workflow';
import { heedPage } from '../background';
import { database } from '../calls';
import { approvalChoices } from '../choices';
import { copyRows } from '../copy-rows';
import { doStep } from '../do-step';
import { problemOf, Rejected } from '../failures';
import { tell } from '../people';
import type { Background, Run } from '../run';

/** Rows copied and verified, sealed; indexes and keys follow while the approval is awaited. */
export async function backUp(run: Run): Promise<void> {
  await doStep(run, { name: 'backup', until: 'sealed' }, async () => {
    const plan = await database.beginBackup({ run: run.ref() });
    await copyRows(run, {
      status: run.at('backup'),
      phase: { name: 'backup', attempt: 1 },
      plan,
      ref: run.ref(),
    });
    const { moved, dropped, ...sealed } = await database.sealBackup({ run: run.ref() });
    run.moved(moved);
    run.dropped = dropped;
    run.at('backup').rows = sealed.rows;
    run.at('backup').rowsTotal = sealed.rows;
    run.at('reset').rowsTotal = sealed.rows;
    run.indexing = indexing(run);
    // The step approval is there when an approval can count, with what it is of.
    const { fingerprint } = await database.openApproval({ run: run.ref() });
    run.backup = { ...sealed, fingerprint };
  });
}

/** Waits for the backup's indexes. What people may have repaired since it failed is tried once more. @throws why they failed */
export async function indexesMade(run: Run): Promise<void> {
  await run.indexing?.done;
  if (run.indexingProblem?.type === 'NeedsOperator') {
    run.indexing = indexing(run);
    await run.indexing.done;
  }
  const problem = problemOfIndexing(run);
  if (problem) throw problem.error;
}

// Read by a function: the compiler believes that there is none.
function problemOfIndexing(run: Run) {
  return run.indexingProblem;
}

// A failure is looked at where the indexes are awaited, before the reset.
function indexing(run: Run): Background {
  const scope = new CancellationScope();
  run.indexingProblem = null;
  const done = scope
    .run(async () => {
      const { newRows } = await database.indexBackup({ run: run.ref() });
      run.at('migrate').rowsTotal = newRows;
      run.at('verify').rowsTotal = newRows;
    })
    .catch((error: unknown) => {
      run.indexingProblem = problemOf(error);
    });
  return { done, cancel: () => scope.cancel() };
}

/** Waits for the persons the plan asks for. @throws Rejected on rejection or time-out */
export async function awaitApproval(run: Run): Promise<void> {
  await doStep(run, { name: 'approval', until: 'approved' }, async () => {
    const ref = run.ref();
    const fingerprint = run.backup?.fingerprint ?? '';
    const status = run.at('approval');
    const { minimum, timeoutMs } = run.plan.approval;
    status.state = 'waiting';
    const who = minimum === 1 ? 'an approval' : `${minimum} approvals by different persons`;
    const wait = () =>
      run.wait(
        `${who} of the reset of ${run.plan.productionDatabase} (fingerprint ${fingerprint}, ${run.backup?.rows} rows in ${run.backup?.tables} tables are backed up and will be dropped)`,
        `Approve with: kirikae approve ${run.id} --by NAME --fingerprint ${fingerprint}`,
        approvalChoices(run.id, fingerprint),
      );
    wait();
    // An approval that comes at once isn't kept waiting for messages.
    const told = CancellationScope.nonCancellable(() =>
      tell(
        run,
        `${run.plan.name}: ${who} ${minimum === 1 ? 'is' : 'are'} waited for, fingerprint ${fingerprint} (workflow ${run.id}).`,
      ),
    );
    const isDecided = () => run.rejection !== null || run.approvals.size >= minimum;
    const untilMs = Date.now() + timeoutMs;
    const leftMs = () => Math.max(1, untilMs - Date.now());
    let decided = await condition(() => isDecided() || run.pageProblem !== null, leftMs());
    while (run.pageProblem) {
      await heedPage(run);
      wait();
      decided = await condition(() => isDecided() || run.pageProblem !== null, leftMs());
    }
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
    await told;
    const approvals = [...run.approvals].map(([by, at]) => ({ by, at }));
    run.moved(await database.approve({ run: ref, fingerprint, approvals }));
  });
}
