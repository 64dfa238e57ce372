/** The command line in this process: what it wrote, what it returned, and keys pressed for it. */
import { PassThrough } from 'node:stream';
import { runCli } from '../../cli/main';
import { until } from '../../lab/stage';

export interface CliResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs one command as on a command line.
 * @param keys what to press on the terminal once a text has appeared; given keys make it a terminal
 */
export async function runCommand(
  args: string[],
  env: NodeJS.ProcessEnv,
  keys?: { after: string; press: string }[],
): Promise<CliResult> {
  const stdin = new PassThrough();
  const written = { stdout: '', stderr: '' };
  const waiting = [...(keys ?? [])];
  let seen = '';
  // Keys that come before the question listens are thrown away, as on a real terminal. Two listeners are readline's and the
  // cursor's; the question's own comes after it has been drawn.
  const isAsking = () => stdin.listenerCount('keypress') > 2;
  const collect = (name: 'stdout' | 'stderr') => {
    const stream = new PassThrough();
    stream.on('data', (chunk: Buffer) => {
      written[name] += chunk.toString();
      seen += chunk.toString();
      const next = waiting[0];
      if (!next || !seen.includes(next.after)) return;
      waiting.shift();
      seen = '';
      until(isAsking, 10_000)
        .then(() => stdin.write(next.press))
        .catch(() => undefined);
    });
    return stream;
  };
  const exitCode = await runCli(args, {
    stdin,
    stdout: collect('stdout'),
    stderr: collect('stderr'),
    isTerminal: keys !== undefined,
    env,
  });
  return { exitCode, ...written };
}
