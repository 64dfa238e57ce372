/** The servers that tests and demo run on: they answer, they end, and what is missing is named. */
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Connection } from '@temporalio/client';
import { query, until } from '../lab/stage';
import { startPostgres } from '../tools/postgres';
import { findPostgres } from '../tools/postgres-tools';
import { packageRoot } from '../tools/provide';
import { findTemporal } from '../tools/temporal';
import { createDatabase, testPostgres, testTemporal, timeSkippingServerPath } from './support/environment';

const savedEnvironment = { ...process.env };

afterEach(() => {
  process.env = { ...savedEnvironment };
});

test('the PostgreSQL of all suites answers and gives each test a database of its own', async () => {
  const original = await createDatabase('tools');
  await query(original.url, 'create table kept (id int primary key)');
  const copy = await createDatabase('tools', original.name);
  expect(await query(copy.url, 'select count(*)::int as rows from kept')).toEqual([{ rows: 0 }]);
  expect(copy.name).not.toBe(original.name);
  await Promise.all([original.drop(), copy.drop()]);
  await copy.drop();
  await expect(query(copy.url, 'select 1')).rejects.toMatchObject({ code: '3D000' });
});

test('the client programs have the version of the server', async () => {
  const { bin, url } = testPostgres();
  const [server] = await query(url('postgres'), 'show server_version_num');
  const major = Math.floor(Number(server?.server_version_num) / 10_000);
  for (const program of ['pg_dump', 'pg_restore', 'psql']) {
    const { stdout } = spawnSync(path.join(bin, program), ['--version'], { encoding: 'utf8' });
    expect(stdout).toContain(` ${major}`);
  }
});

test('the Temporal server of all suites answers', async () => {
  const { address, namespace } = testTemporal();
  const connection = await Connection.connect({ address });
  const { namespaceInfo } = await connection.workflowService.describeNamespace({ namespace });
  expect(namespaceInfo?.name).toBe('default');
  expect(timeSkippingServerPath()).toContain('temporal-test-server');
  await connection.close();
});

test('a cluster survives a crash of its server, and leaves nothing behind when it is stopped', async () => {
  const server = await startPostgres({ settings: { max_connections: 20 } });
  await query(server.url('postgres'), 'create table kept as select 1 as id');
  await server.kill();
  expect(await isListening(server.port)).toBe(false);
  await server.start();
  expect(await query(server.url('postgres'), 'select id from kept')).toEqual([{ id: 1 }]);
  const home = path.dirname(server.log);
  await server.stop();
  expect(await isListening(server.port)).toBe(false);
  expect(readdirSync(path.dirname(home))).not.toContain(path.basename(home));
});

test('a cluster ends when the process that started it is killed', async () => {
  const starter = `
    const swc = require('@swc/core');
    const fs = require('node:fs');
    require.extensions['.ts'] = (module, file) => module._compile(
      swc.transformSync(fs.readFileSync(file, 'utf8'), {
        filename: file, module: { type: 'commonjs' }, jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
      }).code, file);
    require('./tools/postgres.ts').startPostgres().then((server) => {
      console.log(server.port);
      setInterval(() => undefined, 1000);
    });`;
  const child = spawn(process.execPath, ['-e', starter], {
    cwd: packageRoot,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = Number(
    await new Promise<string>((resolve) => child.stdout.once('data', (data) => resolve(String(data)))),
  );
  expect(await isListening(port)).toBe(true);
  child.kill('SIGKILL');
  await until(async () => !(await isListening(port)));
});

test('a folder without the programs is refused with one sentence that names them', async () => {
  process.env.KIRIKAE_PG_BIN = os.tmpdir();
  await expect(findPostgres()).rejects.toMatchObject({
    type: 'UsageError',
    problems: [
      expect.stringMatching(
        /^KIRIKAE_PG_BIN names .* pg_dump, .* are missing\. Name a complete bin folder\.$/,
      ),
    ],
  });
  process.env.KIRIKAE_TEMPORAL_CLI = path.join(os.tmpdir(), 'no-such-program');
  await expect(findTemporal()).rejects.toMatchObject({
    type: 'UsageError',
    problems: [
      expect.stringMatching(
        /^KIRIKAE_TEMPORAL_CLI names .* which is no program\. Name Temporal's command line/,
      ),
    ],
  });
});

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
