/** While the schema step's command runs on the shadow, production is watched: a session there that is the command's ends it. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Client } from 'pg';
import { KirikaeError } from '../errors';
import { portsOf } from '../host/ports';
import { all, withClient } from '../postgres/connect';
import { placeOf } from '../postgres/url';
import type { Plan } from '../settings/read';

const lookEveryMs = 100;

/** A note where sessions can't be matched with this host's processes. */
export function noteOnStrays({ schema }: Plan): string[] {
  if (schema.kind !== 'command' || portsOf(process.pid) !== null) return [];
  return [
    'Whether the schema step opens sessions in production can not be told here: this host does not say which ports a process has open. See to it that its tool reads no other address.',
  ];
}

/**
 * Runs `work`, which starts a command with what it is given.
 * @param work given a signal that ends the command, and what is to be told its process id
 */
export async function watchingProduction<T>(
  url: string,
  work: (signal: AbortSignal, onStart: (pid: number) => Promise<void>) => Promise<T>,
): Promise<T> {
  const stray = new AbortController();
  const ended = new AbortController();
  const watch = (pid: number) =>
    withClient(url, 'preflight watch', async (client) => {
      while (!ended.signal.aborted && !stray.signal.aborted) {
        if (await hasSession(client, pid)) stray.abort(straying(url));
        await wait(lookEveryMs, undefined, { signal: ended.signal }).catch(() => undefined);
      }
    });
  let watching: Promise<void> | undefined;
  // Not waited for: the command runs already.
  const onStart = (pid: number) => {
    watching = watch(pid);
    watching.catch(() => undefined);
    return Promise.resolve();
  };
  try {
    return await work(stray.signal, onStart);
  } finally {
    ended.abort();
    await watching;
  }
}

// From this host, as the watch's own session is: another host may use a port of the same number.
async function hasSession(client: Client, group: number): Promise<boolean> {
  const ports = portsOf(group);
  if (!ports?.size) return false;
  const [session] = await all(
    client,
    `select from pg_stat_activity a, (select client_addr from pg_stat_activity where pid = pg_backend_pid()) own
     where datname = current_database() and a.client_addr = own.client_addr and client_port = any($1)`,
    [[...ports]],
  );
  return session !== undefined;
}

function straying(url: string): KirikaeError {
  return new KirikaeError(
    'StepFailed',
    `Its command opened a session in production (${placeOf(url)}) while it was given the shadow, and was ended. Look at production now. Find out which address its tool reads (a .env file, a directUrl, a variable of its own), and name every such variable in schema.urlEnv.`,
  );
}
