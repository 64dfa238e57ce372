/** Production's rows held against the sealed manifest: before they are dropped, and after they were brought back. */
import { hashTables } from '../engine/compare';
import { describeDifferences, hashJob, narrowStored, type StoredSide } from '../engine/differences';
import type { Work } from '../postgres/endpoint';
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
