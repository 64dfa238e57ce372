/** What names a row for people: its primary key in the new schema, else its place in production's table; the first ten are named. */
import { oneLine } from '../text';
import type { CompiledSource, CompiledTable } from './compiled';

/** How many rows are named. */
export const mostKeys = 10;

/** Characters of each value. */
const valueLength = 60;

/** SQL for the text that names a row of a source, and what these texts are. */
export interface RowKeys {
  of: (source: CompiledSource) => string;
  title: string;
}

/** How the rows of a table are named. */
export function keysOf({ primaryKey, columns, sources }: CompiledTable): RowKeys {
  const places = (primaryKey ?? []).map((name) => columns.indexOf(name));
  if (places.length === 0 || places.includes(-1)) {
    const names = [...new Set(sources.map(({ table }) => table.name))];
    return { of: () => 'source.ctid::text', title: `ctid of ${names.join(' or ')}` };
  }
  return {
    // One whose key is NULL is named by its place.
    of: (source) =>
      `coalesce(nullif(${keyText(places.map((place) => source.expressions[place] ?? 'null'))}, ''), source.ctid::text)`,
    title: (primaryKey ?? []).join(', '),
  };
}

/** SQL: one text, of bounded length, for the values of a key. */
export function keyText(values: readonly string[]): string {
  const texts = values.map((value) => `left((${value})::text, ${valueLength})`);
  return `pg_catalog.concat_ws(', ', ${texts.join(', ')})`;
}

/** The end of a finding. @param title what the keys are called; @param rows how many there are in all */
export function firstKeys(title: string, { rows, keys }: { rows: number; keys: readonly string[] }): string {
  if (keys.length === 0) return 'Which they are could not be read.';
  const list = keys.map((key) => oneLine(key, 2 * valueLength)).join('; ');
  return `${rows > keys.length ? `The first ${keys.length}` : 'Which'} (${title}): ${list}.`;
}
