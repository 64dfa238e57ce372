/** Reading live production must not stop it: a scan ends as soon as anybody waits for its locks, and is begun again later. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Client, ClientBase } from 'pg';
import { KirikaeError, codeOf } from '../errors';
import { all, disconnect, connect, one } from './connect';
import { shortly } from './deadline';

const lookEveryMs = 1_000;
const timesLetGo = 3;
const pauseMs = 5_000;

/** Who looks after a session's locks, and for whom they were let go. */
interface Watch {
  waiting: string | null;
}

const watches = new WeakMap<ClientBase, Watch>();

interface Waiter {
  pid: number;
  role: string;
  statement: string;
}

// Locks are seen by everybody, what others do by few.
const waiters = `
  select l.pid, coalesce(a.usename, '?') as role, left(regexp_replace(coalesce(a.query, ''), '\\s+', ' ', 'g'), 80) as statement
  from pg_locks l left join pg_stat_activity a on a.pid = l.pid
  where not l.granted and l.database = (select oid from pg_database where datname = current_database())
    and $1 = any (pg_blocking_pids(l.pid)) limit 1`;

/**
 * Runs `work`, which reads by a session of its own, while a second session looks each second whether anybody waits for its locks: then
 * the statement is cancelled. What reads goes through `readAgain`.
 * @param url of the session's database
 */
export async function withLettingGo<T>(client: Client, url: string, work: () => Promise<T>): Promise<T> {
  const watch: Watch = { waiting: null };
  const { pid } = await one<{ pid: number }>(client, 'select pg_backend_pid() as pid');
  const looking = await connect(url, 'preflight watch');
  const end = new AbortController();
  watches.set(client, watch);
  const loop = (async () => {
    while (!end.signal.aborted) {
      const [waiter] = await shortly<Waiter>(looking, waiters, [pid]);
      if (waiter && watch.waiting === null) {
        watch.waiting = `session ${waiter.pid} of ${waiter.role}${waiter.statement ? ` ("${waiter.statement}")` : ''}`;
        await all(looking, 'select pg_cancel_backend($1)', [pid]);
      }
      await wait(lookEveryMs, undefined, { signal: end.signal }).catch(() => undefined);
    }
  })();
  // It only looks: what it can't see any more stops no scan.
  loop.catch(() => undefined);
  try {
    return await work();
  } finally {
    end.abort();
    watches.delete(client);
    await loop.catch(() => undefined);
    await disconnect(looking);
  }
}

/**
 * Runs one reading, again where its locks were let go; it must leave no transaction open when it fails.
 * @throws KirikaeError StepFailed when somebody waited for it each time
 */
export async function readAgain<T>(client: ClientBase, read: () => Promise<T>): Promise<T> {
  for (let times = 1; ; times += 1) {
    try {
      return await read();
    } catch (error) {
      const watch = watches.get(client);
      const waiting = watch?.waiting;
      if (!watch || !waiting || codeOf(error) !== '57014') throw error;
      if (times === timesLetGo)
        throw new KirikaeError(
          'StepFailed',
          `Reading production was ended ${timesLetGo} times because somebody waited for its locks, at last ${waiting}. Nothing was changed. Repeat it when production's tables aren't altered.`,
        );
      await wait(pauseMs);
      watch.waiting = null;
    }
  }
}
