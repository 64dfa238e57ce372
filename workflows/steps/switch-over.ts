/** The switch-over itself: the destructive reset, the new schema, the rows, the proof. */
import { database, hostOf } from '../calls';
import { record } from '../checks';
import { copyRows } from '../copy-rows';
import { doStep } from '../do-step';
import { indexesMade } from './back-up';
import type { Run } from '../run';

export async function reset(run: Run): Promise<void> {
  await doStep(run, { name: 'reset', until: 'reset' }, async () => {
    await indexesMade(run);
    await hostOf(run.plan.hostQueue).probePage({ run: run.ref() });
    run.moved(await database.reset({ run: run.ref() }));
    run.at('reset').rows = run.at('reset').rowsTotal;
  });
}

export async function deploySchema(run: Run): Promise<void> {
  await doStep(run, { name: 'deploySchema', until: 'built' }, async () => {
    run.moved(await hostOf(run.plan.hostQueue).deploySchema({ run: run.ref() }));
  });
}

export async function migrate(run: Run): Promise<void> {
  await doStep(run, { name: 'migrate', until: 'migrated' }, async () => {
    const plan = await database.beginMigrate({ run: run.ref() });
    const rows = await copyRows(run, {
      status: run.at('migrate'),
      phase: { name: 'migrate', attempt: 1 },
      plan,
      ref: run.ref(),
    });
    run.at('migrate').rowsTotal = rows;
    run.at('verify').rowsTotal = rows;
    run.moved(await database.finishMigrate({ run: run.ref() }));
  });
}

/** Proves the result; the fence is lifted in the same transaction. */
export async function verify(run: Run): Promise<void> {
  await doStep(run, { name: 'verify', until: 'verified' }, async () => {
    const verified = await database.verify({ run: run.ref() });
    run.tables = verified.tables;
    run.dropped = verified.dropped;
    run.at('verify').rows = verified.rows;
    run.at('verify').rowsTotal = verified.rows;
    for (const name of verified.assertions)
      record(run, { step: 'verify', name, passed: true, detail: 'no row returned' });
    run.moved(verified.moved);
  });
}
