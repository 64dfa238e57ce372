/** Production's rows, sequences and definition held against the sealed manifest: before they are dropped, and after they were brought back. */
import { hashTables } from '../engine/compare';
import {
  describeDifferences,
  hashJob,
  narrowStored,
  storedSide,
  type StoredSide,
} from '../engine/differences';
import { readSequenceStates, type SequenceState } from '../engine/tables';
import type { Endpoint, Work } from '../postgres/endpoint';
import { qualified } from '../postgres/sql';
import { unlikeDefinition } from './definition';
import { readBackup, sealedTables, type Manifest } from './manifest';

/**
 * Reads production: its tables, sequences and definition, owners and grants included.
 * @param schemas production's managed ones
 * @returns a clause for each thing that isn't as sealed; differing rows are named by primary key; and notes on what is as sealed, but
 * printed otherwise
 */
export async function unlikeManifest(
  production: StoredSide,
  backup: Endpoint,
  { manifest, schemas, work }: { manifest: Manifest; schemas: readonly string[]; work: Work },
): Promise<{ problems: string[]; notes: string[] }> {
  const copy = await storedSide(backup, manifest.schemas);
  const problems = await rowsUnlikeManifest(production, copy, { manifest, work });
  const sequences = await readSequenceStates(production.client, schemas);
  problems.push(...sequencesUnlikeManifest(sequences, manifest));
  const { definitions } = await readBackup(backup.client);
  const definition = await unlikeDefinition(production, definitions.printings, schemas);
  return { problems: [...problems, ...definition.problems], notes: definition.notes };
}

async function rowsUnlikeManifest(
  production: StoredSide,
  backup: StoredSide,
  { manifest, work }: { manifest: Manifest; work: Work },
): Promise<string[]> {
  const reading = { ...work, method: manifest.hashMethod };
  const now = await hashTables(production.tables.map(hashJob), { ...reading, url: production.url });
  return describeDifferences(
    [sealedTables(manifest), now],
    [backup.title, production.title],
    narrowStored(backup, production, reading),
  );
}

/** A sentence for each sequence that isn't where it was sealed, is missing, or is new. */
export function sequencesUnlikeManifest(found: readonly SequenceState[], { sequences }: Manifest): string[] {
  const state = (list: readonly SequenceState[]) =>
    new Map(list.map((s) => [qualified(s), `${s.lastValue} ${s.isCalled}`]));
  const [before, after] = [state(sequences), state(found)];
  const problems: string[] = [];
  for (const [name, value] of before) {
    if (after.get(name) !== value)
      problems.push(`sequence ${name} was at ${value} and is at ${after.get(name) ?? 'nothing'}`);
  }
  for (const name of after.keys()) if (!before.has(name)) problems.push(`sequence ${name} is new`);
  return problems;
}
