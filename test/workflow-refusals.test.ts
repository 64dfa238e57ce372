/** What a real worker refuses before anything is changed: unknown plans, unusable inputs, an unconfirmed checklist. */
import type { WorkflowFailedError } from '@temporalio/client';
import { TASK_QUEUE } from '../src/contract';
import { withDatabase } from '../lab/stage';
import { openNamespace, type TestNamespace } from './support/namespace';
import type { TestDatabase } from './support/environment';
import { layOutMigration, statusOf, withWorker, type Migration, backupOf } from './support/migration';
import { makeTumikiTemplate } from './support/tumiki-template';

let template: TestDatabase;
let server: TestNamespace;
let migration: Migration;
beforeAll(async () => {
  template = await makeTumikiTemplate(20);
  server = await openNamespace('refusals');
  migration = await layOutMigration(template.name);
});
afterAll(async () => {
  await server.close();
  await migration.drop();
  await template.drop();
});

const alice = { plan: 'tumiki', requestedBy: 'alice', checklist: ['Window announced'] };

test.each([
  [
    'an unknown plan',
    { ...alice, plan: 'other' },
    /^There is no plan "other" in .*Plans there: tumiki\. Name one of them\.$/,
  ],
  [
    'an empty input',
    {},
    /^The workflow's input is unusable \(plan: .*; requestedBy: .*\)\. Expected \{"plan":"NAME"/,
  ],
  ['no input', null, /^The workflow's input is unusable \(the input: .*\)\. Expected/],
  [
    'an input of the wrong types',
    { plan: 7, requestedBy: ['x'], checklist: 'all' },
    /plan: .*; requestedBy: .*; checklist: /,
  ],
  ['a blank name', { ...alice, requestedBy: ' ' }, /^The workflow's input is unusable \(requestedBy: /],
  [
    'a rehearsal',
    { ...alice, rehearse: true },
    /^Rehearsals \("rehearse": true\) are not available in this version/,
  ],
  [
    'an unconfirmed checklist',
    { ...alice, checklist: [] },
    /^The checklist item "Window announced" is not confirmed\. Do it, then start with it in "checklist"\.$/,
  ],
])('refuses %s and changes nothing', async (what, input, sentence) => {
  await withWorker(migration, server.namespace, async () => {
    const handle = await server.client.workflow.start('offlineMigration', {
      taskQueue: TASK_QUEUE,
      workflowId: what.replaceAll(' ', '-'),
      args: [input],
    });
    const error = await handle.result().then(
      () => null,
      (thrown: unknown) => thrown as WorkflowFailedError,
    );
    expect(error?.cause).toMatchObject({ type: 'refused' });
    expect(error?.cause?.message).toMatch(sentence);
    const status = await statusOf(handle);
    expect(status).toMatchObject({ outcome: 'refused', parked: false, live: false, downtimeMs: 0 });
    expect(status.notes).toContainEqual(expect.stringMatching(sentence));
  });
  const left = await withDatabase(migration.urls.production, (client) =>
    client.query(
      `select nspname from pg_namespace where nspname = 'kirikae'
       union all select datname from pg_database where datname in ($1, $2)`,
      [backupOf(migration), `${migration.production.name}_shadow`],
    ),
  );
  expect(left.rows).toEqual([]);
});
