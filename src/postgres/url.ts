/** Connection URLs: taken apart for command-line tools and messages, and given the options a command needs under the fence. */

/** libpq options that lift the read-only fence for one session; Prisma's engine and libpq both honour them in a URL. */
const THROUGH_THE_FENCE = '-c default_transaction_read_only=off';

/** The URL with `options=` added that lets its sessions write while production is fenced. */
export function throughTheFence(url: string): string {
  const parsed = new URL(url);
  const options = parsed.searchParams.get('options');
  parsed.searchParams.delete('options');
  // URLSearchParams writes spaces as +, which libpq doesn't decode.
  const value = encodeURIComponent(options ? `${options} ${THROUGH_THE_FENCE}` : THROUGH_THE_FENCE);
  const query = parsed.search ? `${parsed.search}&options=${value}` : `?options=${value}`;
  parsed.search = '';
  return `${parsed.toString()}${query}`;
}

/** For pg_dump: a URL without the password (arguments are visible to every user), the password beside it. */
export function withoutPassword(url: string): { url: string; password: string | undefined } {
  const parsed = new URL(url);
  const password = parsed.password
    ? decodeURIComponent(parsed.password)
    : (parsed.searchParams.get('password') ?? undefined);
  parsed.password = '';
  parsed.searchParams.delete('password');
  return { url: parsed.toString(), password };
}

/** The same server, another database. */
export function otherDatabase(url: string, database: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/${encodeURIComponent(database)}`;
  return parsed.toString();
}

/** Name of the database a URL points to. */
export function databaseOf(url: string): string {
  const parsed = new URL(url);
  return decodeURIComponent(parsed.pathname.slice(1)) || decodeURIComponent(parsed.username);
}

/** `host:port/database`: what may be shown of a URL. */
export function placeOf(url: string): string {
  const parsed = new URL(url);
  return `${parsed.hostname || 'localhost'}:${parsed.port || '5432'}/${databaseOf(url)}`;
}

/** The command that removes a database, without its password. */
export function dropCommand(url: string): string {
  const parsed = new URL(url);
  return `dropdb --force --host ${parsed.hostname || 'localhost'} --port ${parsed.port || '5432'} --username ${decodeURIComponent(parsed.username)} ${shellWord(databaseOf(url))}`;
}

/** Why a text is no usable connection URL, or null when it is one. */
export function urlProblem(text: string): string | null {
  let parsed: URL;
  try {
    parsed = new URL(text);
  } catch {
    return 'is not a URL';
  }
  if (!/^postgres(ql)?:$/.test(parsed.protocol)) return 'is not a postgresql:// URL';
  if (parsed.pathname.length < 2) return 'names no database';
  return null;
}

function shellWord(text: string): string {
  return /^[\w.-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
