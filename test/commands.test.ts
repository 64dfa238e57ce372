/** Commands as real processes: when one has ended, what it may leave behind, and what is kept of its output. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runCommand, type Command } from '../src/host/command';
import { KirikaeError } from '../src/errors';
import { endCommandsOf, pidFile } from '../src/host/pid-file';
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

test('a command is told by its process id, and ended when that cannot be noted', async () => {
  let told = 0;
  const onStart = (pid: number) => Promise.resolve(void (told = pid));
  const lines = await run(['sh', '-c', 'echo $$'], { onStart });
  expect(lines).toEqual([String(told)]);

  const failing = async (pid: number) => {
    told = pid;
    await until(() => existsSync(path.join(folder, 'runs')));
    throw new Error('the ledger is gone');
  };
  const running = run(['sh', '-c', 'touch runs; sleep 977'], { onStart: failing });
  await expect(running).rejects.toThrow('the ledger is gone');
  expect(isAlive(told)).toBe(false);
});

test('the limit of a command runs while its process id is being noted', async () => {
  let isOver = false;
  const onStart = async (pid: number) => {
    await until(() => !isAlive(pid));
    isOver = true;
  };
  await expect(run(['sleep', '977'], { onStart, timeoutMs: 500 })).rejects.toThrow(
    /still running after its limit/,
  );
  expect(isOver).toBe(true);
});

test('a command that the ledger does not allow is not started', async () => {
  for (const type of ['Overtaken', 'Outage'] as const) {
    const mayRun = () => Promise.reject(new KirikaeError(type, 'says the ledger'));
    await expect(run(['sh', '-c', `touch ${folder}/ran`], { mayRun })).rejects.toMatchObject({ type });
  }
  expect(existsSync(path.join(folder, 'ran'))).toBe(false);
  expect(existsSync(pidFile(key))).toBe(false);
});

test('a running command outlives outages of the ledger and is ended when it is overtaken', async () => {
  let pid = 0;
  const answers = [undefined, 'Outage', 'NeedsOperator', undefined, 'Overtaken'] as const;
  let looks = 0;
  const mayRun = () => {
    const type = answers[looks++];
    return type === undefined ? Promise.resolve() : Promise.reject(new KirikaeError(type, 'says the ledger'));
  };
  const onStart = (its: number) => Promise.resolve(void (pid = its));
  const { lines, tookMs } = await timed(
    run(['sh', '-c', 'sleep 977 & sleep 977'], { mayRun, mayRunEveryMs: 50, onStart }).catch(
      (error: unknown) => [String(error)],
    ),
  );
  expect(lines).toEqual(['Overtaken: says the ledger']);
  expect(looks).toBe(answers.length);
  expect(tookMs).toBeLessThan(5000);
  expect(isAlive(pid)).toBe(false);
});

test('a look that never ends keeps no command from ending', async () => {
  let looks = 0;
  const mayRun = () => (looks++ === 0 ? Promise.resolve() : new Promise<void>(() => undefined));
  const lines = await run(['sh', '-c', 'sleep 0.3; echo done'], { mayRun, mayRunEveryMs: 50 });
  expect([lines, looks]).toEqual([['done'], 2]);
});

test('an attempt that is cancelled before it starts ends nothing of another attempt', async () => {
  const stop = new AbortController();
  const running = run(['sh', '-c', 'sleep 977'], { signal: stop.signal });
  await until(() => existsSync(pidFile(key)) && readFileSync(pidFile(key), 'utf8') !== '');
  const late = run(['true'], { signal: AbortSignal.abort(new Error('lost its place')) });
  await expect(late).rejects.toThrow('lost its place');
  const [pid] = readFileSync(pidFile(key), 'utf8').split('\n');
  expect(isAlive(Number(pid))).toBe(true);
  stop.abort(new Error('the end'));
  await expect(running).rejects.toThrow('the end');
});

test('what a dead worker left of a workflow is ended by its id, whatever time zone it had, and nothing of another', async () => {
  const ids = { ours: `nightly ${path.basename(folder)}`, theirs: `nightly ${path.basename(folder)} two` };
  const runId = '0b1c7c1e-58c8-4c3e-9d57-3a4a1c9d8f10';
  const left: number[] = [];
  for (const [name, workflow] of Object.entries(ids)) {
    const script = `
      const { runCommand } = require(${JSON.stringify(require.resolve('../src/host/command'))});
      const onStart = async () => process.kill(process.pid, 'SIGKILL');
      runCommand({ run: ['sh', '-c', 'echo $$ > ${name}.new; mv ${name}.new ${name}; sleep 977'], cwd: ${JSON.stringify(folder)},
        env: {}, timeoutMs: 15000, key: ${JSON.stringify(`${workflow} ${runId} 7`)}, onStart });`;
    spawnSync(process.execPath, ['-r', require.resolve('./support/swc-register'), '-e', script], {
      env: { ...process.env, TZ: 'Asia/Tokyo' },
    });
    await until(() => existsSync(path.join(folder, name)));
    left.push(Number(readFileSync(path.join(folder, name), 'utf8')));
  }
  daemons = left;
  expect(left.map(isAlive)).toEqual([true, true]);
  expect(endCommandsOf(ids.ours)).toEqual([
    expect.stringMatching(
      new RegExp(
        `^The command "sh -c echo .*" of workflow ${ids.ours} was still running on this host and was ended \\(process group ${left[0]}\\)\\.$`,
      ),
    ),
  ]);
  await until(() => !isAlive(left[0] ?? 0));
  expect(left.map(isAlive)).toEqual([false, true]);
  expect(endCommandsOf(ids.ours)).toEqual([]);
  expect(endCommandsOf(ids.theirs)).toHaveLength(1);
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
    runPgDump('postgresql://nobody@127.0.0.1:1/none', ['public'], { owners: false }),
  ).rejects.toThrow(/^pg_dump failed: \d+$/);
  daemons = readFileSync(path.join(folder, 'pids'), 'utf8').trim().split('\n').map(Number);
  expect(daemons.map(isAlive)).toEqual([true, true]);
});

test('pg_dump that never stops complaining is ended, and its first words are told', async () => {
  program('pg_dump', 'echo "the first words" >&2; exec yes "and the same again and again" >&2');
  process.env.KIRIKAE_PG_BIN = folder;
  await expect(pgDumpVersion()).rejects.toThrow(
    /^pg_dump wrote more than 1 MB of complaints, the first ones: the first words\n/,
  );
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
