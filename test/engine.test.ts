/** The copy engine on real servers' tables: every row once whatever happens between, and comparisons that miss nothing. */
import type { Client } from 'pg';
import { plainCopy } from '../src/backup/build';
import { copyGroup, type Copied } from '../src/engine/copy';
import { hashTables } from '../src/engine/compare';
import { hashJob } from '../src/engine/differences';
import { planParts, type PartPlan, type Phase } from '../src/engine/parts';
import type { HashMethod } from '../src/engine/row-hash';
import { readStoredTables } from '../src/engine/tables';
import { connect, disconnect, one } from '../src/postgres/connect';
import { createDatabase, type TestDatabase } from './support/environment';

const phase: Phase = { name: 'backup', attempt: 1 };
let databases: TestDatabase[];
let source: Client;
let target: Client;

beforeEach(async () => {
  databases = [await createDatabase('engine_source'), await createDatabase('engine_target')];
  source = await connect(url(0), 'test source');
  target = await connect(url(1), 'test target');
});
afterEach(async () => {
  await disconnect(source);
  await disconnect(target);
  for (const database of databases) await database.drop();
});

test('a table cut by ctid into many parts arrives with every row once, rows beyond the planned pages included', async () => {
  await onBoth('create table public.big (id int, filler text)');
  await source.query(`insert into public.big select n, repeat('x', 500) from generate_series(1, 3000) n`);
  // Holes: pages whose rows are gone, and rows that moved to later pages.
  await source.query(`delete from public.big where id between 500 and 900`);
  await source.query(`update public.big set filler = 'moved' where id % 7 = 0`);
  const plan = await planCopies({ bytes: 10 * 64 * 1024 * 1024 });
  expect(plan.parts).toBe(12);
  await source.query(`insert into public.big select n, repeat('y', 500) from generate_series(3001, 3100) n`);
  let rows = 0;
  for (let group = 0; group < plan.groups; group++) rows += (await copy(group)).rows;
  expect(rows).toBe(3000 - 401 + 100);
  expect(await hashOf(target, 'record')).toEqual(await hashOf(source, 'record'));
});

test('a group copied a second time writes nothing and reports the same rows', async () => {
  await onBoth('create table public.t (id int)');
  await source.query('insert into public.t select generate_series(1, 1000)');
  await planCopies();
  const first = await copy(0);
  expect(first.rows).toBe(1000);
  expect(await copy(0)).toEqual(first);
  expect((await one<{ n: string }>(target, 'select count(*) as n from public.t')).n).toBe('1000');
});

test('a commit that is refused at the last moment leaves neither rows nor checkpoint', async () => {
  await onBoth('create table public.t (id int)');
  await source.query('insert into public.t select generate_series(1, 1000)');
  await planCopies();
  await expect(copy(0, () => Promise.reject(new Error('not yours any more')))).rejects.toThrow(
    'not yours any more',
  );
  expect((await one<{ n: string }>(target, 'select count(*) as n from public.t')).n).toBe('0');
  expect((await copy(0)).rows).toBe(1000);
});

test('an abort in the middle of a copy ends both sessions, and the next attempt copies everything', async () => {
  await onBoth('create table public.t (id int)');
  await source.query('insert into public.t select generate_series(1, 1000)');
  await planCopies();
  const stop = new AbortController();
  const aborted = copy(
    0,
    () => {
      stop.abort(new Error('cancelled by a person'));
      return Promise.resolve();
    },
    stop.signal,
  );
  await expect(aborted).rejects.toThrow('cancelled by a person');
  expect((await copy(0)).rows).toBe(1000);
});

test.each(['vacuum full public.t', 'truncate public.t', 'alter table public.t alter id type bigint'])(
  'a source rewritten by %s between planning and copying is found, and nothing is copied',
  async (rewrite) => {
    await onBoth('create table public.t (id int)');
    await source.query('insert into public.t select generate_series(1, 1000)');
    await planCopies();
    await source.query(rewrite);
    await expect(copy(0)).rejects.toThrow(/was rewritten/);
    expect((await one<{ n: string }>(target, 'select count(*) as n from public.t')).n).toBe('0');
  },
);

test('arrays of enums and enums arrive on a server that numbers its types differently', async () => {
  await source.query(`create type public.mood as enum ('sad', 'ok', 'happy')`);
  await target.query(`create type public.other as enum ('x')`);
  await target.query(`create type public.mood as enum ('sad', 'ok', 'happy')`);
  await onBoth('create table public.people (id int, m public.mood, ms public.mood[], d numeric(10,2)[])');
  await source.query(`insert into public.people values
    (1, 'sad', '{sad,happy}', '{1.10,2}'), (2, null, '{}', null), (3, 'ok', '{{ok},{NULL}}', '[0:1]={5,6}')`);
  await planCopies();
  await copy(0);
  const read = async (client: Client) =>
    (await client.query<{ p: string }>('select p::text from public.people p order by id')).rows;
  expect(await read(target)).toEqual(await read(source));
  for (const method of ['record', 'text'] as const) {
    expect(await hashOf(target, method)).toEqual(await hashOf(source, method));
  }
});

describe.each(['record', 'text'] as const)('comparing by %s', (method) => {
  const rows = `(1, 'a', 1.5, '{1,2}', null), (2, 'b', 2, '{3}', ''), (3, 'c', 3, null, 'x')`;
  beforeEach(async () => {
    await onBoth('create table public.t (id int, name text, price numeric, list int[], note text)');
    await source.query(`insert into public.t values ${rows}`);
    await target.query(`insert into public.t values ${rows}`);
  });

  test('finds nothing in the same rows in another order', async () => {
    await target.query('update public.t set id = id where id = 1');
    expect(await hashOf(target, method)).toEqual(await hashOf(source, method));
  });

  test.each([
    ['a missing row', 'delete from public.t where id = 2'],
    ['a doubled row', 'insert into public.t select * from public.t where id = 2'],
    [
      'a row in the place of another',
      'delete from public.t where id = 2; insert into public.t select * from public.t where id = 1',
    ],
    ['a changed value', `update public.t set name = 'B' where id = 2`],
    [
      'values swapped between rows',
      `update public.t set name = case id when 1 then 'b' when 2 then 'a' else name end`,
    ],
    ['values swapped between columns', `update public.t set name = note, note = name where id = 3`],
    ['NULL for an empty text', 'update public.t set note = null where id = 2'],
    ['an empty text for NULL', `update public.t set note = '' where id = 1`],
    ['an array of other dimensions', `update public.t set list = '{{1,2}}' where id = 1`],
    ['an array that begins elsewhere', `update public.t set list = '[0:1]={1,2}' where id = 1`],
    ['an empty array for NULL', `update public.t set list = '{}' where id = 3`],
    ['an equal number of another scale', 'update public.t set price = 2.0 where id = 2'],
  ])('finds %s', async (_what, change) => {
    await target.query(change);
    expect(await hashOf(target, method)).not.toEqual(await hashOf(source, method));
  });
});

function url(index: number): string {
  return databases[index]?.url ?? '';
}

async function onBoth(sql: string): Promise<void> {
  await source.query(sql);
  await target.query(sql);
}

/** Plans copies of all of the source's tables; `bytes` makes the planner believe a size. */
async function planCopies(believed: { bytes?: number } = {}): Promise<PartPlan> {
  const tables = await readStoredTables(source, ['public']);
  return planParts(target, phase, {
    jobs: tables.map((table) => plainCopy({ ...table, ...believed })),
    sameMajor: true,
  });
}

async function copy(
  group: number,
  mayWrite: () => Promise<void> = () => Promise.resolve(),
  signal = new AbortController().signal,
): Promise<Copied> {
  return copyGroup({
    sourceUrl: url(0),
    targetUrl: url(1),
    phase,
    group,
    searchPath: [],
    targetPath: [],
    label: 'test',
    mayWrite,
    onProgress: () => undefined,
    signal,
  });
}

async function hashOf(client: Client, method: HashMethod): Promise<unknown> {
  const tables = await readStoredTables(client, ['public']);
  const hashes = await hashTables(tables.map(hashJob), {
    url: url(client === source ? 0 : 1),
    label: 'test',
    method,
    lanes: 2,
    signal: new AbortController().signal,
  });
  return Object.fromEntries(hashes);
}
