/** The database that a variable names, for commands that need neither settings nor Temporal. */
import { codeOf, KirikaeError, sentence } from '../src/errors';
import { connect, disconnect } from '../src/postgres/connect';
import type { Endpoint } from '../src/postgres/endpoint';
import { placeOf, urlProblem } from '../src/postgres/url';
import { CommandFailed } from './failures';
import type { Io } from './terminal';

/** A database by the environment variable that holds its URL. */
export interface NamedDatabase {
  variable: string;
  /** What messages call it. */
  title: string;
}

/**
 * Opens a session of the database for `work` and ends it in every case.
 * @throws CommandFailed with a sentence for what can't be reached and for whatever `work` finds wrong
 */
export async function withDatabase<T>(
  io: Io,
  { variable, title }: NamedDatabase,
  work: (database: Endpoint) => Promise<T>,
): Promise<T> {
  const url = urlOf(io, variable);
  const client = await connect(url, 'command').catch((error: unknown) => {
    throw new CommandFailed(
      `The database ${placeOf(url)} of the variable ${variable} can't be reached: ${sentence(error)}. Nothing was done. Correct the variable or start the server, then run this command again.`,
    );
  });
  try {
    return await work({ title, url, client });
  } catch (error) {
    if (error instanceof KirikaeError) throw new CommandFailed(error.message);
    if (codeOf(error) === undefined) throw error;
    throw new CommandFailed(`The database ${placeOf(url)} (${title}) says: ${sentence(error)}.`);
  } finally {
    await disconnect(client);
  }
}

function urlOf(io: Io, variable: string): string {
  if (variable.includes('://'))
    throw new CommandFailed(
      'The name of an environment variable is expected, not a URL, which others could read in the list of processes. Set a variable to the URL, and give its name.',
    );
  const url = io.env[variable];
  if (!url)
    throw new CommandFailed(
      `The variable ${variable} isn't set. It must hold the URL of a database, e.g. export ${variable}=postgres://user@host:5432/name.`,
    );
  const problem = urlProblem(url);
  if (problem !== null)
    throw new CommandFailed(
      `The variable ${variable} ${problem}. Set it to the URL of a database, e.g. postgres://user@host:5432/name.`,
    );
  return url;
}
