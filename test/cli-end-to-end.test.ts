/** The command line against real runs: what an operator types from the check to the report, and the exit codes. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Status } from '../src/contract';
import { until } from '../lab/stage';
import { openNamespace } from './support/namespace';
import { runCommand } from './support/cli-terminal';
import { testTemporal, type TestDatabase } from './support/environment';
import { layOutMigration, withWorker, type Migration } from './support/migration';
import { makeTumikiTemplate } from './support/tumiki-template';

let template: TestDatabase;
let server: Awaited<ReturnType<typeof openNamespace>>;
let migration: Migration;
beforeAll(async () => {
  template = await makeTumikiTemplate(20);
  server = await openNamespace('end-to-end');
});
afterAll(async () => {
  await server.close();
  await template.drop();
});
afterEach(() => migration.drop());

function kirikae(...args: string[]) {
  const env = {
    ...process.env,
    TEMPORAL_ADDRESS: testTemporal().address,
    TEMPORAL_NAMESPACE: server.namespace,
    KIRIKAE_CONFIG: migration.settingsFile,
  };
  return runCommand(args, env);
}

async function statusOf(id: string): Promise<Status> {
  const { stdout } = await kirikae('status', id, '--json');
  return JSON.parse(stdout) as Status;
}

const start = (id: string) =>
  ['start', 'tumiki', '--by', 'alice', '--confirm-checklist', '--id', id] as const;
const untilApproval = (id: string) => until(async () => (await statusOf(id)).step === 'approval');

test('checks, starts, approves, watches to the end and writes the report', async () => {
  migration = await layOutMigration(template.name);
  await withWorker(migration, server.namespace, async () => {
    const check = await kirikae('check', 'tumiki');
    expect(check).toMatchObject({ exitCode: 0, stderr: '' });
    expect(check.stdout).toContain('No problem found: the run may start.');
    expect(check.stdout).toContain('_ToolToUserMcpServerConfig');

    expect(await kirikae(...start('night'))).toMatchObject({ exitCode: 0, stderr: '' });
    await untilApproval('night');
    const second = await kirikae(...start('second'));
    expect(second.exitCode).toBe(2);
    expect(second.stderr).toContain('The run night is already migrating this production database');

    const wrong = await kirikae('approve', 'night', '--by', 'bob', '--fingerprint', 'f00d');
    expect(wrong.exitCode).toBe(1);
    expect(wrong.stderr).toContain('The fingerprint "f00d" is not the one of this run');
    const { backup } = await statusOf('night');
    const approved = await kirikae('approve', 'night', '--by', 'bob');
    expect(approved).toMatchObject({ exitCode: 0, stderr: '' });
    expect(approved.stdout).toContain(`Fingerprint: ${backup?.fingerprint}`);
    const watched = await kirikae('status', 'night', '--watch');
    expect(watched.exitCode).toBe(0);

    await until(async () => (await statusOf('night')).outcome !== null);
    const late = await kirikae('retry', 'night', '--by', 'bob');
    expect(late.exitCode).toBe(1);
    const out = path.join(migration.folder, 'night.html');
    expect(await kirikae('report', 'night', '--out', out)).toMatchObject({ exitCode: 0 });
    expect(readFileSync(out, 'utf8')).toContain('UserMcpServerInstance');
  });
  expect(migration.log()).toEqual(['manager new', 'proxy new']);
});

test('--watch exits 3 when the run was rolled back', async () => {
  migration = await layOutMigration(template.name);
  await withWorker(migration, server.namespace, async () => {
    const watching = kirikae(...start('back'), '--watch');
    await untilApproval('back');
    migration.health.status = 500;
    expect((await kirikae('approve', 'back', '--by', 'bob')).exitCode).toBe(0);
    // The new version never answers; the old one does, as soon as the check has failed.
    await until(async () =>
      (await statusOf('back')).steps.some(({ name, state }) => name === 'smoke' && state === 'failed'),
    );
    migration.health.status = 200;
    const { exitCode, stdout } = await watching;
    expect(exitCode).toBe(3);
    expect(stdout).toContain('Started back');
    const after = await kirikae('status', 'back', '--watch');
    expect(after).toMatchObject({ exitCode: 3 });
    expect(after.stdout).toContain('Rolled back: production holds what the backup held.');
  });
  expect(migration.log()).toEqual(['manager new', 'proxy new', 'proxy old', 'manager old']);
});

test('--watch exits 5 when the run was rejected or cancelled, and the page is down again', async () => {
  migration = await layOutMigration(template.name);
  await withWorker(migration, server.namespace, async () => {
    const watching = kirikae(...start('rejected'), '--watch');
    await untilApproval('rejected');
    expect((await kirikae('reject', 'rejected', '--by', 'bob', '--note', 'not tonight')).exitCode).toBe(0);
    expect(await watching).toMatchObject({ exitCode: 5 });

    const second = kirikae(...start('cancelled'), '--watch');
    await untilApproval('cancelled');
    expect((await kirikae('cancel', 'cancelled')).exitCode).toBe(0);
    expect(await second).toMatchObject({ exitCode: 5 });
    expect((await server.client.workflow.getHandle('cancelled').describe()).status.name).toBe('CANCELLED');
  });
  expect(existsSync(migration.flagFile)).toBe(false);
  expect(migration.log()).toEqual([]);
});

test('exits 2 with every problem when preflight refuses', async () => {
  migration = await layOutMigration(template.name, (plan) => {
    plan.deploy = [{ name: 'manager', run: ['no-such-program'] }];
    Object.assign((plan.databases as { backup: object }).backup, { create: false });
  });
  await withWorker(migration, server.namespace, async () => {
    const check = await kirikae('check', 'tumiki');
    expect(check.exitCode).toBe(2);
    expect(check.stdout).toContain('2 to solve before a run may start');
    const started = await kirikae(...start('refused'), '--watch');
    expect(started.exitCode).toBe(2);
    const { notes, outcome } = await statusOf('refused');
    expect(outcome).toBe('refused');
    expect(notes.join('\n')).toMatch(/no-such-program[\s\S]*The backup database .* does not exist/);
  });
});
