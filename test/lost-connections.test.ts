/** Sockets cut for real while statements run: each is an outage, and a run that meets one ends by itself. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type { Client } from 'pg';
import { plainCopy } from '../src/backup/build';
import { copyGroup } from '../src/engine/copy';
import { planParts } from '../src/engine/parts';
import { analyzeTables, applyPostData } from '../src/engine/post-data';
import { readStoredTables } from '../src/engine/tables';
import { failureType, sentence } from '../src/errors';
import { runCheck } from '../src/host/smoke';
import { checkpointDdl } from '../src/ledger/tables';
import { runSchemaStep } from '../src/new-schema/deploy';
import { connect, withClient } from '../src/postgres/connect';
import { applyDdl } from '../src/postgres/ddl';
import { dumpSchema, dumpSql } from '../src/postgres/dump';
import { majorVersion } from '../src/postgres/versions';
import { type Plan } from '../src/settings/read';
import { endOf, openProxy } from './support/cut-proxy';
import { createDatabase, testPostgres, type TestDatabase } from './support/environment';
import { until, withDatabase } from '../lab/stage';

jest.setTimeout(120_000);

const signal = new AbortController().signal;
const session = { label: 'test', lanes: 2, signal };

describe('a connection that is lost', () => {
  let database: TestDatabase;
  let folder: string;
  let plan: Plan;

  beforeAll(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-cut-'));
    writeFileSync(path.join(folder, '1_slow.sql'), 'create table made (); select pg_sleep(60);');
    plan = {
      folder,
      databases: { production: { schemas: ['public'] } },
      schema: { kind: 'sql', dir: '.' },
    } as unknown as Plan;
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  beforeEach(async () => {
    database = await createDatabase('cut');
    await withDatabase(database.url, (client) =>
      client.query(
        `create table item (id integer, name text); insert into item values (1, 'one'), (2, 'two')`,
      ),
    );
  });
  afterEach(() => database.drop());

  /** Runs `work` through a proxy that is cut as soon as the server runs (or waits in) a statement like this one. */
  async function cutDuring(like: string, work: (url: string) => Promise<unknown>): Promise<string> {
    const proxy = await openProxy();
    const end = endOf(work(proxy.to(database.url)));
    const deadline = Date.now() + 20_000;
    await withDatabase(testPostgres().url('postgres'), (watcher) =>
      until(async () => {
        const { rows } = await watcher.query(
          `select from pg_stat_activity where datname = $1 and state = 'active' and query ilike $2
             and coalesce(wait_event, '') in ('PgSleep', 'relation')`,
          [database.name, like],
        );
        if (Date.now() > deadline) throw new Error(`No statement ran that is like ${like}.`);
        return rows.length > 0;
      }),
    );
    await proxy.cut();
    return end;
  }

  /** Holds a lock on the table while `work` runs. */
  async function withLock<T>(mode: string, work: () => Promise<T>): Promise<T> {
    return withDatabase(database.url, async (holder) => {
      await holder.query(`begin; lock table item in ${mode} mode`);
      return work();
    });
  }

  const slowCheck = { name: 'Slow', kind: 'sql', sql: 'select 1 from pg_sleep(60)' } as const;
  test.each<[string, (client: Client) => Promise<unknown>]>([
    ['a query', (client) => client.query('select pg_sleep(60)')],
    ['applied definitions', (client) => applyDdl(client, 'select pg_sleep(60)', "new schema's keys")],
    ['a file of the schema step', (client) => runSchemaStep({ url: '', client }, plan, { key: 'test' })],
  ])('is an outage in the middle of %s', async (_, work) => {
    expect(await cutDuring('%pg_sleep(60)%', (url) => withClient(url, 'test', work))).toBe('Outage');
  });

  test('is an outage in the middle of a check of smoke', async () => {
    expect(
      await cutDuring('%pg_sleep(60)%', (url) =>
        runCheck(plan, slowCheck, { productionUrl: url, key: 'test' }),
      ),
    ).toBe('Outage');
  });

  test('is an outage in the middle of ANALYZE', async () => {
    const end = await withLock('share update exclusive', () =>
      cutDuring('analyze %', (url) =>
        withClient(database.url, 'test', (client) =>
          analyzeTables({ title: 'production', url, client }, { schemas: ['public'] }, session),
        ),
      ),
    );
    expect(end).toBe('Outage');
  });

  test('is an outage in the middle of pg_dump', async () => {
    const proxy = await openProxy((type) => (type === 'Q' ? 'cut before' : 'pass'));
    expect(await endOf(dumpSchema(proxy.to(database.url), ['public'], { owners: true }))).toBe('Outage');
    await proxy.cut();
    expect(await endOf(dumpSchema(proxy.to(database.url), ['public'], { owners: true }))).toBe('Outage');
  });

  test.each([
    ['sends', /^copy \(/i],
    ['takes', /^copy "/i],
  ])(
    'is an outage in the middle of a COPY, when it is the side that %s the rows',
    async (side, statement) => {
      const copy = await createDatabase('cut');
      const proxy = await openProxy((type, text) =>
        type === 'Q' && statement.test(text) ? 'cut after' : 'pass',
      );
      try {
        await withClient(copy.url, 'test', async (client) => {
          await client.query(`create table public.item (id integer, name text); ${checkpointDdl}`);
          const tables = await withClient(database.url, 'test', (source) =>
            readStoredTables(source, ['public']),
          );
          const phase = { name: 'backup', attempt: 1 } as const;
          await planParts(client, phase, { jobs: tables.map(plainCopy), sameMajor: true });
          const group = {
            phase,
            group: 0,
            searchPath: [],
            targetPath: [],
            label: 'test',
            mayWrite: () => Promise.resolve(),
            onProgress: () => undefined,
            signal,
          };
          const urls = { sourceUrl: database.url, targetUrl: copy.url };
          const cut =
            side === 'sends' ? { sourceUrl: proxy.to(database.url) } : { targetUrl: proxy.to(copy.url) };
          expect(await endOf(copyGroup({ ...group, ...urls, ...cut }))).toBe('Outage');
          expect(await copyGroup({ ...group, ...urls })).toMatchObject({ rows: 2 });
        });
      } finally {
        await proxy.cut();
        await copy.drop();
      }
    },
  );

  /** The table's key, as a backup stores it; the table has none any more. */
  async function storedKey(client: Client): Promise<string> {
    await client.query(`alter table public.item add constraint item_key primary key (id)`);
    const dump = await dumpSchema(database.url, ['public'], { owners: true });
    await client.query(`alter table public.item drop constraint item_key; ${checkpointDdl}`);
    return dumpSql(dump, dump.post, await majorVersion(client));
  }

  const keysOf = (client: Client, url: string, sql: string) =>
    applyPostData({
      ...session,
      target: { title: 'production', url, client },
      phase: { name: 'restore', attempt: 1 },
      sql,
      what: 'stored indexes and keys of the backup',
      finish: () => Promise.resolve(),
    });

  test("is an outage in the middle of a restore's keys, and the next attempt makes them", async () => {
    await withClient(database.url, 'test', async (client) => {
      const sql = await storedKey(client);
      const end = await withLock('access share', () =>
        cutDuring('%add constraint%', (url) => keysOf(client, url, sql)).catch(sentence),
      );
      expect(end).toBe('Outage');
      await keysOf(client, database.url, sql);
      const { rows } = await client.query(
        `select conname as name from pg_constraint where conname = 'item_key'`,
      );
      expect(rows).toHaveLength(1);
    });
  });

  test('is told from keys that the rows refuse, which is a failure in a sentence', async () => {
    await withClient(database.url, 'test', async (client) => {
      const sql = await storedKey(client);
      await client.query(`insert into public.item values (2, 'again')`);
      await expect(keysOf(client, database.url, sql)).rejects.toMatchObject({
        type: 'StepFailed',
        message: `The stored indexes and keys of the backup can't be applied to database ${database.name}: could not create unique index "item_key".`,
      });
    });
  });

  test('is an outage when the server is not there, or resets the connection', async () => {
    const server = net.createServer((socket) => socket.once('data', () => socket.resetAndDestroy()));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const port = String((server.address() as AddressInfo).port);
    const url = Object.assign(new URL(database.url), { port }).toString();
    await expect(connect(url, 'test')).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await endOf(connect(url, 'test'))).toBe('Outage');
    await new Promise((resolve) => server.close(resolve));
    await expect(connect(url, 'test')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(await endOf(connect(url, 'test'))).toBe('Outage');
  });

  const addColumn = (client: Client) =>
    applyDdl(client, 'alter table public.item add more text', "new schema's keys");

  test('is treated like a lock that is not had in time', async () => {
    const end = await withLock('access share', () =>
      withClient(database.url, 'test', async (client) => {
        await client.query(`set lock_timeout = '50ms'`);
        const refusal: unknown = await addColumn(client).catch((error: unknown) => error);
        expect(refusal).toMatchObject({ code: '55P03' });
        return failureType(refusal);
      }),
    );
    expect(end).toBe('Outage');
  });

  test('is treated like a deadlock', async () => {
    await withDatabase(database.url, async (other) => {
      await other.query('create table second ()');
      await other.query(`set deadlock_timeout = '60s'; begin; lock table item`);
      await withClient(database.url, 'test', async (client) => {
        await client.query(`set deadlock_timeout = '10ms'`);
        await client.query('begin; lock table public.second');
        const waiting = other.query('lock table public.second');
        await until(async () => {
          const { rows } = await client.query(
            `select from pg_locks where not granted and relation = 'public.second'::regclass`,
          );
          return rows.length > 0;
        });
        // The last to wait finds the circle, and is the one that is refused.
        const refusal: unknown = await addColumn(client).catch((error: unknown) => error);
        await client.query('rollback');
        await waiting;
        expect(refusal).toMatchObject({ code: '40P01' });
        expect(failureType(refusal)).toBe('Outage');
      });
    });
  });

  test('is told from a wrong password, which an operator has to correct', async () => {
    const url = Object.assign(new URL(database.url), { password: 'wrong' }).toString();
    await expect(connect(url, 'test')).rejects.toMatchObject({ code: '28P01' });
    expect(await endOf(connect(url, 'test'))).toBe('NeedsRepair');
    expect(await endOf(dumpSchema(url, ['public'], { owners: true }))).toBe('NeedsRepair');
  });

  test('is told from a database that does not exist', async () => {
    const url = testPostgres().url('nobody_made_this');
    expect(await endOf(connect(url, 'test'))).toBe('StepFailed');
    expect(await endOf(dumpSchema(url, ['public'], { owners: true }))).toBe('StepFailed');
  });
});
