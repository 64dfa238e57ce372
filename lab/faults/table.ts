/** Results of cells: kept in a file, so that a stopped reading goes on, and shown as the table of docs/reliability.md. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { faults, meanings, phases, titleOf, type CellResult } from './cells';

/** Finished cells of a seed, by title. */
export class Results {
  private readonly known = new Map<string, CellResult>();

  /** @param file where they are kept @param before whether what stands there is kept */
  constructor(
    private readonly file: string,
    before: 'kept' | 'anew',
  ) {
    if (before === 'anew' || !existsSync(file)) return;
    for (const result of JSON.parse(readFileSync(file, 'utf8')) as CellResult[])
      this.known.set(result.title, result);
  }

  has(title: string): boolean {
    return this.known.has(title);
  }

  all(): CellResult[] {
    return [...this.known.values()];
  }

  /** Adds a result and writes the file: a stop at any moment leaves the one before or this one. */
  keep(result: CellResult): void {
    this.known.set(result.title, result);
    mkdirSync(path.dirname(this.file), { recursive: true });
    writeFileSync(`${this.file}.new`, `${JSON.stringify(this.all(), null, 1)}\n`);
    renameSync(`${this.file}.new`, this.file);
  }
}

/** A Markdown table, a row a phase and a column a fault; below it what the faults are and what was wrong. */
export function tableOf(results: readonly CellResult[]): string {
  const byTitle = new Map(results.map((result) => [result.title, result]));
  const shown = (result: CellResult | undefined) =>
    result ? `${result.problems.length === 0 ? 'ok' : '✗'} ${result.outcome}${parked(result)}` : '';
  const rows = phases.map(
    (phase) =>
      `| \`${phase}\` | ${faults.map((fault) => shown(byTitle.get(titleOf({ phase, fault })))).join(' | ')} |`,
  );
  const wrong = results
    .filter(({ problems }) => problems.length > 0)
    .map(({ title, problems }) => `- ${title}: ${problems.join(' ')}`);
  return [
    `| phase | ${faults.map((fault) => `\`${fault}\``).join(' | ')} |`,
    `|---|${faults.map(() => '---|').join('')}`,
    ...rows,
    '',
    ...faults.map((fault) => `- \`${fault}\`: ${meanings[fault]}.`),
    ...(wrong.length > 0 ? ['', ...wrong] : []),
  ].join('\n');
}

function parked({ parks }: CellResult): string {
  return parks.length > 0 ? ', parked' : '';
}

/** A line for the terminal. */
export function lineOf({ title, metAt, outcome, production, seconds, problems, parks }: CellResult): string {
  const met = metAt === null ? 'not met' : title.startsWith(`${metAt}/`) ? '' : `at ${metAt}`;
  const words = [outcome, met, `production ${production}`, `${seconds} s`].filter(Boolean).join(', ');
  const more = [...problems, ...(problems.length === 0 ? parks.map((text) => `parked: ${text}`) : [])];
  return [
    `${problems.length === 0 ? 'ok' : '✗ '} ${title}: ${words}`,
    ...more.map((text) => `   ${text}`),
  ].join('\n');
}
