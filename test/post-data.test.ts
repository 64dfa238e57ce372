/** Indexes and keys after the rows, several at a time: none waits for another that waits for it. */
import { applyPostData } from '../src/engine/post-data';
import { checkpointDdl } from '../src/ledger/tables';
import { all, one, withClient } from '../src/postgres/connect';
import { dumpSchema, dumpSql } from '../src/postgres/dump';
import { createDatabase, type TestDatabase } from './support/environment';

let database: TestDatabase;
beforeEach(async () => {
  database = await createDatabase('post_data');
  await withClient(database.url, 'test', (client) =>
    client.query(`create schema kirikae; ${checkpointDdl};
      create table public.item as select n as id, n % 7 as rank, n::text as code from generate_series(1, 3000) n;
      alter table public.item alter id set not null, alter code set not null`),
  );
});
afterEach(() => database.drop());

const indexes = `create unique index by_id on public.item (id);
  create index by_rank on public.item (rank, (id * 2));
  create unique index by_code on public.item (code);
  alter table public.item cluster on by_rank;
  alter index public.by_rank alter column 2 set statistics 50;
  alter table public.item replica identity using index by_id`;

async function apply(attempt: number, sql: string, mayWrite?: () => Promise<void>): Promise<void> {
  await withClient(database.url, 'test', (client) =>
    applyPostData({
      target: { title: 'production', url: database.url, client },
      phase: { name: 'restore', attempt },
      sql,
      what: 'indexes',
      label: 'test',
      lanes: 3,
      signal: new AbortController().signal,
      ...(mayWrite ? { mayWrite } : {}),
      finish: () => Promise.resolve(),
    }),
  );
}

test('a clustered index and one that is the replica identity are built side by side without a deadlock', async () => {
  const sql = await withClient(database.url, 'test', async (client) => {
    await client.query(indexes);
    const dump = await dumpSchema(database.url, ['public'], { owners: false });
    return dumpSql(dump, dump.post, 18);
  });
  const marks = () =>
    withClient(database.url, 'test', (client) =>
      all(
        client,
        `select indexrelid::regclass::text as name, indisclustered, indisreplident, attstattarget
         from pg_index join pg_attribute a on attrelid = indexrelid and attnum = indnatts
         where indrelid = 'public.item'::regclass order by 1`,
      ),
    );
  const before = await marks();
  expect(before).toHaveLength(3);
  for (let attempt = 1; attempt <= 10; attempt++) {
    await withClient(database.url, 'test', (client) =>
      client.query(`alter table public.item replica identity default;
        drop index public.by_id, public.by_rank, public.by_code`),
    );
    await apply(attempt, sql);
    expect(await marks()).toEqual(before);
  }
  await withClient(database.url, 'test', async (client) => {
    expect(
      await one(client, 'select deadlocks::int from pg_stat_database where datname = current_database()'),
    ).toEqual({ deadlocks: 0 });
  });
});

test('a deadlock repeats the step that it ended', async () => {
  const sql = `--\n-- Name: by_id; Type: INDEX; Schema: public; Owner: -\n--\n\nCREATE INDEX "by_id" ON "public"."item" USING "btree" ("id");\n`;
  let calls = 0;
  await apply(1, sql, () => {
    calls += 1;
    return calls > 2
      ? Promise.resolve()
      : Promise.reject(Object.assign(new Error('deadlock detected'), { code: '40P01' }));
  });
  await withClient(database.url, 'test', async (client) => {
    expect(await one(client, `select to_regclass('public.by_id')::text as name`)).toEqual({
      name: 'public.by_id',
    });
  });
});
