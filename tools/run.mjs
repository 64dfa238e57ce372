/** Entry of the `npm run` commands: installs and builds what is missing, then runs what was asked for. No dependencies. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const stampFile = path.join(root, 'node_modules', '.kirikae-lock');
const generatedFiles = [
  'schema/kirikae.schema.json',
  'schema/mapping.schema.json',
  'docs/settings.md',
  'docs/if-it-stops.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
];
const sourceFolders = ['src', 'workflows', 'activities', 'cli', 'lab', 'tools', 'examples', 'test/support'];
const commands = {
  ...{ demo, bench, soak, faults, resets, model, databases },
  ...{ test, 'test:long': testLong, check, generate },
};

const [name = '', ...args] = process.argv.slice(2);
process.exit(await main());

async function main() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    return fail(
      `Kirikae needs Node.js 20.19 or newer and this is ${process.version}. Install a newer one and repeat.`,
    );
  }
  if (!Object.hasOwn(commands, name)) {
    return fail(`There is no command "${name}" here. Use one of: ${Object.keys(commands).join(', ')}.`);
  }
  const installed = await install();
  return installed === 0 ? commands[name]() : installed;
}

function demo() {
  return buildIfStale() || node(['dist/lab/demo/main.js', ...args]);
}

function bench() {
  return buildIfStale() || node(['dist/lab/bench/main.js', ...args]);
}

function soak() {
  return buildIfStale() || node(['dist/lab/soak/main.js', ...args]);
}

function faults() {
  return buildIfStale() || node(['dist/lab/faults/main.js', ...args]);
}

/** `--seed N` names the reading, which goes on where it was stopped; `--only TEXT` takes the resets whose title holds it. */
function resets() {
  const known = { '--seed': 'KIRIKAE_RESETS_SEED', '--only': 'KIRIKAE_RESETS_ONLY' };
  if (!handOver(known)) return fail('Usage: npm run resets -- [--seed N] [--only TEXT]');
  process.env.KIRIKAE_RESETS = 'full';
  process.env.KIRIKAE_RESETS_SEED ??= '1';
  return node(['node_modules/jest/bin/jest.js', 'test/resets.test.ts']);
}

/** `--seed N` names the interleavings, `--runs N` is their number, `--path P` plays the one that a failure printed. */
function model() {
  const known = {
    '--seed': 'KIRIKAE_MODEL_SEED',
    '--runs': 'KIRIKAE_MODEL_RUNS',
    '--path': 'KIRIKAE_MODEL_PATH',
  };
  if (!handOver(known)) return fail('Usage: npm run model -- [--seed N] [--runs N] [--path P]');
  process.env.KIRIKAE_MODEL_RUNS ??= '5000';
  return node(['node_modules/jest/bin/jest.js', 'test/model.test.ts']);
}

/** Its options: `-- --help`. */
function databases() {
  return buildIfStale() || node(['dist/tools/databases.js', ...args]);
}

/** Hands options with a value to a test, as variables. */
function handOver(known) {
  for (let place = 0; place < args.length; place += 2) {
    const variable = known[args[place]];
    if (variable === undefined || args[place + 1] === undefined) return false;
    process.env[variable] = args[place + 1];
  }
  return true;
}

function test() {
  return node(['node_modules/jest/bin/jest.js', ...args]);
}

/** What is too long for each change: `npm test` runs one file of these. */
function testLong() {
  return node(['node_modules/jest/bin/jest.js', '.long.test', ...args]);
}

function generate() {
  return buildIfStale() || node(['dist/tools/generate.js', root]);
}

// All parts run even if one fails: everything that is wrong is seen at once.
function check() {
  const parts = {
    format: () => node(['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.']),
    lint: () => node(['node_modules/eslint/bin/eslint.js', '.']),
    types: () => node(['node_modules/typescript/bin/tsc', '--noEmit', '-p', '.']),
    documents: () => node(['tools/documents.mjs']),
    'generated files': checkGenerated,
  };
  const failed = Object.entries(parts)
    .filter(([, run]) => run() !== 0)
    .map(([part]) => part);
  if (failed.length > 0) return fail(`The check found something in: ${failed.join(', ')}. It stands above.`);
  console.log(`The check found nothing to correct in: ${Object.keys(parts).join(', ')}.`);
  return 0;
}

function checkGenerated() {
  const built = buildIfStale();
  if (built !== 0) return built;
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-check-'));
  try {
    const code = node(['dist/tools/generate.js', folder]);
    if (code !== 0) return code;
    const stale = generatedFiles.filter(
      (file) => read(path.join(root, file)) !== read(path.join(folder, file)),
    );
    if (stale.length === 0) return 0;
    return fail(`Not what the sources say: ${stale.join(', ')}. Run npm run generate and commit the result.`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function read(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : null;
}

/** Runs `npm ci` unless the installed packages are those of package-lock.json. */
async function install() {
  if (isInstalled()) return 0;
  const release = await lock(path.join(root, '.tools', 'install.lock'));
  try {
    if (isInstalled()) return 0;
    console.error('Installing the packages of package-lock.json …');
    const npm = process.env.npm_execpath;
    const [program, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
    const code = run(program, [...first, 'ci', '--no-audit', '--no-fund', '--loglevel=warn']);
    if (code === 0) writeFileSync(stampFile, lockHash());
    return code === 0 ? 0 : fail('npm ci failed; its message stands above. Repeat when that is repaired.');
  } finally {
    release();
  }
}

function isInstalled() {
  return existsSync(stampFile) && readFileSync(stampFile, 'utf8') === lockHash();
}

function lockHash() {
  return createHash('sha256')
    .update(readFileSync(path.join(root, 'package-lock.json')))
    .digest('hex');
}

// A lock left behind by a process that is gone is taken over.
async function lock(folder) {
  mkdirSync(path.dirname(folder), { recursive: true });
  const owner = path.join(folder, 'pid');
  for (;;) {
    try {
      mkdirSync(folder);
      writeFileSync(owner, String(process.pid));
      return () => rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (isAbandoned(folder, owner)) rmSync(folder, { recursive: true, force: true });
    else await wait(300);
  }
}

function isAbandoned(folder, owner) {
  try {
    const pid = existsSync(owner) ? Number(readFileSync(owner, 'utf8')) : 0;
    if (!pid) return Date.now() - statSync(folder).mtimeMs > 10_000;
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}

function buildIfStale() {
  const marker = path.join(root, 'dist', 'tools', 'generate.js');
  const sources = [...sourceFolders, 'package.json', 'tsconfig.json', 'tsconfig.build.json'];
  const newestMs = Math.max(...sources.map((source) => newestChange(path.join(root, source))));
  if (existsSync(marker) && statSync(marker).mtimeMs >= newestMs) return 0;
  return node(['tools/build.mjs']);
}

function newestChange(file) {
  if (!existsSync(file)) return 0;
  const found = statSync(file);
  if (!found.isDirectory()) return found.mtimeMs;
  return Math.max(found.mtimeMs, ...readdirSync(file).map((entry) => newestChange(path.join(file, entry))));
}

function node(nodeArgs) {
  return run(process.execPath, nodeArgs);
}

// Ctrl-C reaches the child too; it decides when to end, so this process must outlive it.
function run(program, programArgs) {
  const result = spawnSync(program, programArgs, { cwd: root, stdio: 'inherit' });
  if (result.error) return fail(`${program} could not be started: ${result.error.message}.`);
  return result.status ?? 128 + (os.constants.signals[result.signal] ?? 0);
}

function fail(message) {
  console.error(message);
  return 1;
}
