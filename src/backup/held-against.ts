/** Production's rows and sequences held against the sealed manifest: before they are dropped, and after they were brought back. */
import { hashTables } from '../engine/compare';
import { describeDifferences, hashJob, narrowStored, type StoredSide } from '../engine/differences';
import type { SequenceState } from '../engine/tables';
import type { Work } from '../postgres/endpoint';
import { qualified } from '../postgres/sql';
import { sealedTables, type Manifest } from './manifest';

/** Reads production's tables. @returns a sentence for each that isn't as sealed, with its rows by primary key */
export async function rowsUnlikeManifest(
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
