/** Old objects that a reset has set aside, held against the sealed manifest before they are moved home. */
import type { Client } from 'pg';
import { sequencesUnlikeManifest } from '../backup/held-against';
import { hashOfManifest, parseManifest, sealedTables, type Manifest } from '../backup/manifest';
import { untouchedTables } from '../backup/witness';
import { hashTables } from '../engine/compare';
import { describeDifferences, hashJob } from '../engine/differences';
import { readSequenceStates, readStoredTables } from '../engine/tables';
import { all } from '../postgres/connect';
import type { Endpoint, Work } from '../postgres/endpoint';
import { qualified, type TableName } from '../postgres/sql';
import { definitionWitness, keptSchemas } from './set-aside';

/** Notes what the objects that were set aside are held against. Runs in the caller's transaction. */
export async function noteKeptManifest(client: Client, manifest: Manifest): Promise<void> {
  await client.query('insert into kirikae.kept_manifest (manifest) values ($1)', [JSON.stringify(manifest)]);
}

/**
 * Looks whether the old objects wait in production as they were sealed: the backup isn't needed then.
 * @param manifestHash of the manifest that the claim noted
 * @returns null when none wait, else a clause for each problem; none when they may be moved home
 */
export async function judgeKept(
  production: Endpoint,
  manifestHash: string | null,
  work: Work,
): Promise<string[] | null> {
  if ((await keptSchemas(production.client)).length === 0) return null;
  const [noted] = await all<{ manifest: string }>(
    production.client,
    'select manifest from kirikae.kept_manifest',
  );
  const manifest = parseManifest(noted?.manifest ?? null);
  if (!manifest || hashOfManifest(manifest) !== manifestHash)
    return ["what they are held against (kirikae.kept_manifest) is not the run's sealed manifest"];
  return unlikeKept(production, manifest, work);
}

/**
 * Proves that the objects set aside are what was sealed: their definition by its witness, sequences by their state, rows by
 * witnesses that stayed the same and by reading where one has changed or can't tell.
 * @returns a clause for each problem; empty when they may be moved home
 */
export async function unlikeKept(production: Endpoint, manifest: Manifest, work: Work): Promise<string[]> {
  const { client, url } = production;
  const kept = await keptSchemas(client);
  const homes = new Map(kept.map(({ home, schema }) => [schema, home]));
  const schemas = [...homes.keys()];
  const atHome = <T extends TableName>(object: T): T => ({
    ...object,
    schema: homes.get(object.schema) ?? '',
  });
  const problems = await changedDefinitions(client);
  const untouched = await untouchedTables(client, 'kirikae.kept_table', schemas);
  const sealed = sealedTables(manifest);
  const found = new Map<string, { rows: number; hash: string }>();
  const read = [];
  for (const table of await readStoredTables(client, schemas)) {
    const name = qualified(atHome(table));
    const asSealed = sealed.get(name);
    if (asSealed && untouched.has(qualified(table))) found.set(name, asSealed);
    else read.push({ ...hashJob(table), name });
  }
  const hashes = await hashTables(read, { ...work, method: manifest.hashMethod, url });
  for (const [name, hash] of hashes) found.set(name, hash);
  const none = () => Promise.resolve('');
  problems.push(...(await describeDifferences([sealed, found], ['the manifest', 'what was kept'], none)));
  const sequences = await readSequenceStates(client, schemas);
  problems.push(...sequencesUnlikeManifest(sequences.map(atHome), manifest));
  return problems;
}

async function changedDefinitions(client: Client): Promise<string[]> {
  const noted = await all<{ schema: string; home: string; definition: string | null }>(
    client,
    'select schema, home, definition from kirikae.kept order by position',
  );
  const problems: string[] = [];
  for (const { schema, home, definition } of noted) {
    if (definition !== (await definitionWitness(client, schema)))
      problems.push(`the definition of what was kept of schema ${home} has changed`);
  }
  return problems;
}
