/** What others do to a run's ledger and shadow while it is under way: neither is taken for what it isn't. */
import type { WorkflowHandle } from '@temporalio/client';
import { definitionOf, stateOf } from '../lab/database-state';
import { until, withDatabase } from '../lab/stage';
import {
  approve,
  problemsOf,
  startRun,
  statusOf,
  untilStatus,
  withWorker,
  type Migration,
} from './support/migration';
import { openNamespace, type TestNamespace } from './support/namespace';
import { endOf, expectAsBefore, refusalOf, sceneForEach } from './support/way-back';

const scene = sceneForEach('meanwhile');
test('a ledger that somebody drops in mid-run is not taken for nothing happened: retry restores nothing, and roll-back brings the old rows back', async () => {
  const migration = await scene.layOut((plan) => (plan.smoke = [{ name: 'Looks right', kind: 'manual' }]));
  const before = await stateOf(migration.production.url);
  await withWorker(migration, scene.namespace, async () => {
    const handle = await startRun(scene.client);
    await approve(handle);
    await untilStatus(handle, ({ step, waitingFor }) => step === 'smoke' && waitingFor !== null);
    await withDatabase(migration.production.url, (client) => client.query('drop schema kirikae cascade'));
    const dropped = await stateOf(migration.production.url);
    await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: true }] });
    const parked = await untilStatus(handle, (status) => status.parked);
    expect(parked.waitingFor).toMatch(
      /doesn't agree: the ledger is at nothing, its mirror in the backup at deployed .* Nothing was changed\./,
    );
    expect((await fetch(migration.pageUrl)).status).toBe(503);
    await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
    const rollBack = { by: 'bob', acceptLoss: true };
    await until(async () => {
      if ((await statusOf(handle)).outcome !== null) throw new Error('The run ended.');
      expect(await stateOf(migration.production.url)).toEqual(dropped);
      return (await refusalOf(handle, 'rollBack', rollBack)) === 'accepted';
    });
    expect((await endOf(handle)).status.outcome).toBe('rolled-back');
  });
  await expectAsBefore(migration, before);
});

test('two plans with the same shadow both end migrated, each with every index and key', async () => {
  const first = await scene.layOut();
  const shadow = Object.keys(first.env).find((name) => name.startsWith('SHADOW_'));
  const second = await scene.layOut((plan) => {
    (plan.databases as Record<string, object>).shadow = { urlEnv: shadow, create: true };
  });
  const other: TestNamespace = await openNamespace('meanwhile-second');
  try {
    await withWorker(first, scene.namespace, async () => {
      const one = await startRun(scene.client);
      await untilApproval(one);
      // The second has its preflight, on that shadow, while the first waits.
      await withWorker(second, other.namespace, async () => {
        const two = await startRun(other.client);
        await untilApproval(two);
        for (const handle of [one, two]) {
          await approve(handle);
          expect((await endOf(handle)).status.outcome).toBe('migrated');
        }
      });
    });
  } finally {
    await other.close();
  }
  for (const migration of [first, second]) expect(await problemsOf(migration)).toEqual([]);
  const [keys, others] = [await keysAndIndexes(first), await keysAndIndexes(second)];
  expect(keys).toEqual(others);
  expect(keys.filter((line) => line.includes('FOREIGN KEY')).length).toBeGreaterThan(20);
});

const untilApproval = (handle: WorkflowHandle) =>
  untilStatus(handle, ({ step, waitingFor }) => step === 'approval' && waitingFor !== null);

async function keysAndIndexes({ production }: Migration): Promise<string[]> {
  const definition = await definitionOf(production.url, []);
  return definition.filter((line) => /ADD CONSTRAINT|CREATE (UNIQUE )?INDEX/.test(line)).sort();
}
