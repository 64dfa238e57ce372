/** The marker of a database: whose it is and what for. Production, backup, shadow and a copy set aside hold one each. */
import type { Client } from 'pg';
import { KirikaeError } from '../errors';
import { all } from '../postgres/connect';
import { placeOf } from '../postgres/url';
import { markerDdl } from './tables';

export type MarkedRole = 'production' | 'backup' | 'shadow' | 'aside';

/** What a marker says, and the database that it was found in. Oid and name differ where it came with a copy. */
export interface Marker {
  /** Claim id; of a shadow before there is a claim the id of the preflight that made it. */
  claim: string;
  role: MarkedRole;
  /** The database that it was written in. */
  oid: number;
  name: string;
  /** The database that it stands in now. */
  here: { oid: number; name: string };
}

/**
 * What stands under the name of our schema: nothing, our marker, or somebody else's schema (no marker, or an owner whose rights
 * this user doesn't have).
 */
export type Marked =
  { kind: 'none' } | { kind: 'marked'; marker: Marker } | { kind: 'foreign'; owner: string };

/** Reads a database's marker. */
export async function readMarker(client: Client): Promise<Marked> {
  const [schema] = await all<{ owner: string; ours: boolean; there: boolean }>(
    client,
    `select pg_get_userbyid(nspowner) as owner, pg_has_role(nspowner, 'usage') as ours,
       to_regclass('kirikae.marker') is not null as there from pg_namespace where nspname = 'kirikae'`,
  );
  if (!schema) return { kind: 'none' };
  if (!schema.ours || !schema.there) return { kind: 'foreign', owner: schema.owner };
  const [row] = await all<Omit<Marker, 'here'> & { hereOid: number; hereName: string }>(
    client,
    `select m.claim, m.role, m.oid::int8::float8 as oid, m.name, d.oid::int8::float8 as "hereOid", d.datname as "hereName"
     from kirikae.marker m, pg_database d where d.datname = current_database()`,
  );
  if (!row) return { kind: 'foreign', owner: schema.owner };
  const { hereOid, hereName, ...said } = row;
  return { kind: 'marked', marker: { ...said, here: { oid: hereOid, name: hereName } } };
}

/** True when the marker was written in the database that it stands in. */
export function isAtHome({ oid, name, here }: Marker): boolean {
  return oid === here.oid && name === here.name;
}

/** True when the database is marked as a claim's, for that role, and the marker was written in it. */
export function isMarkedAs(found: Marked, claim: string, role: MarkedRole): boolean {
  return (
    found.kind === 'marked' &&
    found.marker.claim === claim &&
    found.marker.role === role &&
    isAtHome(found.marker)
  );
}

/** Marks this database, in the caller's transaction if there is one; an earlier marker is replaced. */
export async function writeMarker(client: Client, claim: string, role: MarkedRole): Promise<void> {
  await client.query(`set client_min_messages = warning;${markerDdl}`);
  await client.query(
    `insert into kirikae.marker (claim, role, oid, name)
       select $1, $2, oid, datname from pg_database where datname = current_database()
     on conflict (singleton) do update set claim = excluded.claim, role = excluded.role, oid = excluded.oid, name = excluded.name`,
    [claim, role],
  );
}

/**
 * Makes sure that a session is in the database that it is taken for, before anything is read or written there.
 * @throws KirikaeError NeedsOperator naming what was found and what is expected
 */
export async function proveMarker(
  { client, url, title }: { client: Client; url: string; title: string },
  claim: string,
  role: MarkedRole,
): Promise<void> {
  const found = await readMarker(client);
  if (isMarkedAs(found, claim, role)) return;
  throw new KirikaeError(
    'NeedsOperator',
    `The database ${placeOf(url)} is not ${title} of this run (claim ${claim}): ${describeMarked(found)}. Nothing was read or written there. Correct the worker's variables so that they name the run's own databases, start the worker again, and send retry.`,
  );
}

/** What was found under our schema's name, as a clause. */
export function describeMarked(found: Marked): string {
  if (found.kind === 'none') return 'it has no marker of any run';
  if (found.kind === 'foreign')
    return `it has a schema kirikae of ${found.owner}'s that is not a ledger of Kirikae's`;
  const { marker } = found;
  const whose = `it is marked as ${marker.role} of claim ${marker.claim}`;
  return isAtHome(marker)
    ? whose
    : `${whose}, made in the database ${marker.name} (oid ${marker.oid}), and came here with a copy`;
}
