/** The whole runbook on real servers: migrated, judged row by row, nothing left behind. */
import { makeTumikiTemplate } from './support/tumiki-template';
import { approve, ending, layOutMigration, openNamespace, startRun, withDatabase, withWorker, type Migration } from './support/migration';
import type { TestDatabase } from './support/environment';

let template: TestDatabase;
let server: Awaited<ReturnType<typeof openNamespace>>;
let migration: Migration;

beforeAll(async () => {
  template = await makeTumikiTemplate(200);
  server = await openNamespace('whole');
});
afterAll(async () => {
  await server.close();
  await template.drop();
});
afterEach(() => migration.drop());

test('migrates every row, deploys, goes live and leaves nothing behind in production', async () => {
  migration = await layOutMigration(template.name);
  const status = await withWorker(migration, server.namespace, async () => {
    const handle = await startRun(server.client);
    await approve(handle);
    return ending(handle);
  });
  console.log(JSON.stringify(status, null, 1));
  expect(status.outcome).toBe('migrated');
  expect(migration.log()).toEqual(['manager new', 'proxy new']);
  await withDatabase(migration.urls.production, async (client) => {
    const { rows } = await client.query<{ n: string }>(`select nspname as n from pg_namespace where nspname = 'kirikae'`);
    expect(rows).toEqual([]);
  });
});
