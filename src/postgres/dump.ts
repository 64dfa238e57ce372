/** A schema's definition as pg_dump writes it: taken, cut into entries, compared. */
import { createHash } from 'node:crypto';
import { runPgDump } from './pg-dump';
import { identifiers } from './sql';

/** One entry of pg_dump's table of contents with its SQL. */
export interface DumpEntry {
  name: string;
  type: string;
  schema: string;
  sql: string;
}

export interface SchemaDump {
  /** SET statements that come first. */
  prelude: string;
  pre: DumpEntry[];
  post: DumpEntry[];
}

/**
 * Dumps the definition of schemas (no rows).
 * @param options.owners with owners and grants (to restore in place) or without (to compare, to build a copy elsewhere)
 * @throws KirikaeError when pg_dump is missing or fails
 */
export async function dumpSchema(
  url: string,
  schemas: readonly string[],
  options: { owners: boolean },
): Promise<SchemaDump> {
  const { prelude, entries } = parseDump(await runPgDump(url, schemas, options));
  const end = entries.findIndex(({ type }) => postData.has(type));
  const late = new Set(
    entries.slice(end === -1 ? entries.length : end).flatMap(({ sql }) => madeIn(sql) ?? []),
  );
  const isPost = ({ type, sql }: DumpEntry, index: number) =>
    end !== -1 && index >= end && (type !== 'ACL' || late.has(grantedOn(sql) ?? ''));
  return {
    // Everything in a dump is qualified; the path is for functions that a check, an index or a generated column calls.
    prelude: prelude.replace(
      "SELECT pg_catalog.set_config('search_path', '', false);",
      () => `SET search_path = ${identifiers(schemas)};`,
    ),
    pre: entries.filter((entry, index) => !isPost(entry, index)),
    post: entries.filter(isPost),
  };
}

// A view or function that needs a key comes behind it, and so do its grants.
const relation = '("(?:[^"]|"")*"\\."(?:[^"]|"")*")';
const madeIn = (sql: string) =>
  new RegExp(`^CREATE (?:OR REPLACE )?(?:MATERIALIZED VIEW|VIEW|FUNCTION|PROCEDURE) ${relation}`, 'm').exec(
    sql,
  )?.[1];
const grantedOn = (sql: string) => new RegExp(`\\bON (?:[A-Z ]+ )?${relation}`).exec(sql)?.[1];

// What pg_dump has in its section post-data (pg_dump.c, 14 to 18), written behind all of pre-data but the grants, which come
// last. What is none of these, a comment or a label, follows what it belongs to.
const postData = new Set([
  'CHECK CONSTRAINT',
  'CONSTRAINT',
  'DEFAULT ACL',
  'EVENT TRIGGER',
  'FK CONSTRAINT',
  'INDEX',
  'INDEX ATTACH',
  'POLICY',
  'PUBLICATION',
  'PUBLICATION TABLE',
  'PUBLICATION TABLES IN SCHEMA',
  'ROW SECURITY',
  'RULE',
  'STATISTICS',
  'SUBSCRIPTION',
  'SUBSCRIPTION TABLE',
  'TRIGGER',
]);

/** True for what isn't dropped with the objects of a schema: default privileges, and the schema's own comment, grants and labels. */
export function isOfSchema({ type, name }: DumpEntry): boolean {
  return (
    type === 'DEFAULT ACL' || (/^(ACL|COMMENT|SECURITY LABEL)$/.test(type) && name.startsWith('SCHEMA '))
  );
}

const logged = /^ {4}LOGGED\n/m;

// pg_dump grants in the name of another grantor as only a superuser may; a member may as well.
function asGrantor(sql: string): string {
  return sql
    .replace(/^SET SESSION AUTHORIZATION (?=")/gm, 'SET ROLE ')
    .replace(/^RESET SESSION AUTHORIZATION;$/gm, 'RESET ROLE;');
}

/** SQL of entries, ready to be sent as one query and to be cut again by `parseDump`; schemas themselves are left to `prepareLike`. */
export function dumpSql(dump: SchemaDump, entries: readonly DumpEntry[], serverVersion: number): string {
  const understood = ({ type, sql }: DumpEntry) => {
    // Before 15 sequences are always logged, and a newer pg_dump's word for it is not known.
    if (serverVersion < 15 && type === 'SEQUENCE') return sql.replace(logged, '');
    return type === 'ACL' ? asGrantor(sql) : sql;
  };
  const body = entries
    .filter((entry) => entry.type !== 'SCHEMA')
    .map((entry) => {
      const { name, type, schema } = entry;
      return `--\n-- Name: ${name}; Type: ${type}; Schema: ${schema}; Owner: -\n--\n\n${understood(entry)}\n`;
    });
  const known = (line: string) => serverVersion >= 17 || !line.startsWith('SET transaction_timeout');
  return [dump.prelude.split('\n').filter(known).join('\n'), ...body].join('\n');
}

/** sha256 over the entries in an order of their own, so that only content counts. */
export function dumpHash(dump: SchemaDump): string {
  const hash = createHash('sha256');
  for (const [name, sql] of [...comparable(dump)].sort(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(`${name}\0${sql}\0`);
  return hash.digest('hex');
}

/** sha256 of each entry's SQL by what it is: a definition remembered in short. */
export type Digests = Record<string, string>;

export function digestsOf(dump: SchemaDump): Digests {
  const digest = (sql: string) => createHash('sha256').update(sql).digest('hex');
  return Object.fromEntries([...comparable(dump)].map(([name, sql]) => [name, digest(sql)]));
}

/**
 * A definition entry by entry: as it was first printed, and what of it is printed otherwise once it was read again. (PostgreSQL writes
 * `state in ('a', 'b')` on a varchar in one way, and what it wrote, read again, in another; that stays.)
 */
export interface Printings {
  first: Digests;
  /** Of entries that differ from `first` only. */
  again: Digests;
}

export function printingsOf(first: SchemaDump, again: Digests = {}): Printings {
  const digests = digestsOf(first);
  return {
    first: digests,
    again: Object.fromEntries(Object.entries(again).filter(([name, digest]) => digests[name] !== digest)),
  };
}

/** How a definition differs from both of its printings: names of entries. */
export interface Unlike {
  missing: string[];
  added: string[];
  /** There, but printed in neither way. */
  otherwise: string[];
}

export function unlikePrintings(found: SchemaDump, { first, again }: Printings): Unlike {
  const now = digestsOf(found);
  const names = Object.keys(first);
  const isThere = (name: string) => Object.hasOwn(now, name);
  return {
    missing: names.filter((name) => !isThere(name)),
    added: Object.keys(now).filter((name) => !Object.hasOwn(first, name)),
    otherwise: names.filter(
      (name) => isThere(name) && now[name] !== first[name] && now[name] !== again[name],
    ),
  };
}

/** Sentences for every entry that was added, removed or changed. */
export function compareDigests(now: Digests, before: Digests): string[] {
  return [
    ...Object.keys(now).flatMap((name) => {
      if (!Object.hasOwn(before, name)) return [`${name} was added`];
      return before[name] === now[name] ? [] : [`${name} was changed`];
    }),
    ...Object.keys(before).flatMap((name) => (Object.hasOwn(now, name) ? [] : [`${name} was removed`])),
  ];
}

function comparable(dump: SchemaDump): Map<string, string> {
  const entries = new Map<string, string>();
  for (const entry of [...dump.pre, ...dump.post]) {
    const name = `${entry.type} ${entry.schema === '-' ? '' : `${entry.schema}.`}${entry.name}`;
    entries.set(name, `${entries.get(name) ?? ''}${entry.sql}\n`);
  }
  return entries;
}

const header = /^--\n-- Name: (.*); Type: (.*); Schema: (.*); Owner:.*\n--\n/gm;
// What may hold a line that only looks like pg_dump's own: a function's body, a comment, a quoted name.
const quoted =
  /(--.*)|\bE'(?:[^'\\]|\\[^]|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$(?:[A-Za-z_]\w*)?\$)[^]*?\2/g;
const place = /^SET default_(tablespace|table_access_method) = .*;$/gm;

/** The same text with an x for each character that is quoted; of the same length. */
export function maskQuoted(text: string): string {
  return text.replace(quoted, (token: string, comment?: string) =>
    comment === undefined ? token.replace(/[^\n]/g, 'x') : token,
  );
}

/** Cuts SQL that pg_dump or `dumpSql` wrote into its entries. */
export function parseDump(text: string): { prelude: string; entries: DumpEntry[] } {
  const masked = maskQuoted(text);
  const found = [...masked.matchAll(header)];
  const prelude = text.slice(0, found[0]?.index ?? text.length);
  // pg_dump says where the next tables go before their headers; each entry is to stand alone.
  const places = new Map<string, string>();
  const note = (from: number, to: number) =>
    masked.slice(from, to).replace(place, (line, setting: string, offset: number) => {
      places.set(setting, text.slice(from + offset, from + offset + line.length));
      return line;
    });
  note(0, prelude.length);
  const entries = found.map((match, index) => {
    const start = match.index + match[0].length;
    const end = found[index + 1]?.index ?? text.length;
    const type = match[2] ?? '';
    // `dumpSql` writes them behind the header.
    note(start, start + (leading.exec(masked.slice(start, end))?.[0].length ?? 0));
    const before = placedBy(type)
      .flatMap((setting) => places.get(setting) ?? [])
      .join('\n');
    const own = strip(text.slice(start, end), masked.slice(start, end));
    note(start, end);
    return { name: match[1] ?? '', type, schema: match[3] ?? '', sql: before ? `${before}\n${own}` : own };
  });
  return { prelude: strip(prelude, masked.slice(0, prelude.length)), entries };
}

const leading = /^\s*(SET default_(tablespace|table_access_method) = .*;\n)*/;

/** The settings that say where such an entry goes. */
function placedBy(type: string): string[] {
  if (/^(TABLE|MATERIALIZED VIEW)$/.test(type)) return ['tablespace', 'table_access_method'];
  return /^(INDEX|CONSTRAINT)$/.test(type) ? ['tablespace'] : [];
}

/** Without comments, settings of places, psql's commands and blank lines at the ends; quoted text stays as it is. */
function strip(sql: string, masked: string): string {
  const shape = masked.split('\n');
  return sql
    .split('\n')
    .filter(
      (_, index) =>
        !/^(--|\\(un)?restrict |SET default_(tablespace|table_access_method) = )/.test(shape[index] ?? ''),
    )
    .join('\n')
    .trim();
}
