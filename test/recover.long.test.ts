/** `kirikae recover`: production at a safe end without Temporal, wherever the run was terminated. */
import { existsSync } from 'node:fs';
import { contentOf, leftovers } from '../lab/database-state';
import { query, withDatabase } from '../lab/stage';
import { readSettings } from '../src/settings/read';
import { recover } from '../src/way-back/recover';
import { runCommand } from './support/cli-terminal';
import { onServer } from './support/environment';
import {
  approve,
  ending,
  problemsOf,
  startRun,
  untilStatus,
  withWorker,
  type PlanChange,
  backupOf,
} from './support/migration';
import { laidOutForEach } from './support/laid-out';

jest.setTimeout(240_000);

const scene = laidOutForEach('recover');

const manualSmoke: PlanChange = (plan) => (plan.smoke = [{ name: 'Looks right', kind: 'manual' }]);
const longMonitor: PlanChange = (plan) => (plan.monitor = { for: '1h', every: '1h' });

/** Lets a run come to where `wanted` says, and terminates it there; no worker is left. */
async function terminatedAt(wanted: Parameters<typeof untilStatus>[1], approves: boolean): Promise<void> {
  await withWorker(scene.migration, scene.server.namespace, async () => {
    const handle = await startRun(scene.server.client);
    if (approves) await approve(handle);
    await untilStatus(handle, wanted);
    await handle.terminate();
  });
}

async function recovered(options: { typed?: string; acceptLoss?: boolean } = {}) {
  const plan = readSettings(scene.migration.settingsFile).plans.tumiki;
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

const left = () => leftovers(scene.migration);

test('before the reset lifts fence and page and removes the backup', async () => {
  await scene.layOut();
  await terminatedAt((s) => s.step === 'approval' && s.waitingFor !== null, false);
  expect(existsSync(scene.migration.flagFile)).toBe(true);
  const { isSafe, said } = await recovered();
  expect(isSafe).toBe(true);
  expect(said).toContain('Production still has its old rows and applications.');
  expect(await contentOf(scene.migration.urls.production)).toEqual(scene.before);
  expect(await left()).toEqual([]);
  expect(existsSync(scene.migration.flagFile)).toBe(false);
  expect(await databasesOf()).toEqual([scene.migration.production.name]);
});

test('between the reset and going live brings the old rows back, and copies aside what was written since', async () => {
  await scene.layOut(manualSmoke);
  await terminatedAt((s) => s.step === 'smoke' && s.waitingFor !== null, true);
  await writeRow();
  const { said } = await recovered();
  expect(said).toContain('1 row was written to "public"."User" after verify.');
  expect(await contentOf(scene.migration.urls.production)).toEqual(scene.before);
  expect(await left()).toEqual([]);
  expect(existsSync(scene.migration.flagFile)).toBe(false);
  expect(scene.migration.log()).toEqual(['manager new', 'proxy new', 'proxy old', 'manager old']);
  const aside = (await databasesOf()).find((name) => name.includes('_abandoned_')) ?? '';
  const url = scene.migration.urls.production.replace(/[^/]+$/, aside);
  expect(await query(url, `select id from "User" where id = 'late'`)).toEqual([{ id: 'late' }]);
});

test('after going live restores nothing, and keeps what users wrote', async () => {
  await scene.layOut(longMonitor);
  await terminatedAt((s) => s.step === 'monitor', true);
  await writeRow();
  const { said } = await recovered();
  expect(said).toContain('Production is new, verified and open to its users: nothing is restored.');
  expect(
    await query(scene.migration.urls.production, `select id from "User" where id = 'late'`),
  ).toHaveLength(1);
  await query(scene.migration.urls.production, `delete from "User" where id = 'late'`);
  expect(await problemsOf(scene.migration)).toEqual([]);
  expect(await left()).toEqual([]);
});

test('goes on with a way back that stopped at its checks, and ends it', async () => {
  await scene.layOut((plan) => {
    manualSmoke(plan);
    plan.rollbackSmoke = [{ name: 'Old answers', kind: 'http', url: `${healthUrl(plan)}`, within: '1s' }];
  });
  await withWorker(scene.migration, scene.server.namespace, async () => {
    const handle = await startRun(scene.server.client);
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
    scene.migration.health.status = 500;
    await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: false }] });
    const parked = await untilStatus(handle, (s) => s.parked);
    expect(parked).toMatchObject({ phase: 'restored' });
    await handle.terminate();
  });
  await expect(recovered()).rejects.toThrow(/Old answers/);
  expect(existsSync(scene.migration.flagFile)).toBe(true);
  scene.migration.health.status = 200;
  expect((await recovered()).isSafe).toBe(true);
  expect(await contentOf(scene.migration.urls.production)).toEqual(scene.before);
  expect(await left()).toEqual([]);
});

test('a workflow that still lives finds itself overtaken, and ends without touching anything', async () => {
  await scene.layOut(manualSmoke);
  let handle = await withWorker(scene.migration, scene.server.namespace, async () => {
    const started = await startRun(scene.server.client);
    await approve(started);
    await untilStatus(started, (s) => s.step === 'smoke' && s.waitingFor !== null);
    return started;
  });
  expect((await recovered()).isSafe).toBe(true);
  await withWorker(scene.migration, scene.server.namespace, async () => {
    handle = scene.server.client.workflow.getHandle(handle.workflowId);
    await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: true }] });
    expect(await ending(handle)).toMatchObject({ outcome: 'rolled-back', live: false });
  });
  expect(await contentOf(scene.migration.urls.production)).toEqual(scene.before);
  expect(await left()).toEqual([]);
});

test('does nothing unless the name is typed, and says when there is nothing to do', async () => {
  await scene.layOut();
  expect((await recovered()).said).toContain('there is nothing to recover');
  await terminatedAt((s) => s.step === 'approval' && s.waitingFor !== null, false);
  expect((await recovered({ typed: 'other' })).isSafe).toBe(false);
  const command = ['recover', 'tumiki', '--config', scene.migration.settingsFile, '--yes', 'other'];
  const refused = await runCommand(command, scene.migration.env);
  expect(refused).toMatchObject({ exitCode: 1 });
  expect(refused.stderr).toContain('"other" is not the name of the database');
  expect(existsSync(scene.migration.flagFile)).toBe(true);
  expect((await recovered()).isSafe).toBe(true);
});

test('a ledger that came with a copy hinders nobody: it is named, and removed when the name is typed', async () => {
  await scene.layOut();
  await terminatedAt((s) => s.step === 'approval' && s.waitingFor !== null, false);
  const copy = `${scene.migration.production.name}_copy`;
  await onServer(`create database "${copy}" template "${scene.migration.production.name}"`);
  const own = scene.migration.urls.production;
  const variable = Object.entries(scene.migration.env).find(([, url]) => url === own)?.[0] ?? '';
  process.env[variable] = own.replace(/[^/]+$/, copy);
  try {
    const { said } = await recovered();
    expect(said).toContain(`holds a ledger that was made in the database ${scene.migration.production.name}`);
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

test("a backup under production's address is taken for no copied ledger: nothing is asked, and it stays whole", async () => {
  await scene.layOut();
  await terminatedAt((s) => s.step === 'approval' && s.waitingFor !== null, false);
  const { production, backup } = scene.migration.urls;
  const variable = Object.entries(scene.migration.env).find(([, url]) => url === production)?.[0] ?? '';
  process.env[variable] = backup;
  try {
    await expect(recovered()).rejects.toThrow(/can't be used as production: it is marked as backup/);
  } finally {
    process.env[variable] = production;
  }
  expect(await query(backup, 'select role from kirikae.marker')).toEqual([{ role: 'backup' }]);
  expect(await query(backup, 'select manifest is not null as sealed from kirikae.backup')).toEqual([
    { sealed: true },
  ]);
  expect((await recovered()).isSafe).toBe(true);
});

test('a ledger whose mirror is further on is believed by nobody: it says what all know, and restores only on --accept-loss', async () => {
  await scene.layOut(manualSmoke);
  await terminatedAt((s) => s.step === 'smoke' && s.waitingFor !== null, true);
  await query(scene.migration.urls.production, `update kirikae.claim set phase = 'sealed', seq = 4`);
  await expect(recovered()).rejects.toThrow(/restore on a word that another contradicts/);
  const now = await contentOf(scene.migration.urls.production);
  expect(now).not.toEqual(scene.before);
  expect((await recovered({ acceptLoss: true })).isSafe).toBe(true);
  expect(await contentOf(scene.migration.urls.production)).toEqual(scene.before);
});

test('remove-backup removes a backup that is proved to be the plan’s, when its name is given', async () => {
  await scene.layOut(longMonitor);
  await terminatedAt((s) => s.step === 'monitor', true);
  const name = backupOf(scene.migration);
  const command = ['remove-backup', 'tumiki', '--config', scene.migration.settingsFile, '--yes', name];
  const early = await runCommand(command, scene.migration.env);
  expect(early).toMatchObject({ exitCode: 1 });
  expect(early.stderr).toContain('is still needed');
  await recovered();
  expect(await runCommand(command, scene.migration.env)).toMatchObject({ exitCode: 0 });
  expect(await databasesOf()).toEqual([scene.migration.production.name]);
});

async function writeRow(): Promise<void> {
  await withDatabase(scene.migration.urls.production, (client) =>
    client.query(`insert into "User" (id, "updatedAt") values ('late', now())`),
  );
}

async function databasesOf(): Promise<string[]> {
  const rows = await query<{ name: string }>(
    scene.migration.urls.production,
    `select datname as name from pg_database where starts_with(datname, $1) order by 1`,
    [scene.migration.production.name],
  );
  return rows.map(({ name }) => name);
}

function healthUrl(plan: Record<string, unknown>): string {
  const [check] = plan.smoke as { url?: string }[];
  const probe = (plan.maintenance as { probe: { url: string } }).probe.url;
  return check?.url ?? `${probe}health`;
}
