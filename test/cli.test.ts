// The command line against a real Temporal server, with scripted runs in place of real migrations.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BackupStatus, Outcome, Report, Status, WayBackStatus } from '../src/contract';
import { refuseSecondRun } from '../cli/start';
import { until } from '../lab/stage';
import { runCommand } from './support/cli-terminal';
import { type ScriptedRuns, createNamespace, openScriptedRuns } from './support/scripted-runs';

const backup: BackupStatus = {
  database: 'tumiki_backup',
  fingerprint: 'f1n6e7',
  tables: 3,
  rows: 1000,
  bytes: 2e6,
};
const atApproval: Partial<Status> = {
  step: 'approval',
  backup,
  waitingFor: 'an approval',
  nextAction: 'Approve it.',
};
const plans = [
  'ends-migrated',
  'ends-refused',
  'ends-rolled-back',
  'parks',
  'goes-live',
  'waits',
  'waits-too',
];

let runs: ScriptedRuns;
let folder: string;
let config: string;
beforeAll(async () => {
  runs = await openScriptedRuns();
  folder = mkdtempSync(path.join(tmpdir(), 'kirikae-cli-'));
  config = writeSettings();
});
afterAll(async () => {
  await runs.close();
  rmSync(folder, { recursive: true });
});

describe('start', () => {
  const start = (plan: string, ...more: string[]) => [
    'start',
    plan,
    '--by',
    'alice',
    '--config',
    config,
    ...more,
  ];

  test.each([
    ['ends-migrated', 0, 'Migrated'],
    ['ends-refused', 2, 'Refused'],
    ['ends-rolled-back', 3, 'Rolled back'],
    ['parks', 4, 'Parked: the run waits for an operator. Repair it.'],
    ['goes-live', 0, 'Live: users may write again'],
  ])('--watch follows %s and exits %i', async (plan, expected, sentence) => {
    const { exitCode, stdout, stderr } = await runCommand(
      start(plan, '--confirm-checklist', '--watch'),
      runs.env,
    );
    expect({ exitCode, stderr }).toEqual({ exitCode: expected, stderr: '' });
    expect(stdout).toContain(`Started kirikae-${plan}`);
    expect(stdout).toContain(sentence);
  });

  test.each([
    ['RUNNING', /The run night is already migrating this production database/],
    ['CANCELLED', null],
  ])('asks for the state of a run that the list still shows as running: %s', async (name, refusal) => {
    const workflow = {
      async *list() {
        yield await Promise.resolve({ workflowId: 'night', runId: 'r', memo: { production: 'p' } });
      },
      getHandle: () => ({ describe: () => Promise.resolve({ status: { name } }) }),
    };
    const connection = { withDeadline: (_until: number, ask: () => unknown) => ask() };
    const temporal = { client: { workflow, connection }, address: 'a', namespace: 'n' } as never;
    const asked = refuseSecondRun(temporal, 'p');
    if (refusal) await expect(asked).rejects.toThrow(refusal);
    else await expect(asked).resolves.toBeUndefined();
  });

  test('refuses with exit 2 when nobody can be asked about the checklist', async () => {
    const { exitCode, stdout, stderr } = await runCommand(start('waits'), runs.env);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toContain('Checklist: "Rehearsal passed" is not confirmed.');
  });

  test('asks item by item on a terminal, and refuses when one is left out', async () => {
    const keys = [{ after: 'Rehearsal passed', press: ' \r' }];
    const { exitCode, stderr } = await runCommand(start('waits'), runs.env, keys);
    expect(exitCode).toBe(2);
    expect(stderr).not.toContain('"Window announced"');
    expect(stderr).toContain('"Rehearsal passed" is not confirmed');
  });

  test('starts once all items are ticked, and refuses the plan and the production database a second time', async () => {
    const env = { ...runs.env, WAITS_URL: 'postgres://u:secret@db.example/p' };
    const keys = [{ after: 'Rehearsal passed', press: 'a\r' }];
    const first = await runCommand(start('waits', '--json'), env, keys);
    expect(first.exitCode).toBe(0);
    expect(JSON.parse(first.stdout)).toEqual({
      workflowId: 'kirikae-waits',
      runId: expect.any(String) as unknown,
      plan: 'waits',
      requestedBy: 'alice',
    });
    const again = await runCommand(start('waits', '--yes'), runs.env);
    expect(again).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('A run with the ID kirikae-waits is already') as unknown,
    });

    const other = { ...runs.env, WAITS_TOO_URL: 'postgres://other:x@DB.example:5432/p?sslmode=require' };
    const second = await seen(
      () => runCommand(start('waits-too', '--yes', '--id', `other-${Date.now()}`), other),
      ({ exitCode }) => exitCode === 2,
    );
    expect(second.stderr).toContain('The run kirikae-waits is already migrating this production database');
    expect(JSON.stringify(first) + second.stderr).not.toContain('secret');
  });
});

describe('status', () => {
  test('prints the answer of the query alone with --json', async () => {
    const id = await runs.start({ statuses: [atApproval] });
    const { exitCode, stdout } = await runCommand(['status', id, '--json'], runs.env);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toEqual(await runs.client.workflow.getHandle(id).query('status'));
  });

  test('adds rows in flight to the bar of the step', async () => {
    const id = await runs.start({ statuses: [{ step: 'backup' }], activity: 'copyRows' });
    const { stdout } = await seen(
      () => runCommand(['status', id], runs.env),
      (result) => result.stdout.includes('500'),
    );
    expect(stdout).toMatch(/backup .* running .*█{4}░{4} {2}50% 500 \/ 1,000/);
  });

  test('shows the attempt and why the last one failed', async () => {
    const id = await runs.start({ statuses: [{ step: 'backup' }], activity: 'failToConnect' });
    const { stdout } = await seen(
      () => runCommand(['status', id], runs.env),
      (result) => result.stdout.includes('attempt 4'),
    );
    expect(stdout).toContain('backup: attempt 4 of failToConnect, the database refuses connections');
  });

  test('shows what waits without having failed, and since when', async () => {
    const nextAction = 'Nothing: the run goes on by itself.';
    const id = await runs.start({ statuses: [{ step: 'reset', nextAction }], activity: 'waitForStandby' });
    const { stdout } = await seen(
      () => runCommand(['status', id], runs.env),
      (result) => result.stdout.includes('standby'),
    );
    expect(stdout).toContain(
      '↻ reset: no progress since 2026-01-02 03:04:05 UTC, "commit" waits for a standby.',
    );
    expect(stdout).toMatch(/Next Look at what is being tried again/);
  });

  test('shows what the monitoring tries again, whose activities are those of a child', async () => {
    const id = await runs.start({ statuses: [{ step: 'monitor', live: true }], childFails: true });
    const { stdout } = await seen(
      () => runCommand(['status', id], runs.env),
      (result) => result.stdout.includes('attempt 4'),
    );
    expect(stdout).toContain('monitor: attempt 4 of failToConnect, the database refuses connections');
  });

  test('shows of a way back which step is tried again and why, instead of "Nothing"', async () => {
    const wayBack = [wayBackStep('pageOff', 'done'), wayBackStep('removeBackup', 'running')];
    const nextAction = 'Nothing: the way back runs by itself.';
    const id = await runs.start({
      statuses: [{ step: 'backup', phase: 'home', window: 2, wayBack, nextAction }],
      activity: 'failToConnect',
    });
    const { stdout } = await seen(
      () => runCommand(['status', id], runs.env),
      (result) => result.stdout.includes('attempt 4'),
    );
    const why = 'the database refuses connections (connect ECONNREFUSED 127.0.0.1:5432)';
    expect(stdout).toContain(`${id}  plan tumiki  going back: removeBackup, attempt 4: ${why}\n`);
    expect(stdout).toContain('Phase home, window 2');
    expect(stdout).toMatch(/removeBackup .* running .* 4 │/);
    expect(stdout).toContain(`↻ going back, removeBackup: attempt 4 of failToConnect, ${why}`);
    expect(stdout).toMatch(/Next Look at what is being tried again/);
  });

  test('shows what is waited for, the fingerprint, drops and notes', async () => {
    const dropped = [{ what: 'User.hasCompletedOnboarding', rows: 1234, reason: 'no longer used' }];
    const id = await runs.start({ statuses: [{ ...atApproval, dropped, notes: ['A webhook failed.'] }] });
    const { stdout } = await runCommand(['status', id], runs.env);
    for (const text of [
      'Fingerprint f1n6e7',
      'Waiting for an approval',
      'Next Approve it.',
      'User.hasCompletedOnboarding (1,234): no longer used',
      'A webhook failed.',
    ]) {
      expect(stdout).toContain(text);
    }
  });

  test.each<[Outcome, number]>([
    ['rehearsed', 0],
    ['rejected', 5],
    ['cancelled', 5],
    ['needs-operator', 4],
  ])('--watch ends at %s with exit %i, also after the end', async (outcome, expected) => {
    const id = await runs.start({ statuses: [{ step: 'verify' }, { step: 'report', outcome }] });
    expect(await runCommand(['status', id, '--watch'], runs.env)).toMatchObject({
      exitCode: expected,
      stderr: '',
    });
    const after = await runCommand(['status', id, '--watch', '--json'], runs.env);
    expect(after.exitCode).toBe(expected);
    expect(JSON.parse(after.stdout)).toMatchObject({ outcome });
  });

  test('--watch ends for an outcome only when Temporal has closed the run', async () => {
    const id = await runs.start({ statuses: [{ step: 'report', outcome: 'rejected' }], lingersMs: 3_000 });
    expect(await runCommand(['status', id, '--watch'], runs.env)).toMatchObject({ exitCode: 5 });
    const { status } = await runs.client.workflow.getHandle(id).describe();
    expect(status.name).toBe('COMPLETED');
  });

  test('--watch prints a line a change off a terminal', async () => {
    const id = await runs.start({
      statuses: [{ step: 'fence' }, atApproval, { ...atApproval, outcome: 'rejected' }],
    });
    const { stdout } = await runCommand(['status', id, '--watch'], runs.env);
    expect(stdout).toMatch(/^\d\d:\d\d:\d\d approval: running$/m);
    expect(stdout).toMatch(/^\d\d:\d\d:\d\d waiting for an approval$/m);
    expect(stdout.match(/waiting for an approval/g)).toHaveLength(1);
  });

  test('--watch redraws in place on a terminal, and the last frame stays', async () => {
    const id = await runs.start({
      statuses: [{ step: 'fence' }, { step: 'fence' }, { step: 'verify', outcome: 'rejected' }],
    });
    const { stdout, exitCode } = await runCommand(['status', id, '--watch'], runs.env, []);
    expect(exitCode).toBe(5);
    const shown = screenAfter(stdout);
    // One frame, whole though it is higher than the window, and the ending below it.
    expect(shown.filter((line) => line.includes('preflight'))).toHaveLength(1);
    expect(shown.filter((line) => line.includes('retireBackup'))).toHaveLength(1);
    expect(shown.filter((line) => line.startsWith(`${id}  plan`))).toEqual([
      expect.stringContaining('rejected') as unknown,
    ]);
    expect(shown.filter((line) => line !== '').at(-1)).toBe('Rejected: production is as it was before.');
  });

  test('says that a terminated run needs a look and exits 4', async () => {
    const id = await runs.start({ statuses: [{ step: 'reset' }] });
    await runCommand(['status', id], runs.env);
    await runs.client.workflow.getHandle(id).terminate();
    const { exitCode, stdout } = await runCommand(['status', id, '--watch'], runs.env);
    expect(exitCode).toBe(4);
    expect(stdout).toContain(`Temporal closed ${id} as TERMINATED`);
  });

  test('says so when there is no such run', async () => {
    const result = await runCommand(['status', 'no-such-run'], runs.env);
    expect(result).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('has no run no-such-run') as unknown,
    });
  });
});

test('report writes one HTML page', async () => {
  const id = await runs.start({ statuses: [atApproval] });
  const file = path.join(folder, 'report.html');
  const { exitCode, stdout } = await runCommand(['report', id, '--out', file, '--json'], runs.env);
  expect(exitCode).toBe(0);
  expect((JSON.parse(stdout) as { report: Report }).report.workflowId).toBe(id);
  expect(readFileSync(file, 'utf8')).toContain(id);
});

test('names the missing worker within 15 s and exits 1', async () => {
  const { env } = await createNamespace();
  const begin = Date.now();
  const started = await runCommand(['start', 'waits', '--by', 'alice', '--config', config, '--yes'], env);
  expect(Date.now() - begin).toBeLessThan(15_000);
  expect(started).toMatchObject({ exitCode: 1, stdout: '' });
  expect(started.stderr).toContain('No worker polls offline-migration');
});

function wayBackStep(name: WayBackStatus['name'], state: WayBackStatus['state']): WayBackStatus {
  const counts = { rows: null, rowsTotal: null, bytes: null, attempt: 1, error: null };
  return { name, state, startedAt: new Date().toISOString(), finishedAt: null, ...counts };
}

// What stands on a terminal, scrolled-off lines included, after these bytes: lines are erased and the cursor goes up.
function screenAfter(written: string): string[] {
  const lines = [''];
  let at = 0;
  for (const [token] of written.matchAll(/\u001b\[[0-9;?]*[A-Za-z]|\n|[^\u001b\n]+/g)) {
    if (token === '\n') lines[(at += 1)] ??= '';
    else if (token === '\u001b[1A') at = Math.max(0, at - 1);
    else if (token === '\u001b[2K') lines[at] = '';
    else if (!token.startsWith('\u001b')) lines[at] += token;
  }
  return lines;
}

/** What is seen once it satisfies, or after 20 s. */
async function seen<T>(look: () => Promise<T>, isThere: (seen: T) => boolean): Promise<T> {
  let last = await look();
  await until(async () => isThere(last) || isThere((last = await look())), 20_000);
  return last;
}

function writeSettings(): string {
  mkdirSync(path.join(folder, 'schema'));
  writeFileSync(path.join(folder, 'schema/1.sql'), 'select 1;\n');
  writeFileSync(path.join(folder, 'mapping.yaml'), '{}\n');
  const file = path.join(folder, 'kirikae.yaml');
  const plan = (name: string) => ({
    databases: {
      production: { urlEnv: `${name.toUpperCase().replace(/-/g, '_')}_URL` },
      backup: { urlEnv: 'B_URL' },
      shadow: { urlEnv: 'C_URL' },
    },
    checklist: ['Window announced', 'Rehearsal passed'],
    maintenance: { kind: 'nginx', flagFile: './on', probe: { url: 'http://127.0.0.1:1/' } },
    schema: { kind: 'sql', dir: './schema' },
    mapping: './mapping.yaml',
  });
  writeFileSync(file, JSON.stringify({ plans: Object.fromEntries(plans.map((name) => [name, plan(name)])) }));
  return file;
}
