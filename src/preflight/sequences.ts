/** Preflight of the new schema's sequences: those that would have no value left, and rows that stand where one ends. */
import type { Client } from 'pg';
import { readSequenceStates, type SequenceState } from '../engine/tables';
import { fromSql, type CompiledMapping } from '../mapping/compiled';
import { openReader, type Reader } from '../mapping/reader';
import { advanced, filledNumbers, reachOf, takenSql, valuesLeft, type Reach } from '../migrate/sequences';
import { readCatalog, type Sequence } from '../postgres/catalog';
import { readOwnSettings } from '../postgres/own-settings';
import { qualified, readable } from '../postgres/sql';

const fewLeft = 1000n;

interface Edges {
  /** The farthest value that the sequence can be moved to. */
  taken: string | null;
  /** One between that and the sequence's end, which it can't be moved to. */
  atEnd: string | null;
}

/** Where each sequence of the new schema will stand, from production's rows through the mapping. */
export async function lookAtSequences(
  production: Client,
  shadow: Client,
  { compiled, schemas }: { compiled: CompiledMapping; schemas: readonly string[] },
): Promise<{ findings: string[]; notes: string[] }> {
  const findings: string[] = [];
  const notes: string[] = [];
  const catalog = await readCatalog(shadow, schemas);
  const fresh = byName(await readSequenceStates(shadow, schemas));
  const old = byName(await readSequenceStates(production, schemas));
  const read = openReader(production, { schemas, own: await readOwnSettings(production) });
  for (const sequence of catalog.sequences) {
    const name = readable(sequence);
    const carried = old.get(qualified(sequence));
    const before = carried ?? fresh.get(qualified(sequence));
    if (!before) continue;
    if (!isWithin(sequence, before.lastValue)) {
      findings.push(
        `Sequence ${name} stands at ${before.lastValue} in production, and the new schema's goes from ${sequence.min} to ${sequence.max}. Let it reach that value there (as bigint, maxvalue, minvalue).`,
      );
      continue;
    }
    if (sequence.cycles) continue;
    let state = before;
    for (const { table, column } of filledNumbers(catalog, sequence)) {
      const target = compiled.tables.find((item) => qualified(item.target) === qualified(table));
      const place = target?.columns.indexOf(column) ?? -1;
      for (const source of place < 0 ? [] : (target?.sources ?? [])) {
        const rows = `from (select ${source.expressions[place] ?? 'null'} as v ${fromSql(source)}) q`;
        const { taken, atEnd } = await edges(read, rows, reachOf(sequence, state));
        state = advanced(sequence, state, taken);
        if (atEnd === null) continue;
        notes.push(
          `${readable(table)}.${column} holds ${atEnd}, where its sequence ${name} ends. The sequence goes on after ${state.lastValue}, and inserts will fail when it comes there.`,
        );
      }
    }
    const left = valuesLeft(sequence, state);
    if (state !== before && left > 0n && left < fewLeft) {
      notes.push(
        `Sequence ${name} will stand at ${state.lastValue}, the largest value of what it fills that isn't its last, and have ${left} ${left === 1n ? 'value' : 'values'} left.`,
      );
    }
    if (left === 0n) {
      findings.push(
        `Sequence ${name} would be at its end (${state.lastValue}), so that every insert that needs a value from it fails. Let it go farther in the new schema (as bigint, maxvalue, minvalue, cycle), or set it back in production (alter sequence … restart).`,
      );
    }
  }
  return { findings, notes: [...new Set(notes)] };
}

function byName(states: readonly SequenceState[]): Map<string, SequenceState> {
  return new Map(states.map((state) => [qualified(state), state]));
}

function isWithin({ min, max }: Sequence, value: string): boolean {
  return BigInt(value) >= BigInt(min) && BigInt(value) <= BigInt(max);
}

// What the data or an expression gets wrong is the scan's to say.
async function edges(read: Reader, rows: string, reach: Reach): Promise<Edges> {
  const beyond = reach.ascending
    ? `select max(v)::text ${rows} where v > ${reach.reach} and v <= ${reach.end}`
    : `select min(v)::text ${rows} where v < ${reach.reach} and v >= ${reach.end}`;
  const result = await read(`select ${takenSql('v', rows, reach)} as taken, (${beyond}) as "atEnd"`);
  const [row] = result.kind === 'rows' ? result.rows : [];
  return { taken: row?.taken ?? null, atEnd: row?.atEnd ?? null };
}
