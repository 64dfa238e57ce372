/** A frame on a terminal that is drawn again in place, always whole and never taller than the window. */
import { stripVTControlCharacters } from 'node:util';
import logUpdate from 'log-update';
import type { Io } from './terminal';

export interface Screen {
  /** Draws a frame over the one before: the first of these texts that fits, else the end of the last. */
  draw: (...texts: string[]) => void;
  /** Leaves a text standing in the place of the frame; what is written from now on stands below it. */
  keep: (text?: string) => void;
}

const usualSize = { columns: 80, rows: 24 };

export function openScreen({ stdout }: Io): Screen {
  const update = logUpdate.create(stdout);
  return {
    draw: (...texts) => {
      const columns = stdout.columns ?? usualSize.columns;
      // The cursor stands on a line of its own below the frame.
      const rows = (stdout.rows ?? usualSize.rows) - 1;
      const fitting = texts.find((text) => heightOf(text, columns) <= rows);
      update(fitting ?? endOf(texts.at(-1) ?? '', { columns, rows }));
    },
    keep: (text) => {
      if (text !== undefined) {
        update.clear();
        stdout.write(`${text}\n`);
      }
      update.done();
    },
  };
}

function heightOf(text: string, columns: number): number {
  return text.split('\n').reduce((sum, line) => sum + linesOf(line, columns), 0);
}

function linesOf(line: string, columns: number): number {
  return Math.max(1, Math.ceil(stripVTControlCharacters(line).length / columns));
}

// What to do next stands at the end.
function endOf(text: string, { columns, rows }: { columns: number; rows: number }): string {
  const lines = text.split('\n');
  let height = heightOf(text, columns);
  while (lines.length > 1 && height > rows) height -= linesOf(lines.shift() ?? '', columns);
  return lines.join('\n');
}
