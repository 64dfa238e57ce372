/** The command line: commands, options and help texts. What a command does stands in the file of its theme. */
import { Command, CommanderError } from 'commander';
import { checkPlans } from './check';
import { command, decision, example, onRun, text, withConfig, wholeNumber } from './command-options';
import { cancelRun, confirmCheck, decideApproval, rollBack, tellRun } from './decisions';
import { describeFailure } from './failures';
import { addRecoveryCommands } from './recovery-commands';
import { startRun } from './start';
import { showStatus, writeReport } from './status';
import { type Io, printJson, processIo } from './terminal';
import { readVersion } from './version';
import { serve } from './worker';

/**
 * Runs one command.
 * @param args the words after `kirikae`
 * @returns the exit code; never throws
 */
export async function runCli(args: string[], io: Io = processIo()): Promise<number> {
  const finish = { exitCode: 0 };
  try {
    await buildProgram(io, finish).parseAsync(args, { from: 'user' });
    return finish.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      if (args.includes('--json')) printJson(io, { error: error.message });
      return 2;
    }
    const { problems, exitCode } = describeFailure(error);
    if (args.includes('--json')) printJson(io, { error: problems.join('\n'), problems });
    for (const problem of problems) io.stderr.write(`${problem}\n`);
    if (io.env.KIRIKAE_DEBUG === '1' && error instanceof Error) io.stderr.write(`${error.stack ?? ''}\n`);
    return exitCode;
  }
}

type Finish = { exitCode: number };

function buildProgram(io: Io, finish: Finish): Command {
  const program = new Command('kirikae')
    .description('Runs an offline PostgreSQL migration as one durable Temporal workflow.')
    .version(readVersion(), '-V, --version', 'print the version, e.g. kirikae --version')
    .helpOption('-h, --help', 'explain a command, e.g. kirikae start --help')
    .helpCommand('help [command]', 'explain a command, e.g. kirikae help start')
    .exitOverride()
    .showHelpAfterError('Run it with --help to see how it is used.')
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
      getErrHelpWidth: () => io.stdout.columns ?? 100,
    })
    .addHelpText('after', connectionHelp);
  addRunCommands(program, io, finish);
  addDecisionCommands(program, io, finish);
  addOperatorCommands(program, io, finish);
  addRecoveryCommands(program, io, finish);
  return program;
}

const connectionHelp = `
Temporal is found by TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY or a profile; default localhost:7233.
With KIRIKAE_DEBUG=1 an unexpected error shows where it came from.

Example:
  kirikae check
  kirikae start tumiki --by alice --watch
  kirikae approve kirikae-tumiki --by alice`;

function addRunCommands(program: Command, io: Io, finish: Finish): void {
  const check = withConfig(
    command(program, 'check', 'Check the settings and run preflight, which changes nothing in production'),
  )
    .argument('[plan]', 'the plan to check, e.g. tumiki (default: every plan)')
    .action(async (plan: string | undefined, options: Parameters<typeof checkPlans>[2]) => {
      finish.exitCode = await checkPlans(io, plan, options);
    });
  example(check, 'kirikae check tumiki', 'Exit code: 0, or 2 with every problem listed.');

  const worker = withConfig(command(program, 'worker', 'Run a worker; SIGTERM drains it'))
    .option(
      '--lanes <n>',
      'groups of rows copied at a time on this host, e.g. --lanes 4 (default: one more than its cores, at most 8)',
      wholeNumber,
    )
    .action(async (options: Parameters<typeof serve>[1]) => {
      finish.exitCode = await serve(io, options);
    });
  example(worker, 'kirikae worker --config /etc/kirikae.yaml');

  const start = withConfig(command(program, 'start', 'Start the migration of a plan'))
    .argument('<plan>', 'the plan to run, e.g. tumiki', text)
    .requiredOption('--by <name>', 'who asks for it, e.g. --by alice', text)
    .option(
      '--rehearse',
      'rehearse against scratch databases (not available yet), e.g. kirikae start tumiki --by alice --rehearse',
    )
    .option('--confirm-checklist', 'confirm every item of the checklist, e.g. in a script')
    .option('--id <id>', 'the workflow ID, e.g. --id tumiki-may (default: kirikae-<plan>)', text)
    .option(
      '--watch',
      'follow the run until it ends, is live or is parked, e.g. kirikae start tumiki --by alice --watch',
    )
    .action(async (plan: string, options: Parameters<typeof startRun>[2]) => {
      finish.exitCode = await startRun(io, plan, options);
    });
  example(start, 'kirikae start tumiki --by alice --confirm-checklist --watch', watchCodes);

  const status = onRun(command(program, 'status', 'Show what a run does now and what to do next'))
    .option(
      '--watch',
      'follow the run until it ends, is live or is parked, e.g. kirikae status kirikae-tumiki --watch',
    )
    .action(async (id: string, options: Parameters<typeof showStatus>[2]) => {
      finish.exitCode = await showStatus(io, id, options);
    });
  example(status, 'kirikae status kirikae-tumiki --watch', watchCodes);
}

const watchCodes =
  'Exit code with --watch: 0 migrated, rehearsed or live, 2 refused, 3 rolled back, 4 parked or needs an operator, 5 rejected or cancelled.';

function addDecisionCommands(program: Command, io: Io, finish: Finish): void {
  for (const name of ['approve', 'reject'] as const) {
    const does =
      name === 'approve'
        ? 'Approve the reset, the destructive step'
        : 'Reject the reset; everything so far is undone';
    const decide = decision(program, name, does)
      .option(
        '--fingerprint <fingerprint>',
        `what is meant, e.g. --fingerprint 3f9a… (default: the one that status shows)`,
        text,
      )
      .action(async (id: string, options: Parameters<typeof decideApproval>[3]) => {
        finish.exitCode = await decideApproval(io, name, id, options);
      });
    example(decide, `kirikae ${name} kirikae-tumiki --by alice --note "looked at the drops"`, decisionCodes);
  }
  const confirm = decision(program, 'confirm', 'Say how a manual check went')
    .requiredOption('--check <name>', 'the check, e.g. --check "Existing user can log in"', text)
    .option('--failed', 'it did not pass, e.g. --check "Existing user can log in" --failed')
    .action(async (id: string, options: Parameters<typeof confirmCheck>[2]) => {
      finish.exitCode = await confirmCheck(io, id, options);
    });
  example(
    confirm,
    'kirikae confirm kirikae-tumiki --by alice --check "Existing user can log in"',
    decisionCodes,
  );

  const plain = [
    ['retry', 'retry', 'Go on after a repair, when the run is parked'],
    ['settle', 'settle', 'End a parked run as it is; page and fence stay as they are'],
    [
      'stand-down',
      'standDown',
      'Take back a parked way back that has emptied nothing; the run is again where it was',
    ],
    ['retire-backup', 'retireBackup', 'Approve that the backup database is deleted'],
  ] as const;
  for (const [word, name, does] of plain) {
    const tell = decision(program, word, does).action(
      async (id: string, options: Parameters<typeof tellRun>[3]) => {
        finish.exitCode = await tellRun(io, name, id, options);
      },
    );
    example(tell, `kirikae ${word} kirikae-tumiki --by alice`, decisionCodes);
  }

  const back = decision(program, 'roll-back', 'Restore the backup over production')
    .option(
      '--accept-loss',
      'accept that what users wrote since is lost, e.g. in a script (--yes says the same)',
    )
    .action(async (id: string, options: Parameters<typeof rollBack>[2]) => {
      finish.exitCode = await rollBack(io, id, options);
    });
  example(back, 'kirikae roll-back kirikae-tumiki --by alice --accept-loss', decisionCodes);
}

const decisionCodes = 'Exit code: 0, or 1 with the reason why the run refuses it.';

function addOperatorCommands(program: Command, io: Io, finish: Finish): void {
  const cancel = onRun(command(program, 'cancel', 'Stop a run politely: it undoes what it did')).action(
    async (id: string, options: Parameters<typeof cancelRun>[2]) => {
      finish.exitCode = await cancelRun(io, id, options);
    },
  );
  example(cancel, 'kirikae cancel kirikae-tumiki');

  const report = onRun(command(program, 'report', 'Write the report of a run as one HTML page'))
    .requiredOption('--out <file>', 'the file to write, e.g. --out tumiki.html', text)
    .action(async (id: string, options: Parameters<typeof writeReport>[2]) => {
      finish.exitCode = await writeReport(io, id, options);
    });
  example(report, 'kirikae report kirikae-tumiki --out tumiki.html');
}
