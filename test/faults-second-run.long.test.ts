/** A second run on a production that another run has claimed, and backups that others left: refused, nobody's things touched. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parse, stringify } from 'yaml';
import { contentOf } from '../lab/database-state';
import { withDatabase } from '../lab/stage';
import { openNamespace, type TestNamespace } from './support/namespace';
import { type TestDatabase, onServer, testPostgres } from './support/environment';
import {
  type Migration,
  approve,
  ending,
  layOutMigration,
  problemsOf,
  startRun,
  untilStatus,
  withWorker,
} from './support/migration';
import { makeTumikiTemplate } from './support/tumiki-template';

jest.setTimeout(240_000);

let template: TestDatabase;
let server: TestNamespace;
let migration: Migration;

beforeAll(async () => {
  template = await makeTumikiTemplate(20);
});
afterAll(async () => {
  await template.drop();
});
// A namespace of its own for each test: a worker that a failing test left behind takes no work of the next.
beforeEach(async () => {
  server = await openNamespace('second');
});
afterEach(async () => {
  await server.close();
  await migration.drop();
});

test('a second run beside the first is refused, and the first ends migrated with its page, fence and databases', async () => {
  migration = await layOutMigration(template.name, (plan) => {
    plan.smoke = [{ name: 'Looks right', kind: 'manual' }];
    plan.monitor = { for: '1h', every: '1h' };
  });
  addPlanWithAnotherBackup();
  await withWorker(migration, server.namespace, async () => {
    const first = await startRun(server.client, {}, `first-${process.pid}`);
    await untilStatus(first, (status) => status.step === 'approval' && status.waitingFor !== null);
    const expectRefusal = async (plan: string) => {
      const claim = await claimOf();
      const second = await ending(await startRun(server.client, { plan }));
      expect(second.outcome).toBe('refused');
      const notes = second.notes.join(' ');
      expect(notes).toContain(`first-${process.pid}`);
      expect(notes).toContain('kirikae recover tumiki');
      expect(await claimOf()).toEqual(claim);
    };
    await expectRefusal('tumiki');
    await expectRefusal('other');
    expect(existsSync(migration.flagFile)).toBe(true);
    expect(await readOnly()).toBe('on');
    expect(await databases()).toEqual(['', '_backup']);
    await approve(first);
    await untilStatus(first, (status) => status.step === 'smoke' && status.waitingFor !== null);
    await expectRefusal('other');
    expect(existsSync(migration.flagFile)).toBe(true);
    await first.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: true }] });
    await untilStatus(first, (status) => status.step === 'monitor' && status.live);
    await expectRefusal('tumiki');
    await expectRefusal('other');
    expect(existsSync(migration.flagFile)).toBe(false);
    await first.cancel();
    expect((await ending(first)).outcome).toBe('migrated');
  });
  expect(await problemsOf(migration)).toEqual([]);
});

test('of two runs started at once at most one goes on, and production is in order', async () => {
  migration = await layOutMigration(template.name);
  const before = await contentOf(migration.urls.production);
  const outcomes = await withWorker(migration, server.namespace, async () => {
    const handles = await Promise.all([startRun(server.client), startRun(server.client)]);
    return Promise.all(
      handles.map(async (handle) => {
        await approve(handle).catch(() => undefined);
        return (await ending(handle)).outcome;
      }),
    );
  });
  expect(outcomes).toContain('refused');
  if (outcomes.includes('migrated')) expect(await problemsOf(migration)).toEqual([]);
  else {
    expect(outcomes).toEqual(['refused', 'refused']);
    expect(await contentOf(migration.urls.production)).toEqual(before);
  }
});

test('the sealed backup of an earlier run is never overwritten: the next run is refused with the command that removes it', async () => {
  migration = await layOutMigration(template.name, (plan) => {
    plan.deploy = [{ name: 'manager', run: ['false'] }];
  });
  await withWorker(migration, server.namespace, async () => {
    const first = await startRun(server.client);
    await approve(first);
    expect((await ending(first)).outcome).toBe('rolled-back');
    const kept = await contentOf(migration.urls.backup);
    const second = await ending(await startRun(server.client));
    expect(second.outcome).toBe('refused');
    expect(second.notes.join(' ')).toContain(`sealed backup of another run (workflow "${first.workflowId}")`);
    expect(second.notes.join(' ')).toContain('kirikae remove-backup tumiki');
    expect(await contentOf(migration.urls.backup)).toEqual(kept);
  });
});

test('the unfinished backup of an earlier run is refused with the command that removes it', async () => {
  migration = await layOutMigration(template.name);
  await onServer(`create database "${migration.production.name}_backup" template template0`);
  await withDatabase(migration.urls.backup, (client) =>
    client.query(`create schema kirikae;
      create table kirikae.backup (singleton boolean primary key default true, namespace text, workflow_id text,
        first_run_id text, plan text, created_database boolean, started_at timestamptz default now(), ddl_pre text, ddl_post text,
        ddl_post_plain text, manifest text, manifest_hash text, sealed_at timestamptz);
      insert into kirikae.backup (namespace, workflow_id, first_run_id, plan, created_database) values ('n', 'last-week', 'c', 'tumiki', true)`),
  );
  const status = await refusedRun();
  expect(status).toContain('unfinished backup of another run (workflow "last-week")');
  expect(status).toContain('kirikae remove-backup tumiki');
});

test('a backup database that holds somebody else’s tables is refused, and they stay', async () => {
  migration = await layOutMigration(template.name);
  await onServer(`create database "${migration.production.name}_backup" template template0`);
  await withDatabase(migration.urls.backup, (client) =>
    client.query('create table mine as select 1 as precious'),
  );
  expect(await refusedRun()).toContain('public.mine');
  await withDatabase(migration.urls.backup, async (client) => {
    expect((await client.query('select precious from mine')).rows).toEqual([{ precious: 1 }]);
  });
});

async function refusedRun(): Promise<string> {
  const before = await contentOf(migration.urls.production);
  const status = await withWorker(migration, server.namespace, async () =>
    ending(await startRun(server.client)),
  );
  expect(status.outcome).toBe('refused');
  expect(await contentOf(migration.urls.production)).toEqual(before);
  expect(existsSync(migration.flagFile)).toBe(false);
  return status.notes.join(' ');
}

function addPlanWithAnotherBackup(): void {
  const settings = parse(readFileSync(migration.settingsFile, 'utf8')) as {
    plans: Record<string, { databases: Record<string, object> }>;
  };
  const other = structuredClone(settings.plans.tumiki);
  if (!other) throw new Error('no plan');
  const variable = `OTHER_${migration.production.name.toUpperCase()}`;
  process.env[variable] = testPostgres().url(`${migration.production.name}_other`);
  other.databases.backup = { urlEnv: variable, create: true };
  writeFileSync(migration.settingsFile, stringify({ plans: { ...settings.plans, other } }));
}

async function claimOf(): Promise<unknown[]> {
  return withDatabase(migration.urls.production, async (client) => {
    return (await client.query<Record<string, unknown>>('select * from kirikae.claim')).rows;
  });
}

async function readOnly(): Promise<string | undefined> {
  return withDatabase(migration.urls.production, async (client) => {
    const { rows } = await client.query<{ on: string }>('select current_setting($1) as on', [
      'default_transaction_read_only',
    ]);
    return rows[0]?.on;
  });
}

async function databases(): Promise<string[]> {
  return withDatabase(testPostgres().url('postgres'), async (client) => {
    const { rows } = await client.query<{ name: string }>(
      'select substr(datname, $2) as name from pg_database where starts_with(datname, $1) order by 1',
      [migration.production.name, migration.production.name.length + 1],
    );
    return rows.map((row) => row.name);
  });
}
