/** Sequences after the rows: none gives a value that is taken, and none is brought to its end. */
import type { Client } from 'pg';
import type { Manifest } from '../backup/manifest';
import { readSequenceStates, writeSequences, type SequenceState } from '../engine/tables';
import { columnOf, readCatalog, type Catalog, type Sequence } from '../postgres/catalog';
import { one } from '../postgres/connect';
import { type TableName, identifier, qualified } from '../postgres/sql';

/** How far a sequence may be moved: to `reach`, after which it has one value left; `end` is the last it could give. */
export interface Reach {
  ascending: boolean;
  reach: string;
  end: string;
}

/** A sequence of the same name goes on where the old one stood; one that fills a column never gives a value that is taken. */
export async function advanceSequences(
  client: Client,
  schemas: readonly string[],
  manifest: Manifest,
): Promise<void> {
  await writeSequences(client, manifest.sequences, { missing: 'skip' });
  const catalog = await readCatalog(client, schemas);
  const states = new Map(
    (await readSequenceStates(client, schemas)).map((state) => [qualified(state), state]),
  );
  for (const sequence of catalog.sequences) {
    const before = states.get(qualified(sequence));
    if (!before) continue;
    let state = before;
    for (const { table, column } of filledNumbers(catalog, sequence)) {
      const { taken } = await one<{ taken: string | null }>(
        client,
        `select ${takenSql(identifier(column), `from ${qualified(table)}`, reachOf(sequence, state))} as taken`,
      );
      state = advanced(sequence, state, taken);
    }
    if (state !== before) await writeSequences(client, [state]);
  }
}

/** The columns of numbers that a sequence fills; none for one that cycles, which gives taken values on purpose. */
export function filledNumbers(catalog: Catalog, sequence: Sequence): Sequence['fills'] {
  if (sequence.cycles) return [];
  return sequence.fills.filter(({ table, column }) =>
    /^(smallint|integer|bigint|numeric)$/.test(typeOf(catalog, table, column)),
  );
}

function typeOf(catalog: Catalog, table: TableName, column: string): string {
  const found = catalog.tables.find((item) => qualified(item) === qualified(table));
  return (found && columnOf(found, column)?.baseType) ?? '';
}

/** Its values are those that it would give from where it stands: several databases may share a number range by increments. */
export function reachOf(sequence: Sequence, { lastValue }: SequenceState): Reach {
  const [last, increment] = [BigInt(lastValue), BigInt(sequence.increment)];
  const limit = BigInt(increment > 0n ? sequence.max : sequence.min);
  const end = last + ((limit - last) / increment) * increment;
  return { ascending: increment > 0n, reach: String(end - increment), end: String(end) };
}

/** SQL of the farthest taken value that the sequence can be moved to; null for none. */
export function takenSql(value: string, from: string, { ascending, reach }: Reach): string {
  return ascending
    ? `(select ceil(max(${value})::numeric)::text ${from} where ${value} <= ${reach})`
    : `(select floor(min(${value})::numeric)::text ${from} where ${value} >= ${reach})`;
}

/** The state after a value that is taken: the same one unless that value is still to come. */
export function advanced(sequence: Sequence, state: SequenceState, taken: string | null): SequenceState {
  if (taken === null) return state;
  const [last, increment] = [BigInt(state.lastValue), BigInt(sequence.increment)];
  const distance = (BigInt(taken) - last) * (increment > 0n ? 1n : -1n);
  if (distance < 0n || (distance === 0n && state.isCalled)) return state;
  const step = increment > 0n ? increment : -increment;
  const steps = (distance + step - 1n) / step;
  return { ...state, lastValue: String(last + steps * increment), isCalled: true };
}

/** How many values a sequence that doesn't cycle has left. */
export function valuesLeft(sequence: Sequence, state: SequenceState): bigint {
  const { end } = reachOf(sequence, state);
  const steps = (BigInt(end) - BigInt(state.lastValue)) / BigInt(sequence.increment);
  return state.isCalled ? steps : steps + 1n;
}
