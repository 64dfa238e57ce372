/** Items worked off on several lanes at once, each with a session of its own that an abort cuts. */
import { EventEmitter, once } from 'node:events';
import os from 'node:os';
import type { Client } from 'pg';
import { connect, destroy, disconnect } from './connect';
import type { Work } from './endpoint';

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
  await inLanes(items, lanes, (eachItem) =>
    withCutSessions([{ url, label }], lanes.signal, async (client) => {
      await prepare(client);
      await eachItem((item) => work(client, item));
    }),
  );
}

/**
 * Opens sessions for `work` and ends them in every case. Ending a session waits for its running statement: an abort and a
 * failure cut the connections instead, and the server rolls back.
 * @throws the reason of an abort, else what `work` throws
 */
export async function withCutSessions<T>(
  sessions: readonly { url: string; label: string }[],
  signal: AbortSignal,
  work: (...clients: Client[]) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const clients: Client[] = [];
  const cut = () => clients.forEach(destroy);
  signal.addEventListener('abort', cut);
  try {
    for (const { url, label } of sessions) clients.push(await connect(url, label));
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
