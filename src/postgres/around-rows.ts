/**
 * What of a definition comes before the rows, and what after them: CHECKs that call a function or operator of somebody's, since it may
 * read other tables; and grants at the very end, since even an owner's own privileges may be revoked.
 */
import { maskQuoted, type DumpEntry, type SchemaDump } from './dump';

const qualifiedName = '"(?:[^"]|"")*"\\."(?:[^"]|"")*"';
const made = new RegExp(`^CREATE (?:UNLOGGED |FOREIGN )?(TABLE|DOMAIN) (${qualifiedName})`, 'm');
// pg_dump qualifies what isn't in pg_catalog.
const callsOthers = new RegExp(`${qualifiedName}\\s*\\(|OPERATOR\\(`);

/** A definition whose pre-data section makes tables and domains without such CHECKs and grants; its post-data section begins with the CHECKs. */
export function aroundRows(dump: SchemaDump): SchemaDump {
  const { pre, post } = withLateChecks(dump);
  const isGrant = ({ type }: DumpEntry) => type === 'ACL';
  return {
    prelude: dump.prelude,
    pre: pre.filter((entry) => !isGrant(entry)),
    post: [...post.filter((entry) => !isGrant(entry)), ...[...pre, ...post].filter(isGrant)],
  };
}

function withLateChecks(dump: SchemaDump): SchemaDump {
  const fixed = domainsWithin([...dump.pre, ...dump.post]);
  const late: DumpEntry[] = [];
  const pre = dump.pre.map((entry) => {
    const [, kind, name = ''] = /^(TABLE|DOMAIN)$/.test(entry.type) ? (made.exec(entry.sql) ?? []) : [];
    if (!kind || fixed.has(name)) return entry;
    const cut = withoutChecks(entry.sql);
    late.push(
      ...cut.checks.map(({ constraint, sql }) => ({
        name: `${entry.name} ${constraint.slice(1, -1).replaceAll('""', '"')}`,
        type: 'CHECK CONSTRAINT',
        schema: entry.schema,
        sql: `ALTER ${kind} ${name}\n    ADD ${sql};`,
      })),
    );
    return { ...entry, sql: cut.sql };
  });
  if (late.length === 0) return dump;
  const of = new Set(
    late.map(({ sql }) => / (".*)\n {4}ADD CONSTRAINT ("(?:[^"]|"")*")/.exec(sql)?.slice(1).join(' ')),
  );
  const isLate = ({ type, sql }: DumpEntry) => {
    const [, constraint, owner] =
      /^COMMENT ON CONSTRAINT ("(?:[^"]|"")*") ON (?:DOMAIN )?(".*") IS /.exec(sql) ?? [];
    return type === 'COMMENT' && of.has(`${owner} ${constraint}`);
  };
  return {
    prelude: dump.prelude,
    pre: pre.filter((entry) => !isLate(entry)),
    // Children first: what a parent gives them is theirs already.
    post: [...late.reverse(), ...pre.filter(isLate), ...dump.post],
  };
}

/** The CHECKs that `aroundRows` puts behind the rows. */
export function lateChecks(dump: SchemaDump): { schema: string; name: string }[] {
  const post = withLateChecks(dump).post;
  const count = post.length - dump.post.length;
  return post.slice(0, count).filter(({ type }) => type === 'CHECK CONSTRAINT');
}

// PostgreSQL adds no constraint to a domain that an array, a composite, a range or another domain is made of, once it is in use.
function domainsWithin(entries: readonly DumpEntry[]): Set<string> {
  const within = new Set<string>();
  for (const { type, sql } of entries) {
    const found = type === 'TYPE' || type === 'DOMAIN' ? `${qualifiedName}` : `${qualifiedName}(?=\\[\\])`;
    for (const [name] of sql.matchAll(new RegExp(found, 'g')))
      if (type !== 'DOMAIN' || name !== made.exec(sql)?.[2]) within.add(name);
  }
  return within;
}

function withoutChecks(text: string): { sql: string; checks: { constraint: string; sql: string }[] } {
  const checks: { constraint: string; sql: string }[] = [];
  let sql = text;
  for (let from = 0; ;) {
    const masked = maskQuoted(sql);
    const found = /^\s+CONSTRAINT x+ CHECK \(/m.exec(masked.slice(from));
    if (!found) return { sql, checks };
    const start = from + found.index + /^\s*/.exec(found[0])![0].length;
    let end = closing(masked, from + found.index + found[0].length);
    end += / ?(NO INHERIT)?/.exec(masked.slice(end))![0].trimEnd().length;
    const check = sql.slice(start, end);
    from = end;
    if (!callsOthers.test(check.slice(check.indexOf('CHECK (') + 6))) continue;
    const [constraint = ''] = /"(?:[^"]|"")*"/.exec(check) ?? [];
    checks.push({ constraint, sql: check });
    const before = sql.slice(0, start).trimEnd();
    const after = sql.slice(end);
    sql =
      after.startsWith(',') || !before.endsWith(',')
        ? before + after.replace(/^,/, '')
        : before.slice(0, -1) + after;
    from = before.length - 1;
  }
}

/** @param from behind the opening parenthesis @returns behind the one that closes it */
function closing(masked: string, from: number): number {
  let open = 1;
  let at = from;
  for (; at < masked.length && open > 0; at += 1) open += { '(': 1, ')': -1 }[masked[at] ?? ''] ?? 0;
  return at;
}
