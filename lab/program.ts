/** How a laboratory command starts: its options read, its exit code set, an error said in one sentence. */
import { type Command, InvalidArgumentError } from 'commander';
import { sentence } from '../src/errors';

/** An option's whole number. @throws InvalidArgumentError */
export function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 1_000_000)
    throw new InvalidArgumentError('Expected a whole number from 1 to 1000000.');
  return value;
}

/** Runs the program with this process's arguments. @param main gets the options, and gives the exit code */
export function runProgram<Options>(program: Command, main: (options: Options) => Promise<number>): void {
  program
    .action(async (options: Options) => {
      try {
        process.exitCode = await main(options);
      } catch (error) {
        process.stderr.write(`${sentence(error)}\n`);
        if (process.env.KIRIKAE_DEBUG === '1') console.error(error);
        process.exitCode = 1;
      }
    })
    .parseAsync()
    .catch(() => {
      process.exitCode = 1;
    });
}
