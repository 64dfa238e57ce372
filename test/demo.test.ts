/** The demo's application, proxy and deploy command, over real databases and real processes. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { transformFileSync } from '@swc/core';
import { startDemoApp, type DemoApp } from '../lab/demo/app';
import { stopDemoApp, targetPortFile } from '../lab/demo/deploy';
import { startProxy, type DemoProxy } from '../lab/demo/proxy';
import { fillTumiki, query, withDatabase } from '../lab/stage';
import { createDatabase, testPostgres, type TestDatabase } from './support/environment';
import { migrateTumikiByHand } from './support/tumiki-by-hand';

const root = path.resolve(__dirname, '..');
const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-demo-test-'));
const stateDir = path.join(folder, 'run');
const flagFile = path.join(stateDir, 'maintenance.on');
let old: TestDatabase;
let migrated: TestDatabase;
let incomplete: TestDatabase;
let users: number;
const apps: DemoApp[] = [];
let proxy: DemoProxy;

beforeAll(async () => {
  mkdirSync(stateDir);
  old = await createDatabase('demo_old');
  await fillTumiki(old.url, 3);
  users = (await query(old.url, `select 1 from "User"`)).length;
  migrated = await createDatabase('demo_new', old.name);
  await withDatabase(migrated.url, migrateTumikiByHand);
  incomplete = await createDatabase('demo_incomplete', migrated.name);
  await withDatabase(incomplete.url, (client) =>
    client.query(`update "User" set "defaultOrganizationId" = null`),
  );
  for (const file of ['lab/demo/app', 'lab/demo/deploy', 'lab/demo/pages', 'src/errors', 'tools/ports'])
    compile(file);
  proxy = await startProxy({ port: 0, flagFile, targetPortFile: targetPortFile(stateDir) });
});

afterAll(async () => {
  await stopDemoApp(stateDir);
  await proxy.stop();
  for (const app of apps) await app.stop();
  await old.drop();
  await migrated.drop();
  await incomplete.drop();
  rmSync(folder, { recursive: true });
});

// The deploy command starts a process, which needs JavaScript.
function compile(file: string): void {
  const { code } = transformFileSync(path.join(root, `${file}.ts`), {
    jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
    module: { type: 'commonjs' },
  });
  mkdirSync(path.join(folder, path.dirname(file)), { recursive: true });
  writeFileSync(path.join(folder, `${file}.js`), code);
}

async function startApp(version: 'old' | 'new', databaseUrl: string): Promise<string> {
  const app = await startDemoApp({ version, databaseUrl, port: 0 });
  apps.push(app);
  return `http://127.0.0.1:${app.port}`;
}

async function get(url: string): Promise<{ status: number; body: string }> {
  const response = await fetch(url);
  return { status: response.status, body: await response.text() };
}

function deploy(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [path.join(folder, 'lab', 'demo', 'deploy.js'), '--state', stateDir, ...args],
    {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, NODE_PATH: path.join(root, 'node_modules'), DATABASE_URL: old.url },
    },
  );
  return { status, output: stdout + stderr };
}

test('each version is healthy over its own schema only, and says why when it is not', async () => {
  const answers = await Promise.all([
    get(`${await startApp('old', old.url)}/api/health`),
    get(`${await startApp('new', migrated.url)}/api/health`),
    get(`${await startApp('old', migrated.url)}/api/health`),
    get(`${await startApp('new', old.url)}/api/health`),
  ]);
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 500, 500]);
  expect(answers[2]?.body).toContain(`The old version can't work with this database: column`);
  expect(answers[3]?.body).toContain(`The new version can't work with this database: column`);
});

test('the new version is not healthy while users are without a personal organization', async () => {
  const app = await startApp('new', incomplete.url);
  expect(await get(`${app}/api/health`)).toEqual({
    status: 500,
    body: expect.stringContaining('Some users have no personal organization') as string,
  });
});

test('the page shows version, users and organizations', async () => {
  const { status, body } = await get(`${await startApp('new', migrated.url)}/`);
  expect(status).toBe(200);
  expect(body).toContain('new version');
  expect(body).toContain(`<dt>Personal organizations</dt><dd>${users}</dd>`);
});

test('survives the end of its database sessions', async () => {
  const app = await startApp('old', old.url);
  expect((await get(`${app}/api/health`)).status).toBe(200);
  await withDatabase(testPostgres().url('postgres'), (client) =>
    client.query(`select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1`, [
      old.name,
    ]),
  );
  // The pool learns of the end in its own time; nothing may stay broken.
  let status = 0;
  for (let attempt = 0; attempt < 5 && status !== 200; attempt++) {
    ({ status } = await get(`${app}/api/health`));
  }
  expect(status).toBe(200);
});

test('a deploy can be repeated, switches the proxy over and stops the version before', async () => {
  expect((await get(`http://127.0.0.1:${proxy.port}/`)).status).toBe(502);

  expect(deploy('--version', 'old')).toMatchObject({ status: 0 });
  const first = Number(readFileSync(targetPortFile(stateDir), 'utf8'));
  expect((await get(`http://127.0.0.1:${proxy.port}/`)).body).toContain('old version');

  expect(deploy('--version', 'new')).toMatchObject({ status: 0 });
  expect(deploy('--version', 'new')).toMatchObject({ status: 0 });
  expect((await get(`http://127.0.0.1:${proxy.port}/api/version`)).body).toContain('"version":"new"');
  expect((await get(`http://127.0.0.1:${proxy.port}/api/health`)).status).toBe(500);
  await expect(fetch(`http://127.0.0.1:${first}/`)).rejects.toThrow();
});

test('a deploy told to fail leaves the application alone', async () => {
  const before = readFileSync(targetPortFile(stateDir), 'utf8');
  expect(deploy('--version', 'old', '--fail')).toEqual({
    status: 1,
    output: 'Deploying the old version failed, as --fail asked. Leave --fail out to deploy.\n',
  });
  expect(readFileSync(targetPortFile(stateDir), 'utf8')).toBe(before);
  expect((await get(`http://127.0.0.1:${proxy.port}/api/version`)).status).toBe(200);
});

test('the proxy shows the maintenance page while the flag file exists, and only then', async () => {
  writeFileSync(flagFile, '');
  expect(await get(`http://127.0.0.1:${proxy.port}/api/health`)).toEqual({
    status: 503,
    body: expect.stringContaining('be back soon') as string,
  });
  rmSync(flagFile);
  expect((await get(`http://127.0.0.1:${proxy.port}/api/version`)).status).toBe(200);
});

test('stopping ends the application that the last deploy started', async () => {
  const port = Number(readFileSync(targetPortFile(stateDir), 'utf8'));
  await stopDemoApp(stateDir);
  await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
  expect(existsSync(targetPortFile(stateDir))).toBe(false);
});
