/** A live source read at one exported snapshot: consistent while somebody writes, started again when the snapshot is lost. */
import { plainCopy } from '../src/backup/build';
import { hashTables } from '../src/engine/compare';
import { copyGroup } from '../src/engine/copy';
import { hashJob } from '../src/engine/differences';
import { planParts } from '../src/engine/parts';
import { holdSnapshot, type Snapshot } from '../src/engine/snapshot';
import { readStoredTables } from '../src/engine/tables';
import { one, withClient } from '../src/postgres/connect';
import { until } from '../lab/stage';
import { createDatabase, type TestDatabase } from './support/environment';

const phase = { name: 'backup', attempt: 1 } as const;
const accounts = `
  create table public.account (id int primary key, balance int not null);
  create table public.transfer (id bigserial primary key, account int not null, amount int not null);`;
let source: TestDatabase;
let target: TestDatabase;

beforeEach(async () => {
  source = await createDatabase('snapshot_source');
  target = await createDatabase('snapshot_target');
  for (const { url } of [source, target]) await withClient(url, 'test', (client) => client.query(accounts));
  await withClient(source.url, 'test', (client) =>
    client.query('insert into public.account select n, 100 from generate_series(1, 2000) n'),
  );
});
afterEach(async () => {
  await source.drop();
  await target.drop();
});

test('a copy of a source that is written to all the time is of one moment', async () => {
  const stop = new AbortController();
  const writer = writeUntil(stop.signal);
  const snapshot = await holdSnapshot(source.url, 'test');
  try {
    await until(async () => (await written()) > 50);
    const groups = await plan();
    const before = await hashes(source.url, snapshot);
    for (let group = 0; group < groups; group++) await copy(group, snapshot);
    expect(await hashes(target.url)).toEqual(before);
  } finally {
    stop.abort();
    await writer;
    await snapshot.release();
  }
  // Every transfer that arrived is in its account's balance, and none beyond.
  const wrong = await withClient(target.url, 'test', (client) =>
    client.query(`select a.id from public.account a left join public.transfer t on t.account = a.id
      group by a.id, a.balance having a.balance <> 100 + coalesce(sum(t.amount), 0)
      union all select t.account from public.transfer t where not exists (select from public.account a where a.id = t.account)`),
  );
  expect(wrong.rows).toEqual([]);
  expect(await hashes(source.url)).not.toEqual(await hashes(target.url));
});

test('losing the snapshot is noticed, named, and a copy with a new one is whole', async () => {
  const snapshot = await holdSnapshot(source.url, 'test');
  const groups = await plan();
  await withClient(source.url, 'test', (client) =>
    client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'kirikae test snapshot' and datname = current_database()`,
    ),
  );
  await snapshot.lost;
  await expect(copy(0, snapshot)).rejects.toMatchObject({
    type: 'SnapshotLost',
    message: expect.stringMatching(/the copy starts again with a new snapshot/) as string,
  });
  await expect(hashes(source.url, snapshot)).rejects.toMatchObject({ type: 'SnapshotLost' });
  const again = await holdSnapshot(source.url, 'test');
  for (let group = 0; group < groups; group++) await copy(group, again);
  expect(await hashes(target.url)).toEqual(await hashes(source.url, again));
  await again.release();
});

async function plan(): Promise<number> {
  const tables = await withClient(source.url, 'test', (client) => readStoredTables(client, ['public']));
  // Many small parts, as a big table has.
  const cut = tables.map((table) => ({
    ...plainCopy(table),
    source: { ...table, bytes: 5 * 64 * 1024 * 1024 },
  }));
  return withClient(
    target.url,
    'test',
    async (client) => (await planParts(client, phase, { jobs: cut, sameMajor: true })).groups,
  );
}

async function copy(group: number, snapshot: Snapshot): Promise<void> {
  await copyGroup({
    sourceUrl: source.url,
    targetUrl: target.url,
    phase,
    group,
    searchPath: [],
    targetPath: [],
    snapshot: snapshot.id,
    label: `test ${group}`,
    mayWrite: () => Promise.resolve(),
    onProgress: () => undefined,
    signal: new AbortController().signal,
  });
}

async function hashes(url: string, snapshot?: Snapshot): Promise<unknown> {
  const tables = await withClient(url, 'test', (client) => readStoredTables(client, ['public']));
  const found = await hashTables(tables.map(hashJob), {
    url,
    label: 'test',
    method: 'record',
    lanes: 2,
    signal: new AbortController().signal,
    ...(snapshot ? { snapshot: snapshot.id } : {}),
  });
  return [...found].sort();
}

async function written(): Promise<number> {
  return withClient(source.url, 'test', async (client) =>
    Number((await one<{ n: string }>(client, 'select count(*) as n from public.transfer')).n),
  );
}

// Each transfer changes its account's balance in the same transaction.
async function writeUntil(signal: AbortSignal): Promise<void> {
  await withClient(source.url, 'writer', async (client) => {
    for (let n = 0; !signal.aborted; n++) {
      const account = (n * 7919) % 2000;
      await client.query(`begin;
        insert into public.transfer (account, amount) values (${account + 1}, ${n % 10});
        update public.account set balance = balance + ${n % 10} where id = ${account + 1};
        commit`);
    }
  });
}
