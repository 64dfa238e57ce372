/** What the commands have in common: options, arguments, examples. */
import { type Command, InvalidArgumentError } from 'commander';

export function command(program: Command, name: string, description: string): Command {
  return withJson(program, name, description).option(
    '--yes',
    `answer every question with yes, e.g. kirikae ${name} … --yes`,
  );
}

export function withJson(program: Command, name: string, description: string): Command {
  return program
    .command(name)
    .description(`${description}.`)
    .option('--json', `print JSON alone, e.g. kirikae ${name} … --json | jq`);
}

export function onRun(command: Command): Command {
  return command.argument('<id>', 'the workflow ID of the run, e.g. kirikae-tumiki', text);
}

export function withConfig(command: Command): Command {
  return command.option(
    '--config <file>',
    'the settings, e.g. --config ./kirikae.yaml (default: KIRIKAE_CONFIG, else ./kirikae.yaml)',
    text,
  );
}

export function decision(program: Command, name: string, description: string): Command {
  return onRun(command(program, name, description))
    .requiredOption('--by <name>', 'who says it, e.g. --by alice', text)
    .option('--note <note>', 'why, kept for the report, e.g. --note "agreed in the call"', text);
}

export function example(command: Command, line: string, more?: string): void {
  command.addHelpText('after', `\nExample:\n  ${line}${more ? `\n\n${more}` : ''}`);
}

export function wholeNumber(value: string): number {
  if (!/^[1-9]\d{0,2}$/.test(value))
    throw new InvalidArgumentError('It must be a whole number from 1 to 999.');
  return Number(value);
}

export function text(value: string): string {
  if (value.trim() === '') throw new InvalidArgumentError('It must not be empty.');
  return value;
}
