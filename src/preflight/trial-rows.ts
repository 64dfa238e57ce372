/** A mapping's rows on trial: columns of theirs in a temporary table of the shadow, under the new schema's types and functions. */
import type { Client } from 'pg';
import { pipeline } from 'node:stream/promises';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { isStatementsFault } from '../errors';
import { fromSql, type CompiledMapping, type CompiledSource } from '../mapping/compiled';
import { beginRead } from '../mapping/reader';
import type { Catalog, Column, Table } from '../postgres/catalog';
import { all, attempt, connect } from '../postgres/connect';
import type { Place } from '../postgres/endpoint';
import { cuttingSessions } from '../postgres/lanes';
import { readAgain, withLettingGo } from '../postgres/let-go';
import { settingOwn, type MappingSession } from '../postgres/own-settings';
import { identifier, identifiers, literal, qualified } from '../postgres/sql';

/** The temporary table; its first column names a row for people. */
export const trialRows = 'pg_temp.kirikae_rows';
/** That column. */
export const keyColumn = 'kirikae_key';

/** Blocks of a source that are read at a time: half a gigabyte. */
const batchPages = 65_536;

/** A database with a session for single statements; for rows others are opened. */
export type Side = Place & { client: Client };

/** What is looked at, as the parts of it need it. */
export interface Look {
  production: Side;
  shadow: Side;
  compiled: CompiledMapping;
  session: MappingSession;
  old: Catalog;
  fresh: Catalog;
  signal: AbortSignal;
}

/** Two sessions for one table's rows: one reads production, the other has a transaction in the shadow that is never committed. */
export interface Trial {
  source: Client;
  shadow: Client;
  session: MappingSession;
}

/** Opens the sessions for `work`; an abort or a failure cuts them in the middle of a COPY. */
export async function onTrial<T>(
  urls: { production: string; shadow: string },
  { session, signal }: { session: MappingSession; signal: AbortSignal },
  work: (trial: Trial) => Promise<T>,
): Promise<T> {
  // As migrate writes: production's own settings, and the managed schemas as search_path.
  const path = identifiers(session.schemas);
  const begin = `begin; ${settingOwn(session.own, 'local')} set local search_path = ${path}`;
  const open = async (clients: Client[]) => {
    clients.push(await connect(urls.production, 'preflight read'));
    clients.push(await connect(urls.shadow, 'preflight rows'));
  };
  return cuttingSessions(open, signal, async (source, shadow) => {
    const once = async () => {
      await source.query('rollback');
      await shadow.query(`rollback; ${begin}`);
      return work({ source, shadow, session });
    };
    const result = await withLettingGo(source, urls.production, () => readAgain(source, once));
    await shadow.query('rollback');
    return result;
  });
}

/** Streams the rows of a SELECT on production into columns of the temporary table, the key first. */
export async function fill(
  { source, shadow, session }: Trial,
  { select, columns }: { select: string; columns: readonly string[] },
): Promise<void> {
  await source.query(beginRead(session));
  const input = source.query(copyTo(`copy (${select}) to stdout`));
  const into = `${trialRows} (${identifiers([keyColumn, ...columns])})`;
  await pipeline(input, shadow.query(copyFrom(`copy ${into} from stdin`)));
  await source.query('commit');
}

/** SELECTs of one source, each of some of its rows, so that neither database holds all of them at once. */
export function batchesOf(source: CompiledSource, outputs: string, pages: number): string[] {
  const count = Math.max(1, Math.ceil(pages / batchPages));
  return Array.from({ length: count }, (_, index) => {
    const from = `source.ctid >= '(${index * batchPages},0)'`;
    const to = index + 1 < count ? ` and source.ctid < '(${(index + 1) * batchPages},0)'` : '';
    return `select ${outputs} ${fromSql(source, count > 1 ? from + to : undefined)}`;
  });
}

/** The rows of a query, or PostgreSQL's error. */
export type Attempt<T> = { rows: T[] } | { refused: unknown };

/** A query in a transaction that goes on when the query fails. */
export async function attemptQuery<T>(client: Client, sql: string): Promise<Attempt<T>> {
  let rows: T[] = [];
  const refused = await attempt(client, async () => (rows = await all<T>(client, sql)));
  if (refused === null) return { rows };
  if (isStatementsFault(refused)) return { refused };
  throw refused as Error;
}

interface ColumnDetail {
  name: string;
  collation: string | null;
  /** Of a generated column. */
  expression: string | null;
  /** What that reads. */
  reads: string[];
}

/**
 * Makes the temporary table for columns of a target table: without limits of length, not null and domains, so that every row gets
 * in; what PostgreSQL computes is computed.
 * @param deep columns whose type holds a domain inside: they stay text
 * @returns the columns that come from the source, in their order
 */
export async function makeTrialRows(
  { shadow }: Trial,
  target: Table,
  {
    columns,
    filled,
    deep,
  }: { columns: readonly string[]; filled: readonly string[]; deep: ReadonlySet<string> },
): Promise<string[]> {
  const details = new Map((await readDetails(shadow, target)).map((detail) => [detail.name, detail]));
  const wanted = new Set([...columns, ...columns.flatMap((name) => details.get(name)?.reads ?? [])]);
  const used = target.columns.filter(({ name }) => wanted.has(name));
  const typed = (column: Column) => {
    const { collation = null } = details.get(column.name) ?? {};
    return deep.has(column.name) ? 'text' : `${column.baseType}${collation ? ` collate ${collation}` : ''}`;
  };
  const made = (column: Column) => {
    if (filled.includes(column.name)) return '';
    if (column.generated) return ` generated always as (${details.get(column.name)?.expression}) stored`;
    if (column.identity) return ' generated by default as identity';
    return column.default === null ? '' : ` default ${column.default}`;
  };
  const definitions = used.map((column) => `, ${identifier(column.name)} ${typed(column)}${made(column)}`);
  await shadow.query(`create temporary table kirikae_rows (${keyColumn} text${definitions.join('')})`);
  return used.map(({ name }) => name).filter((name) => filled.includes(name));
}

function readDetails(client: Client, target: Table): Promise<ColumnDetail[]> {
  return all<ColumnDetail>(
    client,
    `select a.attname as name, case when a.attcollation <> 0 then format('%I.%I', n.nspname, l.collname) end as collation,
       case when a.attgenerated <> '' then pg_get_expr(f.adbin, f.adrelid) end as expression,
       array(select r.attname::text from pg_depend d join pg_attribute r on r.attrelid = d.refobjid and r.attnum = d.refobjsubid
         where d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid and d.refobjsubid not in (0, a.attnum)
           and (d.classid = 'pg_attrdef'::regclass and d.objid = f.oid
             or d.classid = 'pg_class'::regclass and d.objid = a.attrelid and d.objsubid = a.attnum)) as reads
     from pg_attribute a left join pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum
     left join pg_collation l on l.oid = a.attcollation left join pg_namespace n on n.oid = l.collnamespace
     where a.attrelid = ${literal(qualified(target))}::regclass and a.attnum > 0 and not a.attisdropped`,
  );
}
