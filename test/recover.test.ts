/** `kirikae recover`: production at a safe end without Temporal, wherever the run was terminated. */
import { existsSync } from 'node:fs';
import { contentOf, leftovers } from '../lab/database-state';
import { query, withDatabase } from '../lab/stage';
import { readSettings } from '../src/settings/read';
import { recover } from '../src/way-back/recover';
import { runCommand } from './support/cli-terminal';
import { onServer, type TestDatabase } from './support/environment';
import {
  approve,
  ending,
  layOutMigration,
  problemsOf,
  startRun,
  untilStatus,
  withWorker,
  type Migration,
  type PlanChange,
} from './support/migration';
import { openNamespace, type TestNamespace } from './support/namespace';
import { makeTumikiTemplate } from './support/tumiki-template';

jest.setTimeout(240_000);

let template: TestDatabase;
let server: TestNamespace;
let migration: Migration;
let before: Record<string, string>;

beforeAll(async () => {
  template = await makeTumikiTemplate(20);
});
afterAll(async () => {
  await template.drop();
});
beforeEach(async () => {
  server = await openNamespace('recover');
});
afterEach(async () => {
  await server.close();
  await migration.drop();
});

const manualSmoke: PlanChange = (plan) => (plan.smoke = [{ name: 'Looks right', kind: 'manual' }]);
const longMonitor: PlanChange = (plan) => (plan.monitor = { for: '1h', every: '1h' });

async function layOut(change?: PlanChange): Promise<void> {
  migration = await layOutMigration(template.name, change);
  before = await contentOf(migration.urls.production);
}

/** Lets a run come to where `wanted` says, and terminates it there; no worker is left. */
async function terminatedAt(wanted: Parameters<typeof untilStatus>[1], approves: boolean): Promise<void> {
  await withWorker(migration, server.namespace, async () => {
    const handle = await startRun(server.client);
    if (approves) await approve(handle);
    await untilStatus(handle, wanted);
    await handle.terminate();
  });
}

async function recovered(options: { typed?: string; acceptLoss?: boolean } = {}) {
  const plan = readSettings(migration.settingsFile).plans.tumiki;
  if (!plan) throw new Error('no plan');
  const said: string[] = [];
  const isSafe = await recover(
    {
      plan,
      host: 'here',
      acceptLoss: options.acceptLoss === true,
      settleMs: 0,
      signal: new AbortController().signal,
    },
    {
      say: (sentence) => said.push(sentence),
      confirm: (_, database) => Promise.resolve((options.typed ?? database) === database),
    },
  );
  return { isSafe, said: said.join('\n') };
}

const left = () => leftovers(migration);

test('before the reset lifts fence and page and removes the backup', async () => {
  await layOut();
  await terminatedAt((s) => s.step === 'approval' && s.waitingFor !== null, false);
  expect(existsSync(migration.flagFile)).toBe(true);
  const { isSafe, said } = await recovered();
  expect(isSafe).toBe(true);
  expect(said).toContain('Production still has its old rows and applications.');
  expect(await contentOf(migration.urls.production)).toEqual(before);
  expect(await left()).toEqual([]);
  expect(existsSync(migration.flagFile)).toBe(false);
  expect(await databasesOf()).toEqual([migration.production.name]);
});

test('between the reset and going live brings the old rows back, and copies aside what was written since', async () => {
  await layOut(manualSmoke);
  await terminatedAt((s) => s.step === 'smoke' && s.waitingFor !== null, true);
  await writeRow();
  const { said } = await recovered();
  expect(said).toContain('1 row was written to "public"."User" after verify.');
  expect(await contentOf(migration.urls.production)).toEqual(before);
  expect(await left()).toEqual([]);
  expect(existsSync(migration.flagFile)).toBe(false);
  expect(migration.log()).toEqual(['manager new', 'proxy new', 'proxy old', 'manager old']);
  const aside = (await databasesOf()).find((name) => name.includes('_abandoned_')) ?? '';
  const url = migration.urls.production.replace(/[^/]+$/, aside);
  expect(await query(url, `select id from "User" where id = 'late'`)).toEqual([{ id: 'late' }]);
});

test('after going live restores nothing, and keeps what users wrote', async () => {
  await layOut(longMonitor);
  await terminatedAt((s) => s.step === 'monitor', true);
  await writeRow();
  const { said } = await recovered();
  expect(said).toContain('Production is new, verified and open to its users: nothing is restored.');
  expect(await query(migration.urls.production, `select id from "User" where id = 'late'`)).toHaveLength(1);
  await query(migration.urls.production, `delete from "User" where id = 'late'`);
  expect(await problemsOf(migration)).toEqual([]);
  expect(await left()).toEqual([]);
});

test('goes on with a way back that stopped at its checks, and ends it', async () => {
  await layOut((plan) => {
    manualSmoke(plan);
    plan.rollbackSmoke = [{ name: 'Old answers', kind: 'http', url: `${healthUrl(plan)}`, within: '1s' }];
  });
  await withWorker(migration, server.namespace, async () => {
    const handle = await startRun(server.client);
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
    migration.health.status = 500;
    await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: false }] });
    const parked = await untilStatus(handle, (s) => s.parked);
    expect(parked).toMatchObject({ phase: 'restored' });
    await handle.terminate();
  });
  await expect(recovered()).rejects.toThrow(/Old answers/);
  expect(existsSync(migration.flagFile)).toBe(true);
  migration.health.status = 200;
  expect((await recovered()).isSafe).toBe(true);
  expect(await contentOf(migration.urls.production)).toEqual(before);
  expect(await left()).toEqual([]);
});

test('a workflow that still lives finds itself overtaken, and ends without touching anything', async () => {
  await layOut(manualSmoke);
  let handle = await withWorker(migration, server.namespace, async () => {
    const started = await startRun(server.client);
    await approve(started);
    await untilStatus(started, (s) => s.step === 'smoke' && s.waitingFor !== null);
    return started;
  });
  expect((await recovered()).isSafe).toBe(true);
  await withWorker(migration, server.namespace, async () => {
    handle = server.client.workflow.getHandle(handle.workflowId);
    await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: true }] });
    expect(await ending(handle)).toMatchObject({ outcome: 'rolled-back', live: false });
  });
  expect(await contentOf(migration.urls.production)).toEqual(before);
  expect(await left()).toEqual([]);
});

test('does nothing unless the name is typed, and says when there is nothing to do', async () => {
  await layOut();
  expect((await recovered()).said).toContain('there is nothing to recover');
  await terminatedAt((s) => s.step === 'approval' && s.waitingFor !== null, false);
  expect((await recovered({ typed: 'other' })).isSafe).toBe(false);
  const command = ['recover', 'tumiki', '--config', migration.settingsFile, '--yes', 'other'];
  const refused = await runCommand(command, migration.env);
  expect(refused).toMatchObject({ exitCode: 1 });
  expect(refused.stderr).toContain('"other" is not the name of the database');
  expect(existsSync(migration.flagFile)).toBe(true);
  expect((await recovered()).isSafe).toBe(true);
});

test('a ledger that came with a copy hinders nobody: it is named, and removed when the name is typed', async () => {
  await layOut();
  await terminatedAt((s) => s.step === 'approval' && s.waitingFor !== null, false);
  const copy = `${migration.production.name}_copy`;
  await onServer(`create database "${copy}" template "${migration.production.name}"`);
  const own = migration.urls.production;
  const variable = Object.entries(migration.env).find(([, url]) => url === own)?.[0] ?? '';
  process.env[variable] = own.replace(/[^/]+$/, copy);
  try {
    const { said } = await recovered();
    expect(said).toContain(`holds a ledger that was made in the database ${migration.production.name}`);
    const schemas = await query(
      process.env[variable],
      `select 1 from pg_namespace where nspname = 'kirikae'`,
    );
    expect(schemas).toEqual([]);
  } finally {
    process.env[variable] = own;
  }
  expect((await recovered()).isSafe).toBe(true);
  expect(await left()).toEqual([]);
});

test('a ledger whose mirror is further on is believed by nobody: it says what all know, and restores only on --accept-loss', async () => {
  await layOut(manualSmoke);
  await terminatedAt((s) => s.step === 'smoke' && s.waitingFor !== null, true);
  await query(migration.urls.production, `update kirikae.claim set phase = 'sealed', seq = 4`);
  await expect(recovered()).rejects.toThrow(/restore on a word that another contradicts/);
  const now = await contentOf(migration.urls.production);
  expect(now).not.toEqual(before);
  expect((await recovered({ acceptLoss: true })).isSafe).toBe(true);
  expect(await contentOf(migration.urls.production)).toEqual(before);
});

test('remove-backup removes a backup that is proved to be the plan’s, when its name is given', async () => {
  await layOut(longMonitor);
  await terminatedAt((s) => s.step === 'monitor', true);
  const name = `${migration.production.name}_backup`;
  const command = ['remove-backup', 'tumiki', '--config', migration.settingsFile, '--yes', name];
  const early = await runCommand(command, migration.env);
  expect(early).toMatchObject({ exitCode: 1 });
  expect(early.stderr).toContain('is still needed');
  await recovered();
  expect(await runCommand(command, migration.env)).toMatchObject({ exitCode: 0 });
  expect(await databasesOf()).toEqual([migration.production.name]);
});

async function writeRow(): Promise<void> {
  await withDatabase(migration.urls.production, (client) =>
    client.query(`insert into "User" (id, "updatedAt") values ('late', now())`),
  );
}

async function databasesOf(): Promise<string[]> {
  const rows = await query<{ name: string }>(
    migration.urls.production,
    `select datname as name from pg_database where starts_with(datname, $1) order by 1`,
    [migration.production.name],
  );
  return rows.map(({ name }) => name);
}

function healthUrl(plan: Record<string, unknown>): string {
  const [check] = plan.smoke as { url?: string }[];
  const probe = (plan.maintenance as { probe: { url: string } }).probe.url;
  return check?.url ?? `${probe}health`;
}
