/** Where the command line reads and writes: streams, colours, and questions on a terminal. */
import { checkbox, confirm, input } from '@inquirer/prompts';
import pc from 'picocolors';

export interface Io {
  stdin: NodeJS.ReadableStream;
  stdout: NodeJS.WritableStream & { columns?: number; rows?: number };
  stderr: NodeJS.WritableStream;
  /** A person sits there: questions may be asked and the screen may be redrawn. */
  isTerminal: boolean;
  env: NodeJS.ProcessEnv;
}

/** Options every command takes. */
export interface CommonOptions {
  json?: boolean;
  yes?: boolean;
}

export type Colors = ReturnType<typeof pc.createColors>;

/** The streams and environment of this process. */
export function processIo(): Io {
  const { stdin, stdout, stderr, env } = process;
  // A reader that closes early, such as `head`, is no error.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
  });
  return { stdin, stdout, stderr, isTerminal: Boolean(stdin.isTTY && stdout.isTTY), env };
}

/** Writes a line for people, or the JSON instead when `--json` was given. */
export function print(io: Io, text: string): void {
  io.stdout.write(`${text}\n`);
}

export function printJson(io: Io, value: unknown): void {
  print(io, JSON.stringify(value, null, 2));
}

/** Colours on a terminal, none elsewhere or with `NO_COLOR`. */
export function colorsOf(io: Io): Colors {
  return pc.createColors(io.isTerminal && !io.env.NO_COLOR);
}

/** Asks a yes-or-no question on the terminal; the default answer is no. */
export function askYesNo(io: Io, options: CommonOptions, message: string): Promise<boolean> {
  return confirm({ message, default: false }, streams(io, options));
}

/** Asks for a text on the terminal. */
export function askText(io: Io, options: CommonOptions, message: string): Promise<string> {
  return input({ message }, streams(io, options));
}

/** Asks which items are true; returns those that were ticked. */
export function askItems(
  io: Io,
  options: CommonOptions,
  message: string,
  items: string[],
): Promise<string[]> {
  const choices = items.map((item) => ({ name: item, value: item }));
  return checkbox({ message, choices, loop: false, pageSize: 15 }, streams(io, options));
}

// With --json stdout carries JSON alone, so the question goes to stderr.
function streams(io: Io, options: CommonOptions) {
  return { input: io.stdin, output: options.json ? io.stderr : io.stdout };
}
