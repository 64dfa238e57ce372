/** The steps of the runbook up to the approval: nothing is destroyed yet. */
import { CancellationScope, condition } from '@temporalio/workflow';
import { sha256 } from '@noble/hashes/sha2';
import { bytesToHex } from '@noble/hashes/utils';
import { database, early, earlyHostOf, hostOf } from './calls';
import { copyRows } from './copy-rows';
import { Refused, Rejected, problemOf } from './failures';
import { approveCommand } from './details';
import type { Run } from './run';

/** Reads the plan, confirms the checklist and checks everything that can be checked without changing production. */
export async function preflight(run: Run): Promise<void> {
  await run.doStep('preflight', async () => {
    run.plan = await early.outlinePlan({ plan: run.input.plan });
    const missing = run.plan.checklist.filter((item) => !run.input.checklist?.includes(item));
    const reasons = missing.map(
      (item) => `The checklist item "${item}" is not confirmed. Do it, then start with it in "checklist".`,
    );
    const host = earlyHostOf(run.plan.hostQueue);
    reasons.push(
      ...(await host.checkHost({ run: run.ref() }).catch((error: unknown) => [noHost(run, error)])),
    );
    const first = await early.checkDatabases({ run: run.ref() });
    reasons.push(...first.findings);
    // The shadow is prepared only when all databases are fit and nobody else has a claim.
    if (first.shadowReady) {
      const deploy = await host.deployToShadow({ run: run.ref() });
      const mapping = await early.checkMapping({
        run: run.ref(),
        catalogue: first.catalogue,
        deployed: deploy.length === 0,
      });
      reasons.push(...deploy, ...mapping.findings);
      run.dropped = mapping.dropped;
      run.tables = mapping.tables.map((table) => ({
        table: table.target,
        sourceRows: null,
        targetRows: null,
        origin: table.sources.join(' + '),
      }));
      for (const note of [...first.notes, ...mapping.notes]) run.note(note);
      run.at('backup').rowsTotal = first.rows;
      run.predictedEnd = predictEnd(first.bytes);
    }
    if (reasons.length > 0) throw new Refused(reasons);
  });
}

export async function announce(run: Run): Promise<void> {
  await run.doStep('announce', async () => {
    const text = `${run.plan.name}: maintenance begins now, predicted end ${run.predictedEnd ?? 'unknown'} plus the time the approval takes (workflow ${run.id}).`;
    await tell(run, text);
  });
}

/** A message that can't be delivered is a note and never stops a run. */
export async function tell(run: Run, text: string): Promise<void> {
  try {
    for (const note of await database.notify({ run: run.ref(true), text })) run.note(note);
  } catch (error) {
    run.note(`Stakeholders were not told: ${problemOf(error).message}`);
  }
}

export async function turnOnMaintenance(run: Run): Promise<void> {
  await run.doStep('maintenanceOn', async () => {
    await database.claim({ run: run.ref() }).catch((error: unknown) => {
      const { type, message } = problemOf(error);
      if (type === 'StepFailed') throw new Refused([message]);
      throw error;
    });
    run.claimed = true;
    await database.notePage({ run: run.ref(), on: true });
    run.pageOnAt = Date.now();
    await hostOf(run.plan.hostQueue).maintenanceOn({ run: run.ref() });
  });
}

export async function raiseFence(run: Run): Promise<void> {
  await run.doStep('fence', () => database.fence({ run: run.ref() }));
}

/** Rows copied and verified, sealed; indexes and keys follow while the approval is awaited. */
export async function backUp(run: Run): Promise<void> {
  await run.doStep('backup', async () => {
    const plan = await database.beginBackup({ run: run.ref() });
    await copyRows(run, 'backup', { name: 'backup', attempt: 1 }, plan.groups);
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
function fingerprint(manifestHash: string, run: Run): string {
  return bytesToHex(sha256(`${manifestHash}\n${run.plan.hash}\n${run.info.runId}`)).slice(0, 24);
}

/** Waits for the persons the plan asks for. @throws Rejected on rejection or time-out */
export async function awaitApproval(run: Run): Promise<void> {
  await run.doStep('approval', async () => {
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

// Backup, verification, migration and its verification move the data about six times; 20 MB/s is a modest server.
function predictEnd(bytes: number): string {
  const machineryMs = 60_000;
  return new Date(Date.now() + machineryMs + ((6 * bytes) / 20_000_000) * 1_000).toISOString();
}

function noHost(run: Run, error: unknown): string {
  const queue = run.plan.hostQueue ?? 'offline-migration';
  return `The host's worker did not answer on task queue ${queue}: ${problemOf(error).message} Start kirikae worker there.`;
}
