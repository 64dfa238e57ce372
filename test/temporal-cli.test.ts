/** The commands of Temporal's own command line that docs/commands.md shows, typed as they stand there, carry a run to its end. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Status } from '../src/contract';
import { packageRoot } from '../tools/provide';
import { until } from '../lab/stage';
import { openNamespace, type TestNamespace } from './support/namespace';
import { testTemporal, type TestDatabase } from './support/environment';
import { layOutMigration, withWorker, type Migration } from './support/migration';
import { makeTumikiTemplate } from './support/tumiki-template';

let template: TestDatabase;
let server: TestNamespace;
let migration: Migration;

beforeAll(async () => {
  template = await makeTumikiTemplate(20);
  server = await openNamespace('temporal-cli');
});
afterAll(async () => {
  await server.close();
  await template.drop();
});
afterEach(() => migration.drop());

test("starts, shows and approves a run with the page's commands", async () => {
  migration = await layOutMigration(template.name, (plan) => {
    plan.checklist = ['Maintenance window announced', 'Stakeholders contacted'];
    plan.approval = { minimum: 2, requesterMayApprove: false };
  });
  const commands = shownCommands();
  const command = (begin: string) =>
    commands.find((line) => line.startsWith(`temporal workflow ${begin}`)) ?? '';
  const status = async () => queryResult(await type(command('query')));
  await withWorker(migration, server.namespace, async () => {
    await type(command('start'));
    await until(async () => (await status()).step === 'approval');
    const fingerprint = (await status()).backup?.fingerprint ?? '';
    await expect(type(command('update execute'))).rejects.toThrow('is not the one of this run');
    await type(command('update execute').replace('…', fingerprint));
    await type(command('signal').replace('…', fingerprint).replace('bob', 'carol'));
    await until(async () => (await status()).outcome !== null);
    expect(await status()).toMatchObject({
      outcome: 'migrated',
      notes: expect.not.arrayContaining(['ignored']) as unknown,
    });
  });
  expect(migration.log()).toEqual(['manager new', 'proxy new']);
});

function shownCommands(): string[] {
  const page = readFileSync(path.join(packageRoot, 'docs', 'commands.md'), 'utf8').replaceAll('\\\n', '');
  return page.split('\n').filter((line) => line.startsWith('temporal workflow '));
}

function queryResult(output: string): Status {
  const [result] = (JSON.parse(output) as { queryResult: Status[] }).queryResult;
  if (!result) throw new Error(`No status in ${output}`);
  return result;
}

/** Types a command; JSON is asked for beside it. @throws with its output when it fails */
function type(command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('bash', ['-c', `temporal() { "$CLI" "$@" --output json; }\n${command}`], {
      env: {
        ...process.env,
        CLI: testTemporal().cli,
        TEMPORAL_ADDRESS: testTemporal().address,
        TEMPORAL_NAMESPACE: server.namespace,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (data) => (output.stdout += String(data)));
    child.stderr.on('data', (data) => (output.stderr += String(data)));
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve(output.stdout) : reject(new Error(`${command}: ${output.stdout}${output.stderr}`)),
    );
  });
}
