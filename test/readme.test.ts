/** README, "Your own database in ten minutes": its own blocks, typed into one bash, from the first to the last. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Writable } from 'node:stream';
import { freePort } from '../tools/ports';
import { packageRoot } from '../tools/provide';
import { testPostgres, testTemporal } from './support/environment';
import { askWithEveryMethod, thePage } from './support/maintenance-page';
import { findNginx, writeStandIn } from './support/nginx';
import { withDatabase } from '../lab/stage';

const home = mkdtempSync(path.join(os.tmpdir(), 'kirikae-readme-'));
const folder = path.join(home, 'kirikae-shop');
const databases = ['shop', 'shop_backup', 'shop_shadow'];
let shell: Shell;

afterAll(async () => {
  await shell.end();
  for (const name of databases) await onServer(`drop database if exists ${name} with (force)`);
  rmSync(home, { recursive: true, force: true });
});

// Sources newer than the build are built first, which alone takes half a minute on a busy machine.
const timeLimitMs = 300_000;

test(
  'each block of the walk succeeds, and the rows arrive as the mapping says',
  async () => {
    const { text, gatePort } = await withOwnServers(walk());
    const blocks = [...text.matchAll(/^```sh\n([^]*?)^```$/gm)].map((match) => match[1] ?? '');
    shell = startShell(blocks);
    for (const block of blocks) {
      await shell.runNext();
      if (block.includes('"waitingFor"')) {
        expect(new Set(await askWithEveryMethod(`http://127.0.0.1:${gatePort}/`))).toEqual(
          new Set([thePage]),
        );
      }
      if (block.includes('kirikae report')) await expectMigrated();
    }
    expect(await shell.ended).toBe(0);
    expect(await onServer(`select datname from pg_database where datname ~ '^shop(_|$)'`)).toEqual([]);
    expect(existsSync(folder)).toBe(false);
  },
  timeLimitMs,
);

async function expectMigrated(): Promise<void> {
  const rows = await withDatabase(testPostgres().url('shop'), async (client) => ({
    customers: (await client.query('select * from customers order by id')).rows as unknown[],
    orders: (await client.query('select * from orders order by id')).rows as unknown[],
  }));
  expect(rows).toEqual({
    customers: ['Ada', 'Grace', 'Edsger'].map((name, index) => ({ id: index + 1, name })),
    orders: Array.from({ length: 1000 }, (_, index) => ({
      id: index + 1,
      customer_id: 1 + ((index + 1) % 3),
      price: ((index + 1) * 2.5).toFixed(2),
    })),
  });
  expect(readFileSync(path.join(folder, 'report.html'), 'utf8')).toContain('nobody has sent a fax for years');
  expect(readFileSync(path.join(folder, 'app', 'index.html'), 'utf8')).toBe('the new shop\n');
  expect(existsSync(path.join(folder, 'page', 'maintenance.on'))).toBe(false);
}

function walk(): string {
  const readme = readFileSync(path.join(packageRoot, 'README.md'), 'utf8');
  const section = /^## Your own database in ten minutes$([^]*?)^## /m.exec(readme)?.[1];
  if (section === undefined) throw new Error('README has no section "Your own database in ten minutes".');
  return section;
}

/** The text with what differs here: the server's address, ports that nobody else has, and no second installation. */
async function withOwnServers(text: string): Promise<{ text: string; gatePort: string }> {
  const changes: [string, string][] = [
    // It would replace the packages that this test runs with. What it does besides is the build, if that is out of date.
    ['npm ci\n', `'${process.execPath}' tools/run.mjs demo --help > /dev/null\n`],
    ['postgresql://postgres:postgres@localhost:5432', testPostgres().url('').replace(/\/$/, '')],
  ];
  const ports = new Set<string>();
  while (ports.size < 4) ports.add(String(await freePort()));
  const [gatePort = '', ...others] = ports;
  changes.push(['8080', gatePort]);
  for (const [index, port] of ['3000', '7233', '8233'].entries()) changes.push([port, others[index] ?? '']);
  let changed = text;
  for (const [shown, here] of changes) {
    if (!text.includes(shown)) throw new Error(`README's walk no longer has "${shown.trim()}".`);
    changed = changed.replaceAll(shown, here);
  }
  return { text: changed, gatePort };
}

interface Shell {
  /** Runs the next block. @throws Error with the output when a command of it fails */
  runNext: () => Promise<void>;
  /** The exit code. */
  ended: Promise<number | null>;
  /** Ends it and all that it has started. */
  end: () => Promise<void>;
}

/** One bash for all blocks, as variables and background jobs go on from one to the next. It waits on descriptor 3 before each. */
function startShell(blocks: string[]): Shell {
  const script = blocks.map((block, index) => `read -r _ <&3\n${block}\necho "block ${index} is done"`);
  const child = spawn('bash', ['-e', '-o', 'pipefail', '-c', script.join('\n')], {
    cwd: packageRoot,
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    detached: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  let next = 0;
  return {
    runNext: async () => {
      const line = `block ${next} is done\n`;
      (child.stdio[3] as Writable).write('\n');
      await Promise.race([ended, until(child, () => output.includes(line))]);
      if (!output.includes(line)) throw new Error(`This block failed:\n${blocks[next]}\n${output}`);
      next += 1;
    },
    ended,
    end: async () => {
      signalGroup(child);
      await ended;
    },
  };
}

function until({ stdout }: ChildProcess, condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (!condition()) return;
      stdout?.removeListener('data', look);
      resolve();
    };
    stdout?.on('data', look);
    look();
  });
}

function signalGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody of it is left.
  }
}

/** A home of its own, the programs of the test's servers first on PATH, and nothing that speaks of another Temporal. */
function environment(): NodeJS.ProcessEnv {
  const programs = path.join(home, 'programs');
  mkdirSync(programs);
  symlinkSync(testTemporal().cli, path.join(programs, 'temporal'));
  const nginx = findNginx();
  if (nginx === undefined) writeStandIn(programs);
  else symlinkSync(nginx, path.join(programs, 'nginx'));
  const inherited = Object.entries(process.env).filter(([name]) => !/^(TEMPORAL|KIRIKAE|PG)/.test(name));
  return {
    ...Object.fromEntries(inherited),
    HOME: home,
    PATH: [programs, testPostgres().bin, path.dirname(process.execPath), process.env.PATH].join(
      path.delimiter,
    ),
  };
}

async function onServer(sql: string): Promise<unknown[]> {
  return withDatabase(
    testPostgres().url('postgres'),
    async (client) => (await client.query(sql)).rows as unknown[],
  );
}
