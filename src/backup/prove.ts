/** A sealed backup held against its manifest before anything is emptied on its strength, and kept from changing until it is home. */
import type { Client } from 'pg';
import { hashTables, type TableHash } from '../engine/compare';
import { describeDifferences, hashJob, maxProblems, narrowStored, storedSide } from '../engine/differences';
import { readSequenceStates } from '../engine/tables';
import { all, one } from '../postgres/connect';
import type { Endpoint, Work } from '../postgres/endpoint';
import { lockTables } from '../postgres/managed-schemas';
import { qualified } from '../postgres/sql';
import { sequencesUnlikeManifest } from './held-against';
import {
  altered,
  hashOfColumns,
  hashOfManifest,
  sealedManifest,
  sealedTables,
  type Manifest,
} from './manifest';
import { untouchedTables } from './witness';

/** What a backup is held against. */
export interface Expected {
  /** Of the manifest that the claim noted; null where nothing is known of it. */
  manifestHash: string | null;
  /** A database that still holds the same rows, e.g. production before the reset: differing rows are named with its help. */
  twin?: Endpoint;
}

/**
 * Proves that a backup is what was sealed: manifest, definitions, columns, sequences; rows by witnesses that stayed the same, and
 * by reading where one has changed or can't tell.
 * @returns the manifest
 * @throws KirikaeError DataDiffer naming what was altered, StepFailed when the backup is not sealed
 */
export async function proveBackup(backup: Endpoint, expected: Expected, work: Work): Promise<Manifest> {
  const manifest = await sealedManifest(backup.client);
  const hash = hashOfManifest(manifest);
  if (expected.manifestHash !== null && hash !== expected.manifestHash)
    throw altered(backup.client, [
      `its manifest is ${hash}, and ${expected.manifestHash} is what the run sealed`,
    ]);
  const untouched = await untouchedTables(backup.client, 'kirikae.sealed_table', manifest.schemas);
  const problems = await unlikeSealed(backup, { manifest, untouched, twin: expected.twin }, work);
  if (problems.length > 0) throw altered(backup.client, problems.slice(0, maxProblems));
  return manifest;
}

/**
 * Reads a backup's tables and sequences and holds them against its manifest.
 * @param judged.untouched tables, by their quoted names, whose rows needn't be read
 * @returns a clause for each problem
 */
export async function unlikeSealed(
  backup: Endpoint,
  { manifest, untouched, twin }: { manifest: Manifest; untouched: ReadonlySet<string>; twin?: Endpoint },
  work: Work,
): Promise<string[]> {
  const { schemas } = manifest;
  const side = await storedSide(backup, schemas);
  const sealed = sealedTables(manifest);
  const columns = new Map(manifest.tables.map((table) => [qualified(table), table.columns]));
  const otherColumns = side.tables.filter((table) => {
    const before = columns.get(qualified(table));
    return before !== undefined && before !== hashOfColumns(table);
  });
  const problems = otherColumns.map((table) => `table ${qualified(table)} has other columns`);
  const others = new Set(otherColumns.map(qualified));
  const reading = { ...work, method: manifest.hashMethod };
  const isRead = (name: string) => !untouched.has(name) && !others.has(name);
  const read = side.tables.filter((table) => isRead(qualified(table)));
  const found = await hashTables(read.map(hashJob), { ...reading, url: backup.url });
  for (const table of side.tables) {
    const name = qualified(table);
    const asSealed: TableHash | undefined = sealed.get(name);
    if (!isRead(name) && asSealed) found.set(name, asSealed);
  }
  const narrow = twin
    ? narrowStored(await storedSide(twin, schemas), side, reading)
    : () => Promise.resolve('');
  problems.push(...(await describeDifferences([sealed, found], ['its manifest', backup.title], narrow)));
  problems.push(...sequencesUnlikeManifest(await readSequenceStates(backup.client, schemas), manifest));
  return problems;
}

/**
 * Keeps everybody from writing to the backup's tables until the session ends: who tries waits. Opens a transaction of the session
 * that is never ended, so that the session is used for nothing else.
 * @throws an outage when a writer doesn't finish within 20 s
 */
export async function holdBackup({ client }: Endpoint, { tables }: Manifest): Promise<void> {
  await client.query('begin');
  await client.query(`set local lock_timeout = '20s'`);
  await lockTables(client, tables, 'share');
}

/**
 * True when sessions keep everybody from writing to all tables of the backup.
 * @param label the sessions' application_name
 */
export async function isHeld(backup: Client, label: string): Promise<boolean> {
  const { tables } = await sealedManifest(backup);
  const held = await all<{ relation: number }>(
    backup,
    `select distinct l.relation::int8::float8 as relation from pg_locks l join pg_stat_activity a using (pid)
     where l.locktype = 'relation' and l.mode = 'ShareLock' and l.granted and a.application_name = $1
       and l.database = (select oid from pg_database where datname = current_database())`,
    [label],
  );
  const { oids } = await one<{ oids: (number | null)[] }>(
    backup,
    'select array(select to_regclass(name)::oid::int8::float8 from unnest($1::text[]) name) as oids',
    [tables.map(qualified)],
  );
  const holds = new Set(held.map(({ relation }) => relation));
  if (tables.length > 0) return oids.every((oid) => oid !== null && holds.has(oid));
  const sessions = await all(backup, 'select 1 from pg_stat_activity where application_name = $1', [label]);
  return sessions.length > 0;
}
