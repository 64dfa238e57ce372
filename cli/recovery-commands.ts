/** The commands that need no Temporal: `restore`, `verify-backup`, `remove-backup`, `recover`. */
import type { Command } from 'commander';
import { example, text, withConfig, withJson } from './command-options';
import { recoverPlan } from './recover';
import { removePlansBackup } from './remove-backup';
import { restoreBackup } from './restore';
import type { Io } from './terminal';
import { verifyBackup } from './verify-backup';

/** Adds the commands that need no Temporal: backups, and recovery. */
export function addRecoveryCommands(program: Command, io: Io, finish: { exitCode: number }): void {
  const restore = withJson(
    program,
    'restore',
    'Restore a sealed backup into any database and prove it; needs no Temporal',
  )
    .requiredOption(
      '--from <variable>',
      "the variable that holds the backup's URL, e.g. --from BACKUP_DATABASE_URL",
      text,
    )
    .requiredOption(
      '--to <variable>',
      "the variable that holds the target's URL, e.g. --to RESTORED_DATABASE_URL",
      text,
    )
    .option('--yes <database>', 'the name of the target, whose schemas may be emptied, e.g. --yes app', text)
    .action(async (options: Parameters<typeof restoreBackup>[1]) => {
      finish.exitCode = await restoreBackup(io, options);
    });
  example(
    restore,
    'kirikae restore --from BACKUP_DATABASE_URL --to RESTORED_DATABASE_URL',
    'Exit code: 0 when the target is proved identical to the backup, else 1 with what is wrong.',
  );
  const verify = withJson(program, 'verify-backup', 'Read a backup whole and judge it')
    .argument('<variable>', "the variable that holds the backup's URL, e.g. BACKUP_DATABASE_URL", text)
    .action(async (variable: string, options: Parameters<typeof verifyBackup>[2]) => {
      finish.exitCode = await verifyBackup(io, variable, options);
    });
  example(
    verify,
    'kirikae verify-backup BACKUP_DATABASE_URL',
    'Exit code: 0 when it is what was sealed, else 1 with every problem listed.',
  );
  const recover = withConfig(
    withJson(
      program,
      'recover',
      'Bring production to a safe end without Temporal: as its ledger says, asking first',
    ),
  )
    .argument('<plan>', 'the plan, e.g. tumiki', text)
    .option(
      '--yes <database>',
      "the name of production's database, answers the question, e.g. --yes app",
      text,
    )
    .option('--accept-loss', 'go back even where the ledger and its mirror disagree')
    .action(async (plan: string, options: Parameters<typeof recoverPlan>[2]) => {
      finish.exitCode = await recoverPlan(io, plan, options);
    });
  example(
    recover,
    'kirikae recover tumiki',
    'Exit code: 0 when production is safe again, else 1 with what stops it; it may be repeated, and goes on from there.',
  );
  const remove = withConfig(
    withJson(
      program,
      'remove-backup',
      "Remove a plan's backup and the copies set aside beside it, once they are proved to be its own",
    ),
  )
    .argument('<plan>', 'the plan, e.g. tumiki', text)
    .option(
      '--yes <database>',
      'the name of the database to remove, answers the question, e.g. --yes app_backup',
      text,
    )
    .action(async (plan: string, options: Parameters<typeof removePlansBackup>[2]) => {
      finish.exitCode = await removePlansBackup(io, plan, options);
    });
  example(
    remove,
    'kirikae remove-backup tumiki',
    'Exit code: 0 when it is removed or there is none, else 1.',
  );
}
