/** The whole runbook on real servers: migrated, judged row by row, nothing left behind. */
import { existsSync } from 'node:fs';
import { Client } from 'pg';
import { STEPS } from '../src/contract';
import { judgeMigrated } from '../lab/database-state';
import { withDatabase } from '../lab/stage';
import { openNamespace, type TestNamespace } from './support/namespace';
import { makeTumikiTemplate } from './support/tumiki-template';
import {
  approve,
  ending,
  layOutMigration,
  startRun,
  untilStatus,
  withWorker,
  type Migration,
} from './support/migration';
import type { TestDatabase } from './support/environment';

let template: TestDatabase;
let server: TestNamespace;
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
  expect(status).toMatchObject({ outcome: 'migrated', live: true, parked: false, waitingFor: null });
  expect(status.steps.map((step) => `${step.name} ${step.state}`)).toEqual(
    STEPS.map((name) => `${name} done`),
  );
  expect(migration.log()).toEqual(['manager new', 'proxy new']);
  expect(existsSync(migration.flagFile)).toBe(false);
  // The kept backup is the database as it was: the checker, which knows nothing of the mapping file, judges every row.
  const verdict = await judgeMigrated(migration);
  expect(verdict.problems).toEqual([]);
  expect(verdict.rowsJudged).toBe(status.steps.find((step) => step.name === 'verify')?.rows);
  expect(verdict.rowsJudged).toBeGreaterThan(10_000);
});

test('ends sessions that were opened under the fence when it is lifted: they would stay read-only', async () => {
  migration = await layOutMigration(template.name);
  await withWorker(migration, server.namespace, async () => {
    const handle = await startRun(server.client);
    const { backup } = await untilStatus(
      handle,
      (status) => status.step === 'approval' && status.waitingFor !== null,
    );
    const pooled = new Client({ connectionString: migration.urls.production });
    const ended = new Promise((resolve) => pooled.on('error', resolve));
    await pooled.connect();
    expect((await pooled.query('show transaction_read_only')).rows).toEqual([
      { transaction_read_only: 'on' },
    ]);
    await handle.executeUpdate('reject', { args: [{ by: 'bob', fingerprint: backup?.fingerprint }] });
    await ended;
    expect(await ending(handle)).toMatchObject({ outcome: 'rejected' });
    await withDatabase(migration.urls.production, async (client) => {
      expect((await client.query('show transaction_read_only')).rows).toEqual([
        { transaction_read_only: 'off' },
      ]);
    });
  });
});

test('an empty database goes through the whole runbook too', async () => {
  const empty = await makeTumikiTemplate(0);
  migration = await layOutMigration(empty.name);
  const status = await withWorker(migration, server.namespace, async () => {
    const handle = await startRun(server.client);
    await approve(handle);
    return ending(handle);
  });
  expect(status).toMatchObject({ outcome: 'migrated', backup: { rows: 0, tables: 29 } });
  await empty.drop();
});
