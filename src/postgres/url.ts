/** Connection URLs: read once, as libpq reads them, and written for sessions, command-line tools and messages. */
import type { ClientConfig } from 'pg';
import { parseIntoClientConfig } from 'pg-connection-string';

/** libpq options that lift the read-only fence for one session; Prisma's engine and libpq both honour them in a URL. */
const THROUGH_THE_FENCE = '-c default_transaction_read_only=off';

/** A URL's parts, decoded; '' for what it doesn't name. */
interface Address {
  user: string;
  password: string;
  /** As it stands before the path; a parameter of that name comes first. The port likewise. */
  host: string;
  port: string;
  database: string;
  /** The parameters but for those above, which have one place. */
  parameters: Map<string, string>;
}

// Up to the last @: an unencoded one in a password is no reason to look for another host.
const shape =
  /^postgres(?:ql)?:\/\/(?:([^/?]*)@)?(\[[^\]/?]*\]|[^/?@:]*)(?::([^/?]*))?(?:\/([^?]*))?(?:\?(.*))?$/s;

/** @throws TypeError, or URIError, when it can't be read; neither tells what stands in it */
function read(url: string): Address {
  const found = shape.exec(url);
  if (!found) throw new TypeError('Not a connection URL.');
  const [, account = '', host = '', port = '', database = '', query = ''] = found;
  const [, user = '', password = ''] = /^([^:]*):?(.*)$/s.exec(account) ?? [];
  const parameters = new Map(
    query
      .split('&')
      .filter(Boolean)
      .map((pair) => {
        const [, name = '', value = ''] = /^([^=]*)=?(.*)$/s.exec(pair) ?? [];
        return [decode(name), decode(value)] as const;
      }),
  );
  const taken = (name: string, before: string) => {
    const value = parameters.get(name) ?? decode(before);
    parameters.delete(name);
    return value;
  };
  return {
    user: taken('user', user),
    password: taken('password', password),
    host: decode(host),
    port: decode(port),
    database: taken('dbname', database),
    parameters,
  };
}

function write({ user, password, host, port, database, parameters }: Address): string {
  const account = user || password ? `${encode(user)}${password ? `:${encode(password)}` : ''}@` : '';
  const place = `${host.startsWith('[') ? host : encode(host)}${port ? `:${port}` : ''}`;
  const query = [...parameters].map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&');
  return `postgresql://${account}${place}/${encode(database)}${query ? `?${query}` : ''}`;
}

// A lone % stands for itself, as for pg and Prisma.
function decode(text: string): string {
  return decodeURIComponent(text.replace(/%(?![0-9a-f]{2})/gi, '%25'));
}

// A space as %20: libpq doesn't decode +.
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function change(url: string, made: (address: Address) => Partial<Address>): string {
  const address = read(url);
  return write({ ...address, ...made(address) });
}

/** Host, or a socket's folder, and port. */
function serverOf({ host, port, parameters }: Address): { host: string; port: string } {
  const name = (parameters.get('host') ?? host.replace(/^\[(.*)\]$/, '$1')) || 'localhost';
  return {
    host: name.startsWith('/') ? name : name.toLowerCase(),
    port: (parameters.get('port') ?? port) || '5432',
  };
}

/** A URL for a session of `pg`, as fields: its own reading of URLs leaves `%2B` and the like in names. */
export function clientConfig(url: string): ClientConfig {
  const address = read(url);
  const { parameters, host, port, user, password, database } = address;
  const ofTls = new Map([...parameters].filter(([name]) => /^(ssl|uselibpqcompat$)/.test(name)));
  const tls = parseIntoClientConfig(
    write({ user: '', password: '', host: '', port: '', database: '', parameters: ofTls }),
  );
  const server = serverOf(address);
  const options = parameters.get('options');
  return {
    ...('ssl' in tls ? { ssl: tls.ssl } : {}),
    ...('sslnegotiation' in tls ? { sslnegotiation: tls.sslnegotiation } : {}),
    // What the URL leaves open is the environment's.
    ...(host || parameters.has('host') ? { host: server.host } : {}),
    ...(port || parameters.has('port') ? { port: Number(server.port) } : {}),
    ...(user ? { user } : {}),
    ...(password ? { password } : {}),
    ...(database ? { database } : {}),
    ...(options === undefined ? {} : { options }),
  };
}

/**
 * The URL for a command whose sessions are to write while production is fenced: `options=` lifts the fence for them. A wish for
 * a kind of session goes: libpq could take the fenced server for a standby and refuse it.
 */
export function throughTheFence(url: string): string {
  return withOptions(
    change(url, ({ parameters }) => ({ parameters: without(parameters, 'target_session_attrs') })),
    THROUGH_THE_FENCE,
  );
}

/** The URL with more `options` for its sessions; what is said last holds. */
export function withOptions(url: string, more: string): string {
  return change(url, ({ parameters }) => {
    const options = [parameters.get('options'), more].filter(Boolean).join(' ');
    return { parameters: without(parameters, 'options').set('options', options) };
  });
}

/**
 * For pg_dump: a URL without the password (arguments are visible to every user), the password beside it; and without the name
 * and the kind of a session, which are ours to say.
 */
export function withoutPassword(url: string): { url: string; password: string | undefined } {
  const { password, parameters } = read(url);
  return {
    url: change(url, () => ({
      password: '',
      parameters: without(parameters, 'target_session_attrs', 'application_name'),
    })),
    password: password || undefined,
  };
}

function without(parameters: Map<string, string>, ...names: string[]): Map<string, string> {
  return new Map([...parameters].filter(([name]) => !names.includes(name)));
}

/** The same server, another database. */
export function otherDatabase(url: string, database: string): string {
  return change(url, () => ({ database }));
}

/** Name of the database a URL points to. */
export function databaseOf(url: string): string {
  const { database, user } = read(url);
  return database || user;
}

/** `host:port/database`: what may be shown of a URL, and the same for every way to write it. */
export function placeOf(url: string): string {
  const { host, port } = serverOf(read(url));
  return `${host}:${port}/${databaseOf(url)}`;
}

/** Every form in which a URL's password could turn up in a text. @throws TypeError, or URIError, when it can't be read */
export function passwordsOf(url: string): string[] {
  const { password } = read(url);
  const [, account = ''] = shape.exec(url) ?? [];
  const raw = [account.replace(/^[^:]*:?/s, ''), /[?&]password=([^&]*)/.exec(url)?.[1] ?? ''];
  return [...raw, password, encode(password), encodeURIComponent(password)].filter(Boolean);
}

/** Why a text is no usable connection URL, or null when it is one. */
export function urlProblem(text: string): string | null {
  if (!/^[a-z][a-z0-9+.-]*:/i.test(text)) return 'is not a URL';
  if (!/^postgres(ql)?:\/\//.test(text)) return 'is not a postgresql:// URL';
  // Some programs end a URL at a #, others take it for part of a name: they would work on two databases.
  if (text.includes('#')) return 'has a # in it, which must be written as %23';
  let address: Address;
  try {
    address = read(text);
  } catch {
    return 'is not a URL';
  }
  if (!/^\d+$/.test(serverOf(address).port)) return 'names no port behind its host';
  return address.database ? null : 'names no database';
}

/** A text as one word for a shell. */
export function shellWord(text: string): string {
  return /^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
