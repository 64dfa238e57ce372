/** Large objects stay where they are: what was noted with the seal is looked at again, forward and back. */
import type { WorkflowHandle } from '@temporalio/client';
import { leftovers } from '../lab/database-state';
import { query, schemaWith } from '../lab/stage';
import { approve, changePlan, untilStatus, type Migration, type PlanChange } from './support/migration';
import { checkHarmlessly } from './support/preflight';
import { runToEnd, sceneForEach } from './support/way-back';

const scene = sceneForEach('large-objects');
let migration: Migration;

// Seven, with grants for one.
async function layOut(change?: PlanChange): Promise<void> {
  migration = await scene.layOut(change);
  await query(
    migration.production.url,
    `select lo_from_bytea(5000 + n, 'large') from generate_series(1, 7) n;
     grant select on large object 5001 to pg_monitor; grant select on large object 5001 to pg_read_all_stats`,
  );
}

async function oids(): Promise<number[]> {
  const rows = await query<{ oid: number }>(
    migration.production.url,
    'select oid::int from pg_largeobject_metadata order by oid',
  );
  return rows.map(({ oid }) => oid);
}

const all = [5001, 5002, 5003, 5004, 5005, 5006, 5007];

test('preflight lets them be, and says what a run does about them', async () => {
  await layOut();
  const { findings, notes } = await checkHarmlessly(migration);
  expect(findings).toEqual([]);
  const note = notes.find((text) => text.includes('large objects')) ?? '';
  expect(note).toContain(
    'Production holds 7 large objects (5001, 5002, 5003, 5004, 5005, …). They belong to no schema and stay where they are',
  );
  const [version] = await query<{ n: number }>(
    migration.production.url,
    `select current_setting('server_version_num')::int as n`,
  );
  expect(note.includes('the fence does not hold for them')).toBe((version?.n ?? 0) < 160_000);
});

test('one that the schema step removes fails verify by its oid, and is a note when the old rows are back', async () => {
  await layOut();
  const dir = schemaWith(
    migration,
    'select lo_unlink(oid) from pg_catalog.pg_largeobject_metadata where oid > 5001;',
  );
  changePlan(migration, (plan) => (plan.schema = { kind: 'sql', dir }));
  const ending = await runToEnd(scene, migration, approve);
  const missing = 'missing: 6 (5002, 5003, 5004, 5005, 5006, …)';
  expect(ending.status).toMatchObject({ outcome: 'rolled-back', parked: false });
  expect(ending.status.steps.filter(({ state }) => state === 'failed').map(({ name }) => name)).toEqual([
    'verify',
  ]);
  expect(ending.sentence).toContain(missing);
  expect(ending.status.notes.filter((note) => note.includes('The way back brings'))).toEqual([
    expect.stringContaining(missing),
  ]);
  expect(await leftovers(migration)).toEqual([]);
});

test('other owners and grants are a note, and the same grants in another order are none', async () => {
  await layOut();
  const dir = schemaWith(
    migration,
    `do $$ begin if exists (select from pg_catalog.pg_largeobject_metadata) then
       revoke select on large object 5001 from pg_monitor; grant select on large object 5001 to pg_monitor;
       alter large object 5002 owner to pg_monitor;
       grant select on large object 5003 to public;
     end if; end $$;`,
  );
  changePlan(migration, (plan) => (plan.schema = { kind: 'sql', dir }));
  const ending = await runToEnd(scene, migration, approve);
  expect(ending.status.outcome).toBe('migrated');
  expect(ending.status.notes.filter((note) => note.includes('arge object'))).toEqual([
    expect.stringContaining('Production holds 7 large objects'),
    expect.stringMatching(
      /have other owners or grants .*: 2 \(5002: owner postgres, .*now owner pg_monitor.* \| 5003: .*=r\/postgres.*\)/,
    ),
  ]);
  expect(await oids()).toEqual(all);
  expect(await leftovers(migration)).toEqual([]);
});

const manual: PlanChange = (plan) => {
  plan.reset = { mode: 'keep' };
  plan.smoke = [{ name: 'Looks right', kind: 'manual' }];
};

async function untilSmoke(handle: WorkflowHandle): Promise<void> {
  await approve(handle);
  await untilStatus(handle, ({ step, waitingFor }) => step === 'smoke' && waitingFor !== null);
}

test('old objects that were kept move home, and one that went meanwhile is a note', async () => {
  await layOut(manual);
  const ending = await runToEnd(scene, migration, async (handle) => {
    await untilSmoke(handle);
    await query(migration.production.url, 'select lo_unlink(5007)');
    const confirm = { by: 'bob', check: 'Looks right', passed: false };
    await handle.executeUpdate('confirm', { args: [confirm] });
  });
  expect(ending.status).toMatchObject({ outcome: 'rolled-back', parked: false });
  expect(ending.status.notes.filter((note) => note.includes('are missing'))).toEqual([
    expect.stringContaining('are missing: 1 (5007).'),
  ]);
  expect(await oids()).toEqual(all.slice(0, -1));
  expect(await leftovers(migration)).toEqual([]);
});

test('a run that was reset in Temporal goes back over them as they were noted', async () => {
  await layOut(manual);
  const ending = await runToEnd(scene, migration, async (handle) => {
    await untilSmoke(handle);
    const { events } = await handle.fetchHistory();
    const first = events?.find((event) => event.workflowTaskCompletedEventAttributes);
    const { runId } = await scene.client.workflowService.resetWorkflowExecution({
      namespace: scene.namespace,
      workflowExecution: { workflowId: handle.workflowId },
      workflowTaskFinishEventId: first?.eventId,
      requestId: 'large objects',
      reason: 'test',
    });
    const again = scene.client.workflow.getHandle(handle.workflowId, runId);
    await untilStatus(again, ({ parked }) => parked);
    await again.executeUpdate('retry', { args: [{ by: 'bob' }] });
  });
  expect(ending.status).toMatchObject({ outcome: 'rolled-back', parked: false });
  expect(ending.status.notes.filter((note) => note.includes('are missing'))).toEqual([]);
  expect(await oids()).toEqual(all);
  expect(await leftovers(migration)).toEqual([]);
});
