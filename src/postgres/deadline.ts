/** Nothing hangs: a short statement has a deadline, a long one is asked after from a second session. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Socket } from 'node:net';
import { Client, type QueryConfig } from 'pg';
import { KirikaeError } from '../errors';
import { sessionInWords } from './session-in-words';
import { clientConfig, placeOf } from './url';

/** Milliseconds. Tests shorten them. */
export const limits = {
  /** For a statement known to be short. */
  short: 30_000,
  commit: 60_000,
  /** Between two looks at a long statement. */
  look: 30_000,
  /** The answer of a statement that has ended is on its way no longer than this. */
  answer: 10_000,
  /** For reaching the server, and for its goodbye. */
  reach: 10_000,
};

/** A server process; a pid alone may be another's by now. */
interface Backend {
  pid: number;
  start: string;
}

/** What a second session sees of a statement. */
interface Sight {
  state: string | null;
  wait: string | null;
  idleMs: number;
  blockers: string | null;
}

interface Statement {
  name: string;
  deadline: number | undefined;
  sentAt: Date;
  /** Where it is noted while it waits for a standby. */
  waits: StandbyWaits;
}

type WithDeadline = QueryConfig & { deadline?: number };

/** A statement that waits for a standby: an outage that is shown, and never cut. */
export interface StandbyWait {
  error: string;
  /** ISO 8601: when the statement was sent. */
  since: string;
}

type StandbyWaits = Map<Statement, StandbyWait>;

const ofWork = new AsyncLocalStorage<StandbyWaits>();
const ofNobody: StandbyWaits = new Map();

/** Does a piece of work whose statements that wait for a standby are known apart from others'. */
export function knowingStandbyWaits<T>(work: () => Promise<T>): Promise<T> {
  return ofWork.run(new Map(), work);
}

/** The statements of the present piece of work that wait for a standby now. */
export function waitsForStandby(): StandbyWait[] {
  return [...standbyWaits().values()];
}

function standbyWaits(): StandbyWaits {
  return ofWork.getStore() ?? ofNobody;
}

/**
 * Runs a statement that is known to be short, or several in one message.
 * @returns its rows; of several those of the first SELECT
 * @throws KirikaeError Outage when it has no answer after `limits.short`: its session is ended then; else the driver's error
 */
export async function shortly<T>(client: Client, sql: string, values: readonly unknown[] = []): Promise<T[]> {
  const config: WithDeadline = { text: sql, values: [...values], deadline: limits.short };
  const results = [await client.query(config)].flat();
  return (results.find(({ command }) => command === 'SELECT') ?? results[0])?.rows as T[];
}

/** The socket under a session. */
export function socketOf(client: Client): Socket {
  return (client as unknown as { connection: { stream: Socket } }).connection.stream;
}

/** Ends a session; cuts it where nobody answers. */
export async function endSession(client: Client): Promise<void> {
  const timer = setTimeout(() => socketOf(client).destroy(), limits.reach);
  await client.end().catch(() => undefined);
  clearTimeout(timer);
}

/**
 * Watches all statements of a connected session, COPY included. One that is cut rejects with a KirikaeError Outage.
 * @returns tells the watch which server process it is; until then a cut ends the socket alone
 */
export function watch(client: Client, url: string): (backend: Backend) => void {
  const watched = new Watch(client, url);
  return (backend) => (watched.backend = backend);
}

class Watch {
  backend: Backend | undefined;
  private readonly socket: Socket;
  private readonly open: Statement[] = [];
  private timer: NodeJS.Timeout | undefined;
  private before = { read: 0, sent: 0 };

  constructor(
    client: Client,
    private readonly url: string,
  ) {
    this.socket = socketOf(client);
    const query = client.query.bind(client) as (...args: unknown[]) => unknown;
    client.query = ((...args: unknown[]) => {
      this.begun(args[0] as string | WithDeadline);
      return query(...args);
    }) as Client['query'];
    const { connection } = client as unknown as { connection: NodeJS.EventEmitter };
    // First, so that a query which an answer leads to isn't taken for the one that was answered.
    connection.prependListener('readyForQuery', () => this.ended(1));
    client.on('drain', () => this.ended(this.open.length));
    this.socket.once('close', () => this.ended(this.open.length));
  }

  private begun(query: string | WithDeadline): void {
    // What is asked of a lost session is refused at once.
    if (this.socket.destroyed) return;
    const { text = '', deadline = deadlineOf(text) } = typeof query === 'string' ? { text: query } : query;
    // Its first words: what follows may hold values.
    const [name = 'a statement'] = /[a-z_]+(\s+[a-z_]+){0,2}/i.exec(text) ?? [];
    const statement = { name, deadline, sentAt: new Date(), waits: standbyWaits() };
    if (this.open.push(statement) === 1) this.arm(statement);
  }

  private ended(count: number): void {
    clearTimeout(this.timer);
    for (const statement of this.open.splice(0, count)) statement.waits.delete(statement);
    if (this.open[0]) this.arm(this.open[0]);
  }

  private arm(statement: Statement, after = statement.deadline ?? limits.look): void {
    this.before = this.traffic();
    this.timer = setTimeout(() => {
      this.look(statement).catch((error: unknown) => this.socket.destroy(error as Error));
    }, after).unref();
  }

  private traffic() {
    const { bytesRead, bytesWritten, writableLength } = this.socket;
    return { read: bytesRead, sent: bytesWritten - writableLength };
  }

  private async look(statement: Statement): Promise<void> {
    const sight = this.backend && (await askAfter(this.url, this.backend));
    if (this.open[0] !== statement || this.socket.destroyed) return;
    const what = `"${statement.name}" on ${placeOf(this.url)}`;
    if (sight && sight !== 'gone' && sight.wait === 'SyncRep') {
      statement.waits.set(statement, {
        error: `${what} waits for a standby. Bring it back, or take it out of synchronous_standby_names.`,
        since: statement.sentAt.toISOString(),
      });
      return this.arm(statement, limits.look);
    }
    statement.waits.delete(statement);
    const { read, sent } = this.traffic();
    const { readableLength, writableLength } = this.socket;
    if (statement.deadline !== undefined) return this.cut(overdue(statement, what, sight));
    if (sight === 'gone') return this.cut(`${what} has lost its server process; the step tries again.`);
    // Rows that were sent and that this process hasn't taken yet are no lost answer.
    const isSilent = read === this.before.read && readableLength === 0;
    if (sight?.state?.startsWith('idle') && sight.idleMs > limits.answer && isSilent)
      return this.cut(`${what} has ended, but its answer never came; the step tries again.`);
    // Keepalives don't find out while something of ours is on its way.
    if (!sight && this.backend && writableLength > 0 && sent === this.before.sent)
      return this.cut(`${what} doesn't get through to its server; the step tries again.`);
    this.arm(statement, limits.look);
  }

  private async cut(why: string): Promise<void> {
    // The server's farewell would hide the reason.
    this.socket.pause();
    if (this.backend) await endBackend(this.url, this.backend);
    this.socket.destroy(new KirikaeError('Outage', why));
  }
}

function deadlineOf(text: string): number | undefined {
  if (/^\s*commit\s*$/i.test(text)) return limits.commit;
  return /^\s*(rollback|begin[a-z ]*)\s*$/i.test(text) ? limits.short : undefined;
}

function overdue({ deadline = 0, name }: Statement, what: string, sight?: Sight | 'gone'): string {
  const seconds = Math.round(deadline / 1000);
  if (/^commit$/i.test(name))
    return `${what} had no answer within ${seconds} s: its session was ended. It is unknown whether it was committed; the next attempt asks the ledger.`;
  const waits = sight && sight !== 'gone' && sight.blockers ? ` It waited for ${sight.blockers}.` : '';
  return `${what} had no answer within ${seconds} s: its session was ended.${waits} The step tries again.`;
}

// Undefined when nobody can be asked now: keepalives, or the next look, decide.
async function askAfter(url: string, { pid, start }: Backend): Promise<Sight | 'gone' | undefined> {
  const rows = await ask<Sight>(
    url,
    `select state, wait_event as wait, (extract(epoch from clock_timestamp() - state_change) * 1000)::float8 as "idleMs",
       (select string_agg(${sessionInWords}, '; ') from pg_stat_activity a where a.pid = any(pg_blocking_pids($1))) as blockers
     from pg_stat_activity where pid = $1 and backend_start = $2::timestamptz`,
    [pid, start],
  );
  return rows && (rows[0] ?? 'gone');
}

async function endBackend(url: string, { pid, start }: Backend): Promise<void> {
  await ask(
    url,
    `select pg_terminate_backend(pid, $3) from pg_stat_activity where pid = $1 and backend_start = $2::timestamptz`,
    [pid, start, Math.round(limits.reach / 2)],
  );
}

async function ask<T>(url: string, sql: string, values: unknown[]): Promise<T[] | undefined> {
  const second = new Client({
    ...clientConfig(url),
    application_name: 'kirikae watch',
    connectionTimeoutMillis: limits.reach,
    query_timeout: limits.reach,
  });
  second.on('error', () => undefined);
  try {
    await second.connect();
    // It must not wait for others itself, as where serializable and deferrable are the database's defaults.
    await second.query(`set search_path = pg_catalog;
      set session characteristics as transaction isolation level read committed, read write, not deferrable`);
    return (await second.query(sql, values)).rows as T[];
  } catch {
    return undefined;
  } finally {
    await endSession(second);
  }
}
