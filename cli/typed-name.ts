/** What destroys asks for a database's name: typed on a terminal, or given with `--yes DATABASE`. */
import { CommandFailed } from './failures';
import { askText, type CommonOptions, type Io } from './terminal';

export interface Question {
  question: string;
  database: string;
  /** The answer from the command line. */
  yes: string | undefined;
}

/**
 * Asks for the name of a database.
 * @returns true when it was given
 * @throws CommandFailed when another was given, or nobody can be asked
 */
export async function typedName(
  io: Io,
  { question, database, yes }: Question,
  options: CommonOptions,
): Promise<boolean> {
  const typed =
    yes ??
    (io.isTerminal
      ? await askText(io, options, `${question} Type the database's name to go on:`)
      : undefined);
  if (typed?.trim() === database) return true;
  throw new CommandFailed(
    typed === undefined
      ? `${question} Nothing was changed. Run this command on a terminal, or again with --yes ${database}`
      : `"${typed}" is not the name of the database ${database}, so nothing was changed.`,
  );
}
