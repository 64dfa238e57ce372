/** Commands as real processes: when one has ended, what it may leave behind, and what is kept of its output. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pidFile, runCommand, type Command } from '../src/host/command';
import { pgDumpVersion, runPgDump } from '../src/postgres/pg-dump';
import { until } from '../lab/stage';

let folder: string;
let daemons: number[];
let key: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-commands-'));
  daemons = [];
  key = folder;
});

afterEach(() => {
  delete process.env.KIRIKAE_PG_BIN;
  for (const pid of daemons) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  for (const left of [folder, pidFile(key)]) rmSync(left, { recursive: true, force: true });
});

/** JavaScript that starts a process in a session of its own, which holds the output, and prints its process id. */
const startDaemon = `
  const daemon = require('node:child_process').spawn('sleep', ['977'], { detached: true, stdio: 'inherit' });
  console.log(daemon.pid);
  daemon.unref();`;

test('a command that leaves a background child holding its output has ended when it has itself, and the child is ended', async () => {
  const { lines, tookMs } = await timed(run(['sh', '-c', 'sleep 977 & echo $!; echo started']));
  expect(lines.at(-1)).toBe('started');
  expect(tookMs).toBeLessThan(5000);
  await until(() => Promise.resolve(!isAlive(Number(lines[0]))));
});

test('a background child without the output is ended as soon as its command has ended', async () => {
  const { lines, tookMs } = await timed(run(['sh', '-c', 'nohup sleep 977 >/dev/null 2>&1 & echo $!']));
  expect(tookMs).toBeLessThan(5000);
  await until(() => Promise.resolve(!isAlive(Number(lines[0]))));
});

test('a daemon in a session of its own that holds the output is neither waited for nor ended', async () => {
  const { lines, tookMs } = await timed(run(['node', '-e', startDaemon]));
  daemons = lines.map(Number);
  expect(tookMs).toBeLessThan(5000);
  expect(daemons.map(isAlive)).toEqual([true]);
});

test('a daemon in a session of its own that never stops writing is not waited for', async () => {
  const { lines, tookMs } = await timed(
    run([
      'node',
      '-e',
      startDaemon.replace(`'sleep', ['977']`, `'sh', ['-c', 'while sleep 0.1; do echo; done']`),
    ]),
  );
  daemons = lines.map(Number);
  expect(tookMs).toBeLessThan(5000);
});

test('a command over its limit is ended though a daemon holds its output', async () => {
  const noted = note();
  await expect(
    timed(run(['node', '-e', `${startDaemon} setInterval(() => {}, 1000)`], { timeoutMs: 1000, ...noted })),
  ).rejects.toThrow(/was still running after its limit of 1 s and was ended\. A time-out is a failure/);
  expect(daemons.map(isAlive)).toEqual([true]);
});

test('a cancelled command is ended though a daemon holds its output', async () => {
  const stop = new AbortController();
  const script = `${startDaemon} console.log(process.pid); setInterval(() => {}, 1000)`;
  const pids: number[] = [];
  const running = run(['node', '-e', script], {
    signal: stop.signal,
    onLine: (line) => {
      if (pids.push(Number(line)) === 2) stop.abort(new Error('cancelled by alice'));
    },
  });
  await expect(running).rejects.toThrow('cancelled by alice');
  daemons = pids.slice(0, 1);
  expect(pids.map(isAlive)).toEqual([true, false]);
});

test('a command that ended in time while the worker stood still is not taken for late', async () => {
  // While it reads: the limit's timer is then the next thing that happens, before the news of the exit.
  const onLine = (line: string) => {
    if (line === 'started') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
  };
  const lines = await run(['sh', '-c', 'echo started; sleep 0.2; echo done'], { timeoutMs: 1000, onLine });
  expect(lines).toEqual(['started', 'done']);
});

test('keeps what was written just before the exit, a last line without an end too, while a daemon holds the output', async () => {
  const script = `${startDaemon}
    for (let n = 1; n <= 5000; n += 1) console.log('line ' + n);
    process.stdout.write('the last words', () => process.exit(0));`;
  const noted = note();
  const lines = await run(['node', '-e', script], noted);
  expect(lines).toHaveLength(20);
  expect(lines.slice(-2)).toEqual(['line 5000', 'the last words']);
});

test('a non-zero exit shows its last output while a background child holds it', async () => {
  await expect(run(['sh', '-c', 'sleep 977 & echo first; echo no quota >&2; exit 9'])).rejects.toThrow(
    /exited with code 9; its last output: .*no quota/,
  );
});

test('a pid file that cannot be written starts no command', async () => {
  const file = pidFile(key);
  mkdirSync(file, { recursive: true });
  await expect(run(['sh', '-c', `touch ${folder}/ran`])).rejects.toMatchObject({
    type: 'NeedsOperator',
    message: expect.stringMatching(
      /can't run, because its process id can't be noted in .*\.pid: .*EISDIR.*\. It was not started\. Let the worker's user write there/,
    ) as string,
  });
  expect(existsSync(path.join(folder, 'ran'))).toBe(false);
});

test('a pid file that becomes unwritable when the command has started leaves no child', async () => {
  const file = pidFile(key);
  // The program that is asked for the start time waits for the command, and takes the file's place away.
  program('ps', `while [ ! -s ${folder}/pid ]; do sleep 0.05; done; rm ${file}; mkdir ${file}`);
  const script = `
    const { runCommand } = require(${JSON.stringify(require.resolve('../src/host/command'))});
    const run = ['sh', '-c', 'echo $$ > pid.new; mv pid.new pid; sleep 977'];
    runCommand({ run, cwd: ${JSON.stringify(folder)}, env: {}, timeoutMs: 15000, key: ${JSON.stringify(key)} })
      .catch((error) => console.log(error.message));`;
  const worker = spawnSync(
    process.execPath,
    ['-r', require.resolve('./support/swc-register'), '-e', script],
    {
      encoding: 'utf8',
      env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
    },
  );
  expect(worker.stdout).toMatch(
    /can't run, because its process id can't be noted in .*\.pid: EISDIR.*\. It was ended as soon as it had started\. Let/,
  );
  const pid = Number(readFileSync(path.join(folder, 'pid'), 'utf8'));
  await until(() => Promise.resolve(!isAlive(pid)));
});

test('a pid file that cannot be removed does not change how the command ended', async () => {
  const file = pidFile(key);
  const lines = await run([
    'sh',
    '-c',
    `while [ ! -s ${file} ]; do sleep 0.05; done; rm ${file}; mkdir ${file}; echo done`,
  ]);
  expect(lines).toEqual(['done']);
});

test('pg_dump has ended when its process has, whatever holds its output', async () => {
  program(
    'pg_dump',
    `sleep 977 & echo $! | tee -a ${folder}/pids >&2; echo "pg_dump (PostgreSQL) 17.2"; [ "$1" = --version ] || exit 1`,
  );
  process.env.KIRIKAE_PG_BIN = folder;
  const { lines: version, tookMs } = await timed(pgDumpVersion());
  expect(version).toBe(17);
  expect(tookMs).toBeLessThan(5000);
  await expect(
    runPgDump('postgresql://nobody@127.0.0.1:1/none', ['public'], { section: 'pre-data', owners: false }),
  ).rejects.toThrow(/^pg_dump failed: \d+$/);
  daemons = readFileSync(path.join(folder, 'pids'), 'utf8').trim().split('\n').map(Number);
  expect(daemons.map(isAlive)).toEqual([true, true]);
});

function run(args: string[], more: Partial<Command> = {}): Promise<string[]> {
  return runCommand({ run: args, cwd: folder, env: {}, timeoutMs: 15_000, key, ...more });
}

/** For runCommand: takes the first line for a daemon's process id. */
function note(): Pick<Command, 'onLine'> {
  return { onLine: (line) => void (daemons.length === 0 && daemons.push(Number(line))) };
}

async function timed<T>(running: Promise<T>): Promise<{ lines: T; tookMs: number }> {
  const startedAt = Date.now();
  return { lines: await running, tookMs: Date.now() - startedAt };
}

/** Puts a shell script into the test's folder. */
function program(name: string, script: string): void {
  writeFileSync(path.join(folder, name), `#!/bin/sh\n${script}\n`);
  chmodSync(path.join(folder, name), 0o755);
}

function isAlive(pid: number): boolean {
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
  return stdout.trim() !== '' && !stdout.startsWith('Z');
}
