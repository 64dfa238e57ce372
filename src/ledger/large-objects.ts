/** Large objects: they belong to no schema and stay where they are. Which there were is noted with the seal, and looked at again. */
import type { Client } from 'pg';
import { KirikaeError } from '../errors';
import { all, hasRelation } from '../postgres/connect';
import { largeObjectDdl } from './tables';

// What an object without grants of its own has is its owner's by default.
const grants = `coalesce(lomacl, acldefault('L', lomowner))`;

/** Notes oid, owner and grants of each. In the caller's transaction. */
export async function noteLargeObjects(client: Client): Promise<void> {
  // On the server alone: there may be millions.
  await client.query(
    `${largeObjectDdl}; insert into kirikae.large_object select oid, lomowner, ${grants} from pg_largeobject_metadata`,
  );
}

/**
 * Makes sure, before the new database is called verified, that none is gone.
 * @returns a note where owners or grants are others now: nothing is lost by it, and a statement puts it right
 * @throws KirikaeError DataDiffer naming the first that are missing by their oids
 */
export async function mustHaveLargeObjects(client: Client): Promise<string[]> {
  const { missing, changed } = await compareLargeObjects(client);
  if (missing === null) return notesOn({ missing, changed });
  throw new KirikaeError(
    'DataDiffer',
    `Large objects that production held when the backup was sealed are missing: ${missing}. No backup of Kirikae's holds them, and the way back doesn't bring them back. Look what removed them (lo_unlink in the schema step or a trigger; before PostgreSQL 16 anybody, since the fence doesn't hold for them), and bring them back from a backup of the whole server.`,
  );
}

/** Sentences on what has become of them, for a run that goes on all the same. */
export async function lookAtLargeObjects(client: Client): Promise<string[]> {
  return notesOn(await compareLargeObjects(client));
}

/** What differs from what was noted, as clauses; null where nothing does. */
interface Difference {
  missing: string | null;
  changed: string | null;
}

function notesOn({ missing, changed }: Difference): string[] {
  const notes: string[] = [];
  if (missing !== null)
    notes.push(
      `Large objects that production held when the backup was sealed are missing: ${missing}. The way back brings rows and definitions back, not these: a backup of the whole server may hold them.`,
    );
  if (changed !== null)
    notes.push(
      `Large objects have other owners or grants than when the backup was sealed: ${changed}. Nothing was changed by Kirikae; alter large object … owner to, grant and revoke put it right.`,
    );
  return notes;
}

// A ledger made anew from its mirror has noted none.
async function compareLargeObjects(client: Client): Promise<Difference> {
  if (!(await hasRelation(client, 'kirikae.large_object'))) return { missing: null, changed: null };
  const missing = await all<Found>(
    client,
    `select o.oid::text as text, count(*) over () as "count" from kirikae.large_object o
     where not exists (select from pg_largeobject_metadata m where m.oid = o.oid) order by o.oid limit 5`,
  );
  // The order of grants says nothing.
  const changed = await all<Found>(
    client,
    `select format('%s: owner %I, grants %s; now owner %I, grants %s', o.oid, pg_get_userbyid(o.owner), o.grants,
         pg_get_userbyid(m.lomowner), m.grants) as text, count(*) over () as "count"
     from kirikae.large_object o join (select *, ${grants} as grants from pg_largeobject_metadata) m on m.oid = o.oid
     where m.lomowner <> o.owner or not (m.grants @> o.grants and o.grants @> m.grants) order by o.oid limit 5`,
  );
  return { missing: inWords(missing, ', '), changed: inWords(changed, ' | ') };
}

interface Found {
  text: string;
  count: string;
}

function inWords(rows: readonly Found[], separator: string): string | null {
  const [first] = rows;
  if (!first) return null;
  const more = Number(first.count) > rows.length ? `${separator}…` : '';
  return `${first.count} (${rows.map(({ text }) => text).join(separator)}${more})`;
}
