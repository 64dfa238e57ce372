/** Items worked off on several lanes at once, each with a session of its own that an abort cuts. */
import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import os from 'node:os';
import type { Client } from 'pg';
import { KirikaeError } from '../errors';
import { APPLICATION, connect, destroy, disconnect } from './connect';
import type { Work } from './endpoint';
import { endUntilGone } from './sessions';

export interface Lanes<T> extends Pick<Work, 'lanes' | 'signal'> {
  /** What must be done before an item is taken; it counts where it is among the items. */
  after?: (item: T) => T | undefined;
}

/** One connection more than cores copies fastest; never more than eight. */
export function lanesOfHost(): number {
  return Math.min(8, os.availableParallelism() + 1);
}

/** A lane's share: calls `work` for one item after the other until none is left for this lane. */
export type EachItem<T> = (work: (item: T) => Promise<void>) => Promise<void>;

/**
 * Takes items in their order on several lanes at once; the first failure stops the taking of further items.
 * @param lane runs once for each lane, and hands over what is to be done with an item
 * @throws the first failure once all lanes have ended; the reason of an abort
 */
export async function inLanes<T>(
  items: readonly T[],
  { lanes, signal, after }: Lanes<T>,
  lane: (eachItem: EachItem<T>) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const open = new Set<T | undefined>(items);
  const ends = new EventEmitter();
  const next = async (): Promise<T | undefined> => {
    while (queue.length > 0) {
      const ready = queue.findIndex((item) => !open.has(after?.(item)));
      if (ready >= 0) return queue.splice(ready, 1)[0];
      await once(ends, 'end');
    }
    return undefined;
  };
  const eachItem: EachItem<T> = async (work) => {
    for (let item = await next(); item !== undefined; item = await next()) {
      signal.throwIfAborted();
      await work(item);
      open.delete(item);
      ends.emit('end');
    }
  };
  const run = async () => {
    try {
      await lane(eachItem);
    } catch (error) {
      queue.length = 0;
      ends.emit('end');
      throw error;
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: Math.min(lanes, queue.length) }, run));
  signal.throwIfAborted();
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

export interface SessionLanes<T> extends Lanes<T> {
  url: string;
  /** What the sessions are for, in application_name. */
  label: string;
  /** Settings of a session before its first item. */
  prepare: (client: Client) => Promise<void>;
}

/** Works off items in their order, with a session for each lane; the first failure stops the taking of further items. */
export async function inSessions<T>(
  items: readonly T[],
  { url, label, prepare, ...lanes }: SessionLanes<T>,
  work: (client: Client, item: T) => Promise<void>,
): Promise<void> {
  const { signal } = lanes;
  const mark = newMark();
  await inLanes(items, lanes, (eachItem) =>
    withMarkedSessions([{ url, label }], { signal, mark }, async (client) => {
      await prepare(client);
      await eachItem((item) => work(client, item));
    }),
  );
}

/**
 * Opens sessions for `work` and ends them in every case. Ending a session waits for its running statement: an abort and a
 * failure cut the connections instead, and the server rolls back. Sessions of the same label that another call opened in the
 * same database are a predecessor's, whose host may be lost while they hold locks: they are ended first.
 * @throws the reason of an abort, else what `work` throws
 */
export async function withCutSessions<T>(
  sessions: readonly LabelledUrl[],
  signal: AbortSignal,
  work: (...clients: Client[]) => Promise<T>,
): Promise<T> {
  return withMarkedSessions(sessions, { signal, mark: newMark() }, work);
}

interface LabelledUrl {
  url: string;
  label: string;
}

// What tells the sessions of one call from those of a predecessor.
function newMark(): string {
  return randomBytes(3).toString('hex');
}

async function withMarkedSessions<T>(
  sessions: readonly LabelledUrl[],
  { signal, mark }: { signal: AbortSignal; mark: string },
  work: (...clients: Client[]) => Promise<T>,
): Promise<T> {
  const open = async (clients: Client[]) => {
    for (const { url, label } of sessions) {
      // Names are cut at 63 bytes; the mark must not be.
      const name = `${label.slice(0, 63 - APPLICATION.length - mark.length - 2)} `;
      const client = await connect(url, name + mark);
      clients.push(client);
      await endPredecessors(client, `${APPLICATION} ${name}`);
    }
  };
  return cuttingSessions(open, signal, work);
}

/**
 * Runs `work` with sessions that are ended in every case: cut where it fails or is aborted, in the middle of a COPY too.
 * @param open opens them into the list, one after the other
 * @throws the reason of an abort, else what `open` and `work` throw
 */
export async function cuttingSessions<T>(
  open: (clients: Client[]) => Promise<void>,
  signal: AbortSignal,
  work: (...clients: Client[]) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const clients: Client[] = [];
  const cut = () => clients.forEach(destroy);
  signal.addEventListener('abort', cut);
  try {
    await open(clients);
    signal.throwIfAborted();
    return await work(...clients);
  } catch (error) {
    cut();
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', cut);
    await Promise.all(clients.map(disconnect));
  }
}

async function endPredecessors(client: Client, name: string): Promise<void> {
  const others = `datname = current_database() and starts_with(application_name, $1)
    and length(application_name) = length(current_setting('application_name'))
    and application_name <> current_setting('application_name')`;
  const { found, refused } = await endUntilGone(client, { where: others, values: [name] }, 10_000);
  // Who may not be ended is somebody else, under a name of ours.
  if (found.length > refused.length) {
    throw new KirikaeError(
      'Outage',
      `Sessions of an earlier attempt don't end: ${found.slice(0, 5).join(', ')}. The step tries again.`,
    );
  }
}
