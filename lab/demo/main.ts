/** `npm run demo`: one whole migration on real servers, or, with --fail, the way back and the proof of it. */
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import { withTemporal } from '../../cli/connection';
import { runCli } from '../../cli/main';
import { lookAtRun, type RunView } from '../../cli/run-view';
import { askYesNo, processIo } from '../../cli/terminal';
import { sentence } from '../../src/errors';
import { describeBytes, describeCount, describeDuration } from '../../src/report/quantities';
import { packageRoot } from '../../tools/provide';
import { drive, sampleMemory, waitForWorker } from './drive';
import { differencesBetween, portray, rowsOf } from './proof';
import { buildStage, type FailingStep } from './stage';

interface DemoOptions {
  users: number;
  yes: boolean;
  fail: FailingStep | null;
}

const runId = 'tumiki-demo';
const io = processIo();
const say = (line: string) => io.stdout.write(`${line}\n`);

async function runDemo(options: DemoOptions): Promise<number> {
  const startedAtMs = Date.now();
  const folder = path.join(packageRoot, '.demo');
  const stage = await buildStage(folder, options, say);
  const interrupt = () => {
    stage.tearDown().then(
      () => process.exit(130),
      () => process.exit(130),
    );
  };
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  try {
    say(`Temporal's UI:        ${stage.temporal.uiUrl ?? ''}/namespaces/default/workflows/${runId}`);
    say(`The application:      ${stage.pageUrl}`);
    const before = await portray(stage.productionUrl);
    say(`Production:           ${describeCount(rowsOf(before))} rows in ${before.tables.size} tables`);
    say('');
    await waitForWorker(stage, io);
    const memory = sampleMemory(stage.worker);
    const view = await drive(io, stage, runId, 'alice', (backup) => answer(backup, options));
    // At `live` the watching ends; the demo stays for its short monitoring too.
    const last = view.status.live && view.status.outcome === null ? await followToTheEnd() : view;
    const after = await portray(stage.productionUrl);
    // Whoever was asked may say no; then production must be what it was, too.
    const wasRejected = last.status.outcome === 'rejected';
    const wentBack = options.fail !== null || wasRejected;
    const worked = wasRejected || last.status.outcome === (wentBack ? 'rolled-back' : 'migrated');
    say('');
    say(
      `Outcome:              ${last.status.outcome ?? 'none'}${options.fail && !wasRejected ? ' (a failure was asked for)' : ''}`,
    );
    say(`Downtime:             ${describeDuration(last.status.downtimeMs)}`);
    const unchanged = differencesBetween(before, after);
    if (!wentBack) {
      say(
        `Production now:       ${describeCount(rowsOf(after))} rows in ${after.tables.size} tables, the new schema`,
      );
    } else if (unchanged.length === 0) {
      say(
        `Proof:                ${before.tables.size} tables, their ${describeCount(rowsOf(before))} rows, sequences and the schema's definition are what they were before the run`,
      );
    } else {
      say(`NOT what it was:      ${unchanged.join('; ')}`);
    }
    for (const note of last.status.notes) say(`Note:                 ${note}`);
    say(`The worker's memory:  at most ${describeBytes(memory.stop())} resident`);
    say(`The demo took:        ${describeDuration(Date.now() - startedAtMs)}`);
    if (worked && (!wentBack || unchanged.length === 0)) return 0;
    say(`The worker's log is ${stage.workerLog}.`);
    return 1;
  } finally {
    process.removeListener('SIGINT', interrupt);
    process.removeListener('SIGTERM', interrupt);
    await stage.tearDown();
  }
}

type Backup = NonNullable<RunView['status']['backup']>;

// Without a terminal, or with --yes, the demo answers by itself and says so.
async function answer({ rows, tables, database, fingerprint }: Backup, options: DemoOptions): Promise<void> {
  say('');
  say(
    `Before the reset: ${describeCount(rows)} rows of ${tables} tables are in ${database}, verified; fingerprint ${fingerprint}.`,
  );
  const asks = io.isTerminal && !options.yes;
  const yes = !asks || (await askYesNo(io, {}, 'Drop everything in production and go on?'));
  if (!asks) say('Approved by the demo itself, because nobody was asked (--yes, or no terminal).');
  const verdict = yes ? 'approve' : 'reject';
  await runCli([verdict, runId, '--by', asks ? 'you' : 'the demo', '--fingerprint', fingerprint], io);
  say('');
}

async function followToTheEnd(): Promise<RunView> {
  say('Production is live. The monitoring of the demo takes some seconds …');
  for (;;) {
    const view = await withTemporal(io, (temporal) => lookAtRun(temporal, runId));
    if (view.status.outcome !== null) return view;
    await wait(500);
  }
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 1_000_000)
    throw new InvalidArgumentError('Expected a whole number from 0 to 1000000.');
  return value;
}

const program = new Command('demo')
  .description('Runs one whole migration of a generated Tumiki database on embedded servers.')
  .option('--users <n>', 'users to generate; about 75 rows each', wholeNumber, 2000)
  .option('-y, --yes', 'approve without asking', false)
  .addOption(
    new Option('--fail <step>', 'let this step fail and show the way back').choices(['smoke', 'migrate']),
  )
  .action(async (options: { users: number; yes: boolean; fail?: FailingStep }) => {
    try {
      process.exitCode = await runDemo({ ...options, fail: options.fail ?? null });
    } catch (error) {
      process.stderr.write(`${sentence(error)}\n`);
      if (process.env.KIRIKAE_DEBUG === '1') console.error(error);
      process.exitCode = 1;
    }
  });
program.parseAsync().catch(() => {
  process.exitCode = 1;
});
