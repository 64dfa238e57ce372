/** Before anything is changed: preflight and the announcement. */
import { LIMITS, oneLine } from '../../src/text';
import { early, earlyHostOf } from '../calls';
import { doStep } from '../do-step';
import { Refused, problemOf } from '../failures';
import { tell } from '../people';
import { predictWindowMs } from '../progress';
import type { Run } from '../run';

/** Reads the plan, confirms the checklist and checks everything that can be checked without changing production. */
export async function preflight(run: Run): Promise<void> {
  await doStep(run, { name: 'preflight', until: 'claimed' }, async () => {
    run.begin(await early.outlinePlan({ run: run.refBack() }));
    const confirmed = run.input.checklist ?? [];
    const missing = run.plan.checklist.filter(
      (item) => !confirmed.includes(oneLine(item, LIMITS.checklistItem)),
    );
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
      const deployedFromMs = Date.now();
      const deploy = await host.deployToShadow({ run: run.ref() });
      const schemaStepMs = Date.now() - deployedFromMs;
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
      const { bytes, tables } = first;
      const windowMs = predictWindowMs({ bytes, tables, schemaStepMs });
      run.predictedEndMs = Date.now() + windowMs;
    }
    if (reasons.length > 0) throw new Refused(reasons);
  });
}

export async function announce(run: Run): Promise<void> {
  await doStep(run, { name: 'announce', until: 'claimed' }, async () => {
    const text = `${run.plan.name}: maintenance begins now, predicted end ${run.predictedEnd ?? 'unknown'} plus the time that persons and the deploys of applications take (workflow ${run.id}).`;
    await tell(run, text);
  });
}

function noHost(run: Run, error: unknown): string {
  const queue = run.plan.hostQueue ?? 'offline-migration';
  return `The host's worker did not answer on task queue ${queue}: ${problemOf(error).message} Start kirikae worker there.`;
}
