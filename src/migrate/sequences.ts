/** Sequences after the rows: none gives a value that is taken. */
import type { Client } from 'pg';
import type { Manifest } from '../backup/manifest';
import { writeSequences, readSequenceStates } from '../engine/tables';
import { all, one } from '../postgres/connect';
import { type TableName, qualified } from '../postgres/sql';

interface FilledColumn extends TableName {
  sequenceSchema: string;
  sequenceName: string;
  column: string;
  ascending: boolean;
}

/** A sequence of the same name goes on where the old one stood; one that fills a column never gives a value that is taken. */
export async function advanceSequences(
  client: Client,
  schemas: readonly string[],
  manifest: Manifest,
): Promise<void> {
  await writeSequences(client, manifest.sequences, { missing: 'skip' });
  const filled = await all<FilledColumn>(
    client,
    `select distinct sn.nspname as "sequenceSchema", s.relname as "sequenceName", n.nspname as schema, c.relname as name,
       a.attname as column, q.seqincrement > 0 as ascending
     from pg_class s join pg_namespace sn on sn.oid = s.relnamespace join pg_sequence q on q.seqrelid = s.oid
     join lateral (
       select d.refobjid as relid, d.refobjsubid as attnum from pg_depend d
         where d.classid = 'pg_class'::regclass and d.objid = s.oid and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i') and d.refobjsubid > 0
       union select f.adrelid, f.adnum from pg_depend d join pg_attrdef f on f.oid = d.objid
         where d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = s.oid
     ) used on true
     join pg_class c on c.oid = used.relid join pg_namespace n on n.oid = c.relnamespace
     join pg_attribute a on a.attrelid = c.oid and a.attnum = used.attnum
     where s.relkind = 'S' and sn.nspname = any($1) and a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)`,
    [schemas],
  );
  const states = new Map(
    (await readSequenceStates(client, schemas)).map((state) => [qualified(state), state]),
  );
  for (const { sequenceSchema, sequenceName, column, ascending, ...table } of filled) {
    const sequence = { schema: sequenceSchema, name: sequenceName };
    const name = client.escapeIdentifier(column);
    const { edge } = await one<{ edge: string | null }>(
      client,
      `select ${ascending ? 'max' : 'min'}(${name})::text as edge from ${qualified(table)}`,
    );
    const state = states.get(qualified(sequence));
    if (edge === null || !state) continue;
    const behind = ascending
      ? BigInt(state.lastValue) < BigInt(edge)
      : BigInt(state.lastValue) > BigInt(edge);
    if (!behind && !(state.lastValue === edge && !state.isCalled)) continue;
    state.lastValue = edge;
    state.isCalled = true;
    await writeSequences(client, [state]);
  }
}
