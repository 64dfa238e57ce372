/** Preflight of values that PostgreSQL writes but does not read, or reads as another: COPY can't bring them back. */
import type { Client } from 'pg';
import { codeOf, isStatementsFault, sentence } from '../errors';
import { all, one } from '../postgres/connect';
import { notOfExtension } from '../postgres/extensions';
import { identifier, qualified, readable, type TableName } from '../postgres/sql';
import { majorVersion } from '../postgres/versions';

interface Suspect extends TableName {
  column: string;
  /** The type that is the reason, somewhere within the column's. */
  type: string;
  input: string;
}

// Input functions that refuse every value: PostgreSQL's own statistics and plans, and the inner keys of its indexes.
const neverRead =
  /^(pg_node_tree_in|pg_ndistinct_in|pg_dependencies_in|pg_mcv_list_in|brin_\w+_summary_in|gtsvectorin|gtrgm_in|ghstore_in|ltree_gist_in|_intbig_in|gbtreekey\w*_in)$/;

/** Sentences for columns with such values. Only columns of the few types that have any are read. */
export async function findUnreadableValues(
  production: Client,
  schemas: readonly string[],
): Promise<string[]> {
  const findings: string[] = [];
  const version = await majorVersion(production);
  for (const suspect of await suspects(production, schemas)) {
    const name = `${readable(suspect)}.${suspect.column}`;
    const value = `t.${identifier(suspect.column)}`;
    const read = (condition: string) => countRows(production, suspect, condition);
    if (neverRead.test(suspect.input)) {
      const { rows } = await read(`${value} is distinct from null`);
      if (rows === '0') continue;
      findings.push(
        `${name} has ${values(rows)} of type ${suspect.type}, which PostgreSQL writes but never reads. Make it a text, or empty it, before the run.`,
      );
    } else if (suspect.input === 'charin') {
      // From PostgreSQL 16 on such a byte is written as an octal number.
      if (version >= 16) continue;
      const { rows } = await read(`${value}::"char"::int < 0`);
      if (rows === '0') continue;
      findings.push(
        `${name} has ${values(rows)} that ${rows === '1' ? 'is' : 'are'} half a character, which COPY refuses to read. Make the column a smallint (ascii), or correct ${rows === '1' ? 'it' : 'them'}, before the run.`,
      );
    } else {
      // Not by a cast: that of text to regclass knows neither "-" nor numbers.
      const again = `pg_catalog.${suspect.input}(pg_catalog.textout(${value}::text))`;
      const { rows, refused } = await read(`${again} is distinct from ${value}`);
      if (rows === '0' && refused === null) continue;
      findings.push(
        `${name} has values of type ${suspect.type} that are not read as they are written${refused ? `: ${refused}` : ''}. Make the column a text or oid before the run.`,
      );
    }
  }
  return findings;
}

// Columns that hold such a type themselves, or in an array, a domain, a composite or a range.
function suspects(production: Client, schemas: readonly string[]): Promise<Suspect[]> {
  return all<Suspect>(
    production,
    `with recursive inner_types as (
       select n.nspname as schema, c.relname as name, a.attname as column, a.attnum, a.atttypid as typid, true as plain
       from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
       where n.nspname = any($1) and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
         and ${notOfExtension('pg_class', 'c.oid')}
       union
       select i.schema, i.name, i.column, i.attnum, p.oid, i.plain and t.typtype = 'd'
       from inner_types i join pg_type t on t.oid = i.typid
       cross join lateral (
         select t.typbasetype as oid where t.typtype = 'd'
         union all select t.typelem where t.typcategory = 'A'
         union all select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and t.typrelid <> 0 and a.attnum > 0 and not a.attisdropped
         union all select r.rngsubtype from pg_range r where t.oid in (r.rngtypid, r.rngmultitypid)) p)
     select i.schema, i.name, i.column, format_type(t.oid, null) as type, f.proname as input
     from inner_types i join pg_type t on t.oid = i.typid join pg_proc f on f.oid = t.typinput
     where f.proname ~ '${neverRead.source}'
       or i.plain and (f.proname = 'charin' or f.proname ~ '^reg' and t.typname <> 'regrole')
     order by i.schema collate "C", i.name collate "C", i.attnum`,
    [schemas],
  );
}

async function countRows(
  production: Client,
  table: TableName,
  condition: string,
): Promise<{ rows: string; refused: string | null }> {
  try {
    const found = await one<{ rows: string }>(
      production,
      `select count(*) as rows from only ${qualified(table)} t where ${condition}`,
    );
    return { ...found, refused: null };
  } catch (error) {
    // A table that may not be read is a finding of its own.
    if (codeOf(error) === '42501') return { rows: '0', refused: null };
    if (!isStatementsFault(error)) throw error;
    return { rows: '0', refused: sentence(error) };
  }
}

function values(rows: string): string {
  return `${rows} ${rows === '1' ? 'value' : 'values'}`;
}
