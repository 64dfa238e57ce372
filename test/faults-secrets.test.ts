/** Passwords and URLs turn up nowhere: not in history, logs, status or report, and least of all when things fail. */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils';
import type { WorkerProcess } from '../lab/stage';
import { openNamespace, type TestNamespace } from './support/namespace';
import { testPostgres, type TestDatabase } from './support/environment';
import {
  approve,
  ending,
  layOutMigration,
  startRun,
  statusOf,
  type Migration,
  type PlanChange,
} from './support/migration';
import { makeTumikiTemplate } from './support/tumiki-template';
import { startWorkerProcess } from './support/worker-process';

jest.setTimeout(240_000);

const wrongPassword = 'wr0ng-horse-battery';
let template: TestDatabase;
let server: TestNamespace;
let migration: Migration;
let worker: WorkerProcess | undefined;

beforeAll(async () => {
  template = await makeTumikiTemplate(20);
});
afterAll(async () => {
  await template.drop();
});
// A namespace of its own for each test: a worker that a failing test left behind takes no work of the next.
beforeEach(async () => {
  server = await openNamespace('secrets');
});
afterEach(async () => {
  await worker?.kill();
  await server.close();
  await migration.drop();
});

/** A command that prints every variable it has, in one piece and in halves of lines, and fails or not. */
const tell = (code: number) => [
  'node',
  '-e',
  `for (const value of Object.values(process.env)) { console.log('out ' + value); console.error('err=' + value); } process.exitCode = ${code}`,
];

test('no secret is found after a run that ends well', async () => {
  migration = await layOutMigration(template.name, withToken('deploy', 0));
  const handle = await run({ approved: true });
  expect((await statusOf(handle)).outcome).toBe('migrated');
  await expectNoSecret(handle);
});

test('no secret is found after a deploy command has printed its variables and failed', async () => {
  migration = await layOutMigration(template.name, withToken('deploy', 1));
  const handle = await run({ approved: true });
  const status = await statusOf(handle);
  expect(status.outcome).toBe('rolled-back');
  // What isn't secret is still said.
  expect(status.notes.join(' ')).toContain('exited with code 1');
  await expectNoSecret(handle);
});

test('no secret is found after a schema command has printed the URL it was given and failed', async () => {
  migration = await layOutMigration(template.name, (plan) => {
    plan.schema = { kind: 'command', run: tell(1), urlEnv: ['DATABASE_URL'] };
  });
  const handle = await run({ approved: false });
  expect((await statusOf(handle)).outcome).toBe('refused');
  await expectNoSecret(handle);
});

test('no secret is found after a database has refused a password', async () => {
  migration = await layOutMigration(template.name);
  const variable = Object.keys(migration.env).find((name) => name.startsWith('BACKUP_')) ?? '';
  const url = new URL(migration.urls.backup);
  url.password = wrongPassword;
  const handle = await run({ approved: false }, { [variable]: url.toString() });
  const status = await statusOf(handle);
  expect(status.outcome).toBe('refused');
  expect(status.notes.join(' ')).toContain('password authentication failed');
  await expectNoSecret(handle);
});

function withToken(name: string, code: number): PlanChange {
  return (plan) => {
    const { production } = plan.databases as Record<string, { urlEnv: string }>;
    plan.deploy = [{ name, run: tell(code), env: [production?.urlEnv] }];
    plan.smoke = [];
  };
}

async function run(options: { approved: boolean }, env: NodeJS.ProcessEnv = {}): Promise<WorkflowHandle> {
  worker = await startWorkerProcess(migration, server.namespace, env);
  const handle = await startRun(server.client);
  if (options.approved) await approve(handle);
  await ending(handle);
  return handle;
}

async function expectNoSecret(handle: WorkflowHandle): Promise<void> {
  const reports = path.join(migration.folder, 'reports');
  const files = readdirSync(reports);
  expect(files.map((file) => path.extname(file)).sort()).toEqual(['.html', '.json']);
  const places: Record<string, string> = {
    history: decoded(historyToJSON(await handle.fetchHistory())),
    status: JSON.stringify(await statusOf(handle)),
    report: JSON.stringify(await handle.query('report')),
    details: JSON.stringify(await handle.query('__temporal_workflow_metadata')),
    log: worker?.log() ?? '',
  };
  for (const file of files) places[file] = readFileSync(path.join(reports, file), 'utf8');
  const password = testPostgres().password;
  const secrets = [password, encodeURIComponent(password), wrongPassword, 'postgres://', 'postgresql://'];
  for (const [place, text] of Object.entries(places)) {
    expect(text.length).toBeGreaterThan(100);
    for (const secret of secrets)
      expect({ place, secret, found: text.includes(secret) }).toEqual({ place, secret, found: false });
  }
}

/** A history's JSON with the payloads inside it readable. */
function decoded(history: string): string {
  return history.replace(/"data":\s*"([A-Za-z0-9+/=]+)"/g, (_all, data: string) =>
    Buffer.from(data, 'base64').toString('utf8'),
  );
}
