/** The switch-over itself: the destructive reset, the new schema, the rows, the proof. */
import { database, hostOf } from '../calls';
import { record } from '../checks';
import { copyRows } from '../copy-rows';
import { doStep } from '../do-step';
import type { Run } from '../run';

export async function reset(run: Run): Promise<void> {
  await doStep(run, 'reset', async () => {
    await run.indexing?.done;
    await database.confirmClaim({ run: run.ref() });
    await hostOf(run.plan.hostQueue).probePage({ run: run.ref() });
    await database.reset({ run: run.ref() });
  });
}

export async function deploySchema(run: Run): Promise<void> {
  await doStep(run, 'deploySchema', () => hostOf(run.plan.hostQueue).deploySchema({ run: run.ref() }));
}

export async function migrate(run: Run): Promise<void> {
  await doStep(run, 'migrate', async () => {
    const plan = await database.beginMigrate({ run: run.ref() });
    const rows = await copyRows(run, {
      step: 'migrate',
      phase: { name: 'migrate', attempt: 1 },
      plan,
      ref: run.ref(),
    });
    run.at('migrate').rowsTotal = rows;
    await database.finishMigrate({ run: run.ref() });
  });
}

/** Proves the result, then lifts the fence. */
export async function verify(run: Run): Promise<void> {
  await doStep(run, 'verify', async () => {
    const verified = await database.verify({ run: run.ref() });
    run.tables = verified.tables;
    run.dropped = verified.dropped;
    run.at('verify').rows = verified.rows;
    run.at('verify').rowsTotal = verified.rows;
    for (const name of verified.assertions)
      record(run, { step: 'verify', name, passed: true, detail: 'no row returned' });
    await database.liftFence({ run: run.ref() });
  });
}
