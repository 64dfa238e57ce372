/** Drives a stage's run from the outside, as an operator would: waits for its worker, starts it, answers, watches. */
import { spawnSync, type ChildProcess } from 'node:child_process';
import { setTimeout as wait } from 'node:timers/promises';
import { requireWorker, withTemporal } from '../../cli/connection';
import { runCli } from '../../cli/main';
import type { RunView } from '../../cli/run-view';
import type { Io } from '../../cli/terminal';
import { watchRun } from '../../cli/watch';
import type { Stage } from './stage';

type Backup = NonNullable<RunView['status']['backup']>;

/**
 * Starts run `id` and watches it until it is live or over.
 * @param answer asked once, when the run waits for its approval
 * @throws Error when it is not started; the command has said why
 */
export async function drive(
  io: Io,
  { settingsFile }: Stage,
  id: string,
  by: string,
  answer: (backup: Backup) => Promise<unknown>,
): Promise<RunView> {
  const start = ['start', 'tumiki', '--by', by, '--confirm-checklist', '--id', id, '--config', settingsFile];
  const exitCode = await runCli(start, io);
  if (exitCode !== 0)
    throw new Error(`The run was not started (exit code ${exitCode}); the reason stands above.`);
  let answered = false;
  const { view } = await withTemporal(io, (temporal) =>
    watchRun(io, temporal, id, {}, async ({ status }, keepFrame) => {
      if (answered || status.step !== 'approval' || status.waitingFor === null || !status.backup) return;
      answered = true;
      keepFrame();
      await answer(status.backup);
    }),
  );
  return view;
}

/** Waits until the stage's worker polls: the command line refuses to start a run that no worker would take up. */
export async function waitForWorker({ worker, workerLog }: Stage, io: Io): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    if (worker.exitCode !== null)
      throw new Error(`The worker ended with exit code ${worker.exitCode}; its log is ${workerLog}.`);
    try {
      await withTemporal(io, requireWorker);
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await wait(300);
    }
  }
}

/** Samples a worker's resident set twice a second. @returns what ends it and tells the largest, in bytes */
export function sampleMemory(worker: ChildProcess): { stop: () => number } {
  let peakKilobytes = 0;
  const sample = () => {
    const { stdout } = spawnSync('ps', ['-o', 'rss=', '-p', String(worker.pid)], { encoding: 'utf8' });
    peakKilobytes = Math.max(peakKilobytes, Number(stdout) || 0);
  };
  const sampling = setInterval(sample, 500);
  sampling.unref();
  return {
    stop: () => {
      clearInterval(sampling);
      return peakKilobytes * 1024;
    },
  };
}
