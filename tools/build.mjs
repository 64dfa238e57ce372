/** `npm run build` and `prepare`: compiles into a fresh folder, bundles the workflows there, then swaps it in as `dist`. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
const dist = path.join(root, 'dist');
const fresh = path.join(root, `dist.${process.pid}`);

process.exit(await main());

async function main() {
  const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  if (!existsSync(compiler)) {
    if (existsSync(dist)) return 0;
    console.error(
      'dist cannot be built because the development packages are not installed. Run npm ci, then npm run build.',
    );
    return 1;
  }
  removeLeftovers();
  try {
    const compiled = spawnSync(
      process.execPath,
      [compiler, '-p', 'tsconfig.build.json', '--outDir', fresh, '--noEmitOnError'],
      { cwd: root, stdio: 'inherit' },
    );
    if (compiled.status !== 0) return compiled.status ?? 1;
    await bundleWorkflows();
    swapIn();
    stampInstallation();
    return 0;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

async function bundleWorkflows() {
  const workflowsPath = path.join(fresh, 'workflows', 'index.js');
  const payloadConverterPath = path.join(fresh, 'workflows', 'payloads.js');
  const { bundleWorkflowCode, DefaultLogger } = require('@temporalio/worker');
  const logger = new DefaultLogger('WARN');
  const { code } = await bundleWorkflowCode({ workflowsPath, payloadConverterPath, logger });
  writeFileSync(path.join(fresh, 'workflow-bundle.js'), code);
}

// A second build may swap at the same moment: whoever comes later wins, and both end well.
function swapIn() {
  const old = `${fresh}.old`;
  for (let attempt = 1; ; attempt++) {
    try {
      if (existsSync(dist)) renameSync(dist, old);
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
    try {
      renameSync(fresh, dist);
      rmSync(old, { recursive: true, force: true });
      return;
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST'].includes(error.code) || attempt === 20) throw error;
      rmSync(old, { recursive: true, force: true });
    }
  }
}

// `prepare` runs after a complete installation only; tools/run.mjs then need not install again.
function stampInstallation() {
  if (process.env.npm_lifecycle_event !== 'prepare') return;
  const lockFile = path.join(root, 'package-lock.json');
  const packages = path.join(root, 'node_modules');
  if (!existsSync(lockFile) || !existsSync(packages)) return;
  const hash = createHash('sha256').update(readFileSync(lockFile)).digest('hex');
  writeFileSync(path.join(packages, '.kirikae-lock'), hash);
}

function removeLeftovers() {
  for (const entry of readdirSync(root)) {
    const pid = Number(/^dist\.(\d+)/.exec(entry)?.[1]);
    if (pid && !isAlive(pid)) rmSync(path.join(root, entry), { recursive: true, force: true });
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
