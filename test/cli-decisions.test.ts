// What people say to a run, sent from the command line to scripted runs on a real Temporal server.
import type { BackupStatus, Status } from '../src/contract';
import { runCommand } from './support/cli-terminal';
import { type ScriptedRuns, openScriptedRuns } from './support/scripted-runs';

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

let runs: ScriptedRuns;
beforeAll(async () => {
  runs = await openScriptedRuns();
});
afterAll(() => runs.close());

describe('decisions', () => {
  test('approve sends the fingerprint that the status shows, and prints it', async () => {
    const id = await runs.start({ statuses: [atApproval] });
    const { exitCode, stdout } = await runCommand(
      ['approve', id, '--by', 'bob', '--note', 'looked'],
      runs.env,
    );
    expect(exitCode).toBe(0);
    expect(stdout).toContain('Fingerprint: f1n6e7');
    expect(await runs.heard(id)).toEqual([
      { name: 'approve', payload: { by: 'bob', note: 'looked', fingerprint: 'f1n6e7' } },
    ]);
  });

  test('sends every other decision with the payload of the contract', async () => {
    const id = await runs.start({ statuses: [atApproval] });
    const by = ['--by', 'bob'];
    const answers = [
      await runCommand(['reject', id, ...by, '--fingerprint', 'other'], runs.env),
      await runCommand(['confirm', id, ...by, '--check', 'Login'], runs.env),
      await runCommand(['confirm', id, ...by, '--check', 'Login', '--failed', '--json'], runs.env),
      await runCommand(['retry', id, ...by], runs.env),
      await runCommand(['settle', id, ...by], runs.env),
      await runCommand(['stand-down', id, ...by, '--note', 'agreed'], runs.env),
      await runCommand(['roll-back', id, ...by, '--accept-loss'], runs.env),
      await runCommand(['roll-back', id, ...by], runs.env, [{ after: 'Restore the backup', press: 'y\r' }]),
      await runCommand(['retire-backup', id, ...by], runs.env),
    ];
    expect(answers.map(({ exitCode, stderr }) => ({ exitCode, stderr }))).toEqual(
      answers.map(() => ({ exitCode: 0, stderr: '' })),
    );
    expect(JSON.parse(answers[2]?.stdout ?? '')).toMatchObject({ update: 'confirm', accepted: true });
    expect(await runs.heard(id)).toEqual([
      { name: 'reject', payload: { by: 'bob', fingerprint: 'other' } },
      { name: 'confirm', payload: { by: 'bob', check: 'Login', passed: true } },
      { name: 'confirm', payload: { by: 'bob', check: 'Login', passed: false } },
      { name: 'retry', payload: { by: 'bob' } },
      { name: 'settle', payload: { by: 'bob' } },
      { name: 'standDown', payload: { by: 'bob', note: 'agreed' } },
      { name: 'rollBack', payload: { by: 'bob', acceptLoss: true } },
      { name: 'rollBack', payload: { by: 'bob', acceptLoss: true } },
      { name: 'retireBackup', payload: { by: 'bob' } },
    ]);
  });

  test('prints the refusal of the run and exits 1', async () => {
    const id = await runs.start({ statuses: [atApproval], refuses: { retry: 'Nothing is parked: wait.' } });
    const result = await runCommand(['retry', id, '--by', 'bob'], runs.env);
    expect(result).toEqual({
      exitCode: 1,
      stdout: '',
      stderr: `${id} refuses retry: Nothing is parked: wait.\n`,
    });
  });

  test('says that a run has ended', async () => {
    const id = await runs.start({ statuses: [{ outcome: 'migrated' }] });
    await runs.client.workflow.getHandle(id).result();
    const result = await runCommand(['retry', id, '--by', 'bob'], runs.env);
    expect(result).toMatchObject({
      exitCode: 1,
      stderr: `${id} has ended (migrated): nothing can be sent to it any more.\n`,
    });
  });

  test('roll-back sends nothing when the loss is not accepted on the terminal', async () => {
    const id = await runs.start({ statuses: [atApproval] });
    const keys = [{ after: 'Restore the backup', press: 'n\r' }];
    expect((await runCommand(['roll-back', id, '--by', 'bob'], runs.env, keys)).exitCode).toBe(2);
    expect(await runs.heard(id)).toEqual([]);
  });

  test('cancel asks Temporal to stop the run', async () => {
    const id = await runs.start({ statuses: [atApproval] });
    expect((await runCommand(['cancel', id], runs.env)).exitCode).toBe(0);
    const { exitCode } = await runCommand(['status', id, '--watch'], runs.env);
    expect(exitCode).toBe(5);
  });
});

test('names the worker that went away within 15 s and exits 1', async () => {
  const other = await openScriptedRuns();
  const id = await other.start({ statuses: [atApproval] });
  await other.stopWorker();
  for (const args of [
    ['status', id, '--watch'],
    ['approve', id, '--by', 'bob'],
    ['report', id, '--out', 'x.html'],
  ]) {
    const begin = Date.now();
    const { exitCode, stderr } = await runCommand(args, other.env);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/No worker polls offline-migration|did not answer within/);
    expect(Date.now() - begin).toBeLessThan(15_000);
  }
  await other.close();
});
