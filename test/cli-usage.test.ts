// The command line without a run: help, mistakes, and a server that is not there.
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { type Socket, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runCommand } from './support/cli-terminal';

const commands = [
  'check',
  'worker',
  'start',
  'status',
  'approve',
  'reject',
  'confirm',
  'retry',
  'settle',
  'roll-back',
  'retire-backup',
  'cancel',
  'report',
  'restore',
  'verify-backup',
];
const nobody = { TEMPORAL_ADDRESS: '127.0.0.1:1', HOME: '/nonexistent' };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'kirikae-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('lists every command in its help and exits 0', async () => {
  const { exitCode, stdout, stderr } = await runCommand(['--help'], nobody);
  for (const command of commands) expect(stdout).toMatch(new RegExp(`^  ${command}[ |]`, 'm'));
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
});

test.each(commands)('explains %s and each of its options with an example', async (command) => {
  const { exitCode, stdout } = await runCommand([command, '--help'], nobody);
  expect(exitCode).toBe(0);
  expect(stdout).toContain(`Example:\n  kirikae ${command}`);
  const options = stdout.slice(stdout.indexOf('Options:'), stdout.indexOf('Example:')).split(/\n  (?=-)/);
  for (const option of options.slice(1)) expect(option.replace(/\s+/g, ' ')).toContain('e.g.');
});

test.each([
  [['start', 'tumiki'], "required option '--by <name>'"],
  [['start', 'tumiki', '--by', ''], 'must not be empty'],
  [['start', '--by', 'alice'], "missing required argument 'plan'"],
  [['stat'], "unknown command 'stat'"],
  [['status', 'x', '--wach'], "unknown option '--wach'"],
  [['confirm', 'x', '--by', 'alice'], "required option '--check <name>'"],
  [['start', 'tumiki', '--by', 'alice', '--rehearse'], '--rehearse is not available yet'],
  [['roll-back', 'x', '--by', 'alice'], '--accept-loss'],
  [['check', '--config', '/nonexistent.yaml'], '/nonexistent.yaml does not exist'],
])('exits 2 with a sentence and no stack trace for %j', async (args, sentence) => {
  const { exitCode, stdout, stderr } = await runCommand(args, nobody);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toContain(sentence);
  expect(stderr).not.toMatch(/^\s+at /m);
});

test('says the mistake as JSON alone with --json', async () => {
  const { exitCode, stdout } = await runCommand(['check', '--json', '--config', '/nonexistent.yaml'], nobody);
  expect(exitCode).toBe(2);
  expect(JSON.parse(stdout)).toMatchObject({ problems: [expect.stringContaining('does not exist')] });
});

test.each(['recover', 'remove-backup'])(
  '%s without settings names the file that it looked for',
  async (name) => {
    const { exitCode, stderr } = await runCommand([name, 'tumiki'], nobody);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('kirikae.yaml does not exist');
  },
);

test('lists every problem of the settings at once', async () => {
  const file = path.join(folder, 'wrong.yaml');
  writeFileSync(file, 'plans:\n  tumiki:\n    mapping: ./no.yaml\n    colour: red\n');
  const { exitCode, stderr } = await runCommand(['check', '--config', file], nobody);
  expect(exitCode).toBe(2);
  expect(stderr.trim().split('\n').length).toBeGreaterThan(2);
});

describe('within 15 s', () => {
  const asking = (address: string) => ({ ...nobody, TEMPORAL_ADDRESS: address });

  test.each([
    [['status', 'x']],
    [['status', 'x', '--watch', '--json']],
    [['approve', 'x', '--by', 'alice']],
    [['cancel', 'x']],
    [['report', 'x', '--out', 'x.html']],
  ])('says that no server answers and exits 1: %j', async (args) => {
    const begin = Date.now();
    const { exitCode, stderr } = await runCommand(args, asking('127.0.0.1:1'));
    expect(exitCode).toBe(1);
    expect(stderr).toBe(
      "No Temporal server answers at 127.0.0.1:1. Start it, or set TEMPORAL_ADDRESS to the server's host:port; then run this command again.\n",
    );
    expect(Date.now() - begin).toBeLessThan(15_000);
  });

  test('says the same of an address that accepts and stays silent, for start and worker too', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const address = `127.0.0.1:${(silent.address() as { port: number }).port}`;
    mkdirSync(path.join(folder, 'schema'), { recursive: true });
    writeFileSync(path.join(folder, 'schema/1.sql'), 'select 1;\n');
    writeFileSync(path.join(folder, 'mapping.yaml'), '{}\n');
    const config = path.join(folder, 'kirikae.yaml');
    writeFileSync(config, planFile);
    for (const args of [['start', 'tumiki', '--by', 'alice'], ['worker']]) {
      const begin = Date.now();
      const { exitCode, stderr } = await runCommand([...args, '--config', config], asking(address));
      expect(stderr).toContain(`No Temporal server answers at ${address}.`);
      expect(exitCode).toBe(1);
      expect(Date.now() - begin).toBeLessThan(15_000);
    }
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => silent.close(resolve));
  });
});

const planFile = `plans:
  tumiki:
    databases:
      production: { urlEnv: A_URL }
      backup: { urlEnv: B_URL }
      shadow: { urlEnv: C_URL }
    maintenance: { kind: nginx, flagFile: ./on, probe: { url: "http://127.0.0.1:1/" } }
    schema: { kind: sql, dir: ./schema }
    mapping: ./mapping.yaml
`;
