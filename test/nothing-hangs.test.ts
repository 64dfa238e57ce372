/** Answers that never come, locks that are not had, sessions that a lost host leaves behind: nothing waits for ever. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import net, { type AddressInfo, type Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { Client } from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { guardActivities } from '../activities/guard';
import type { Heartbeat } from '../src/contract';
import { failureType } from '../src/errors';
import { namingBlockers } from '../src/postgres/blockers';
import { commitForGood, connect, inTransaction, one, withClient } from '../src/postgres/connect';
import { limits, shortly } from '../src/postgres/deadline';
import { inSessions, withCutSessions } from '../src/postgres/lanes';
import { clientConfig } from '../src/postgres/url';
import { query, until, withDatabase } from '../lab/stage';
import { startPostgres, type PostgresServer } from '../tools/postgres';
import { createDatabase, onServer, type TestDatabase } from './support/environment';

jest.setTimeout(60_000);

const signal = new AbortController().signal;
const usual = { ...limits };
const quick = { short: 400, commit: 400, look: 200, answer: 300 };

let database: TestDatabase;
const later: (() => void)[] = [];
beforeEach(async () => {
  database = await createDatabase('hang');
  await query(database.url, `create table item (id integer, name text)`);
});
afterEach(async () => {
  Object.assign(limits, usual);
  later.splice(0).forEach((undo) => undo());
  await database.drop();
});

/** A proxy that lets nothing back to a session once the session has said `word`; nor that the server is gone. */
async function silencing(word: string): Promise<string> {
  const sockets: Socket[] = [];
  const { port } = new URL(database.url);
  const proxy = net.createServer((client) => {
    const server = net.connect(Number(port), '127.0.0.1');
    let isSilent = false;
    sockets.push(client, server);
    for (const socket of [client, server]) socket.on('error', () => undefined);
    client.on('data', (chunk: Buffer) => {
      if (chunk.includes(word)) isSilent = true;
      server.write(chunk);
    });
    server.on('data', (chunk) => void (isSilent || client.write(chunk)));
    server.on('close', () => void (isSilent || client.destroy()));
    client.on('close', () => void (isSilent || server.destroy()));
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const url = new URL(database.url);
  url.port = String((proxy.address() as AddressInfo).port);
  later.push(() => {
    proxy.close();
    sockets.forEach((socket) => socket.destroy());
  });
  return url.toString();
}

const pidOf = async (client: Client) =>
  (await one<{ pid: number }>(client, 'select pg_backend_pid() as pid')).pid;
const isThere = async (pid: number) =>
  (await query(database.url, 'select from pg_stat_activity where pid = $1', [pid])).length > 0;
const rejection = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('an answer that never comes', () => {
  test('to COMMIT is an outage that says what is unknown; the session is gone, and so are its locks', async () => {
    const url = await silencing('commit\0');
    const client = await connect(url, 'test');
    const pid = await pidOf(client);
    Object.assign(limits, quick);
    const error = await rejection(
      inTransaction(client, async () => {
        await client.query(`insert into public.item values (1, 'one')`);
        await client.query('lock table public.item');
      }),
    );
    expect(failureType(error)).toBe('Outage');
    expect(String(error)).toMatch(
      /^Outage: "commit" on 127\.0\.0\.1:\d+\/hang_\w+ had no answer within 0 s: .*unknown whether it was committed/,
    );
    expect(await isThere(pid)).toBe(false);
    const rows = await query(database.url, `set lock_timeout = '1s'; lock table item`).then(() =>
      query(database.url, 'select id from item'),
    );
    expect(rows).toEqual([{ id: 1 }]);
  });

  test('to a long statement is an outage, once the server is seen idle', async () => {
    const url = await silencing('any_row');
    const client = await connect(url, 'test');
    const pid = await pidOf(client);
    Object.assign(limits, quick);
    const error = await rejection(client.query('select 1 as any_row'));
    expect(failureType(error)).toBe('Outage');
    expect(String(error)).toContain('its answer never came');
    expect(await isThere(pid)).toBe(false);
  });

  test('from a server process that is gone is an outage', async () => {
    const url = await silencing('pg_sleep');
    const client = await connect(url, 'test');
    const pid = await pidOf(client);
    Object.assign(limits, quick);
    const end = rejection(client.query('select pg_sleep(60)'));
    await query(database.url, 'select pg_terminate_backend($1)', [pid]);
    expect(String(await end)).toContain('has lost its server process');
  });

  test('because of a lock is an outage that names who holds it, when the statement is a short one', async () => {
    await withDatabase(database.url, async (holder) => {
      await holder.query('begin; lock table item');
      const client = await connect(database.url, 'test');
      Object.assign(limits, quick);
      const error = await rejection(shortly(client, 'select * from public.item'));
      expect(failureType(error)).toBe('Outage');
      expect(String(error)).toContain(`It waited for pid ${await pidOf(holder)} of postgres (unnamed)`);
    });
  });
});

describe('what takes long and lives is left alone', () => {
  test('a long statement, and a COPY whose rows this process is slow to take', async () => {
    Object.assign(limits, { look: 100, answer: 100 });
    await withClient(database.url, 'test', async (client) => {
      await client.query('select pg_sleep(1)');
      const pid = await pidOf(client);
      const copy = client.query(
        copyTo(`copy (select repeat('x', 1000) from generate_series(1, 1000)) to stdout`),
      );
      await until(
        async () =>
          (
            await query(
              database.url,
              `select from pg_stat_activity where pid = $1 and state = 'idle' and state_change < now() - interval '1 s'`,
              [pid],
            )
          ).length > 0,
      );
      let bytes = 0;
      for await (const chunk of copy) bytes += (chunk as Buffer).length;
      expect(bytes).toBe(1_001_000);
    });
  });
});

describe('on a server of its own', () => {
  let server: PostgresServer;
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-hang-'));
  beforeAll(async () => {
    chmodSync(folder, 0o777);
    server = await startPostgres({ settings: { unix_socket_directories: folder } });
  });
  afterAll(async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test('a COMMIT that waits for a standby is not cut, and shown by the heartbeats of its activity alone', async () => {
    const url = server.url('postgres');
    await query(url, `alter system set synchronous_standby_names = 'nobody'`);
    await query(url, 'select pg_reload_conf()');
    await until(
      async () =>
        (
          await query<{ names: string }>(url, `select current_setting('synchronous_standby_names') as names`)
        )[0]?.names === 'nobody',
    );
    Object.assign(limits, quick);
    const fromMs = Date.now();
    const beats: Heartbeat[] = [];
    const othersBeats: Heartbeat[] = [];
    const isDone = new AbortController();
    const writing = guarded(beats).run(() =>
      withClient(url, 'test', async (client) => {
        await inTransaction(client, () => client.query('create table public.made ()'));
        await until(() => Promise.resolve(beats.at(-1)?.outage === undefined));
      }),
    );
    const other = guarded(othersBeats).run(() =>
      withClient(url, 'test', () => until(() => isDone.signal.aborted)),
    );
    await until(() => beats.some(({ outage }) => outage !== undefined));
    const { error, since } = beats.find(({ outage }) => outage)?.outage ?? { error: '', since: '' };
    expect(error).toMatch(
      /^"commit" on 127\.0\.0\.1:\d+\/postgres waits for a standby\. Bring it back, or take it out of synchronous_standby_names\.$/,
    );
    expect(Date.parse(since)).toBeGreaterThan(fromMs);
    expect(Date.parse(since)).toBeLessThan(Date.now());
    await until(() => othersBeats.length > 1);
    await query(url, `alter system reset synchronous_standby_names`);
    await query(url, 'select pg_reload_conf()');
    await writing;
    isDone.abort();
    await other;
    expect(othersBeats.filter(({ outage }) => outage)).toEqual([]);
  });

  // An activity as a worker runs it.
  function guarded(beats: Heartbeat[]): MockActivityEnvironment {
    const environment = new MockActivityEnvironment(
      {},
      {
        interceptors: [
          guardActivities(
            (text) => text,
            () => Infinity,
          ),
        ],
      },
    );
    environment.on('heartbeat', (beat: Heartbeat) => beats.push(beat));
    return environment;
  }

  test('a session over a Unix socket is opened like any other', async () => {
    const url = `${server.url('postgres').replace(/@[^/]*/, '@')}?host=${encodeURIComponent(folder)}&port=${server.port}`;
    await withClient(url, 'test', async (client) => {
      expect(await one(client, 'select inet_server_addr() as address')).toEqual({ address: null });
    });
    await withClient(server.url('postgres'), 'test', async (client) => {
      expect(await one(client, 'show tcp_user_timeout')).toEqual({ tcp_user_timeout: '30000' });
    });
  });
});

test.each([
  ['off', 'on'],
  ['local', 'on'],
  ['remote_apply', 'remote_apply'],
])('where the database says synchronous_commit = %s a session of ours says %s', async (theirs, ours) => {
  await onServer(`alter database ${database.name} set synchronous_commit = ${theirs}`);
  await withClient(database.url, 'test', async (client) => {
    expect(await one(client, 'show synchronous_commit')).toEqual({ synchronous_commit: ours });
    await client.query('set synchronous_commit = off');
    await client.query(commitForGood);
    expect(await one(client, 'show synchronous_commit')).toEqual({ synchronous_commit: ours });
  });
});

describe('a lock that is not had in time', () => {
  const role = `hang_${process.pid}`;
  beforeAll(() => onServer(`create role ${role} login password 'x'`));
  afterAll(() => onServer(`drop role ${role}`));

  test.each([
    ['may', 'holds', 'asks'],
    ['may not', 'asks', 'holds'],
  ])('names who holds it, whom this run %s end', async (may, roleDoes) => {
    const plain = Object.assign(new URL(database.url), { username: role, password: 'x' }).toString();
    await query(database.url, `grant all on item to ${role}`);
    const [holds, asks] = roleDoes === 'holds' ? [plain, database.url] : [database.url, plain];
    await withDatabase(holds, async (holder) => {
      await holder.query(`begin; set application_name = 'the app'; select * from item`);
      const pid = await pidOf(holder);
      const error = await withClient(asks, 'test', (client) =>
        rejection(
          namingBlockers(client, ['public'], () =>
            inTransaction(client, async () => {
              await client.query(`set local lock_timeout = '100ms'`);
              await client.query('lock table public.item');
            }),
          ),
        ),
      );
      expect(failureType(error)).toBe('Outage');
      const who = `pid ${pid} of ${roleDoes === 'holds' ? role : 'postgres'} (the app)`;
      expect(String(error)).toContain(
        `A lock was not had in time: canceling statement due to lock timeout. Locks are held by ${who}, `,
      );
      expect(String(error)).toContain(`which this run ${may} end (on public.item)`);
    });
    await query(database.url, `revoke all on item from ${role}`);
  });
});

describe('a successor', () => {
  test('ends what reads for its predecessor, whose host takes no rows any more, and nobody else', async () => {
    const frozen = async (application_name: string) => {
      const client = new Client({ ...clientConfig(database.url), application_name });
      client.on('error', () => undefined);
      await client.connect();
      const pid = await pidOf(client);
      (client as unknown as { connection: { stream: Socket } }).connection.stream.pause();
      const sql = `copy (select repeat('x', 10000) from generate_series(1, 10000)) to stdout`;
      client.query(copyTo(sql)).on('error', () => undefined);
      await until(async () => {
        const where = `pid = $1 and wait_event = 'ClientWrite'`;
        return (await query(database.url, `select from pg_stat_activity where ${where}`, [pid])).length > 0;
      });
      return { client, pid };
    };
    const mine = await frozen('kirikae test read 123456');
    const others = await frozen('kirikae test read 1 123456');
    await withCutSessions([{ url: database.url, label: 'test read' }], signal, async () => {
      expect([await isThere(mine.pid), await isThere(others.pid)]).toEqual([false, true]);
    });
    for (const { client } of [mine, others])
      (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
  });

  test('leaves its own lanes alone', async () => {
    const at = new Set<number>();
    await inSessions(
      [1, 2, 3],
      { url: database.url, label: 'test hash', lanes: 3, signal, prepare: () => Promise.resolve() },
      async (client, item) => {
        at.add(item);
        await until(() => at.size === 3);
        await client.query('select 1');
      },
    );
    expect(at.size).toBe(3);
  });
});
