/** One exported snapshot of a live database, held by one session: everything read under it is of one moment. */
import type { Client } from 'pg';
import { KirikaeError, codeOf } from '../errors';
import { connect, destroy, disconnect, one } from '../postgres/connect';
import { literal } from '../postgres/sql';

export interface Snapshot {
  /** Hand it to `copyGroup` and `hashTables` while the snapshot is held. */
  id: string;
  /** Settles when the holding session is lost: what was read so far is of no use then. */
  lost: Promise<void>;
  release: () => Promise<void>;
}

/** Opens a session that exports a snapshot of the database and holds it until released or lost. */
export async function holdSnapshot(url: string, label: string): Promise<Snapshot> {
  const client = await connect(url, `${label} snapshot`);
  const lost = new Promise<void>((resolve) => client.once('end', resolve));
  try {
    await client.query('begin isolation level repeatable read read only');
    const { id } = await one<{ id: string }>(client, 'select pg_export_snapshot() as id');
    return { id, lost, release: () => disconnect(client) };
  } catch (error) {
    destroy(client);
    throw error;
  }
}

/**
 * Begins a transaction that only reads, of the snapshot's moment if one is given.
 * @throws KirikaeError SnapshotLost when nobody holds the snapshot any more: the copy must start again
 */
export async function beginReading(client: Client, snapshot: string | undefined): Promise<void> {
  await client.query('begin isolation level repeatable read read only');
  if (snapshot === undefined) return;
  try {
    await client.query(`set transaction snapshot ${literal(snapshot)}`);
  } catch (error) {
    // 22023, or 42704 from PostgreSQL 17 on: nobody holds it.
    if (!['22023', '42704', '55000'].includes(codeOf(error) ?? '')) throw error;
    throw new KirikaeError(
      'SnapshotLost',
      'The session that held the snapshot of the live database has ended, so that its moment is gone. Nothing was changed in production; the copy starts again with a new snapshot.',
      { cause: error },
    );
  }
}
