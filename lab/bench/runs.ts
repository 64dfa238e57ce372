/** Whole runs of several sizes, through Temporal and a worker of their own: what must not grow with the rows. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { drive, sampleMemory, waitForWorker } from '../demo/drive';
import { buildStage } from '../demo/stage';
import { withTemporal } from '../../cli/connection';
import { runCli } from '../../cli/main';
import type { Io } from '../../cli/terminal';

/** One run's figures. */
export interface WholeRun {
  users: number;
  rows: number;
  /** From its start until production is live. */
  seconds: number;
  /** The worker's largest resident set, in bytes. */
  memory: number;
  /** Events in the workflow's history once production is live. */
  events: number;
}

const id = 'bench';

/** Runs one migration from start to live. @throws Error when it doesn't come to be live */
export async function runWhole(users: number): Promise<WholeRun> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-bench-run-'));
  const stage = await buildStage(folder, { users, fail: null }, () => undefined);
  try {
    const io = quietIo();
    await waitForWorker(stage, io);
    const memory = sampleMemory(stage.worker);
    const startedAtMs = Date.now();
    const view = await drive(io, stage, id, 'bench', ({ fingerprint }) =>
      runCli(['approve', id, '--by', 'bench', '--fingerprint', fingerprint], io),
    );
    const seconds = (Date.now() - startedAtMs) / 1000;
    if (!view.status.live)
      throw new Error(`The run of ${users} users did not get live: ${view.status.step}.`);
    const { historyLength } = await withTemporal(io, ({ client }) =>
      client.workflow.getHandle(id).describe(),
    );
    return { users, rows: stage.rows, seconds, memory: memory.stop(), events: historyLength };
  } finally {
    await stage.tearDown();
    rmSync(folder, { recursive: true, force: true });
  }
}

function quietIo(): Io {
  const stdout = new PassThrough().resume();
  return { stdin: process.stdin, stdout, stderr: process.stderr, isTerminal: false, env: process.env };
}
