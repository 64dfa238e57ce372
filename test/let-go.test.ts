/** Reading live production stops nobody: a scan ends as soon as somebody waits for its locks, and is begun again. */
import { withDatabase, until } from '../lab/stage';
import { openReader } from '../src/mapping/reader';
import { withLettingGo } from '../src/postgres/let-go';
import { createDatabase, type TestDatabase } from './support/environment';

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase('let_go');
});
afterAll(() => database.drop());

// As long as `held` says so, one reading takes for ever.
const slowly = 'select pg_sleep(case when v then 600 else 0 end), n from t, held';

test('a column is added while a scan reads the table; the scan is begun again and ends', async () => {
  await withDatabase(database.url, async (team) => {
    await team.query(
      'create table t (n int); insert into t values (1); create table held as select true as v',
    );
    const read = await withDatabase(database.url, (client) =>
      withLettingGo(client, database.url, async () => {
        const reading = openReader(client, { schemas: ['public'], own: {} })(slowly);
        await until(async () => {
          const { rows } = await team.query(
            `select from pg_locks where relation = 't'::regclass and granted and pid <> pg_backend_pid()`,
          );
          return rows.length > 0;
        });
        await team.query('update held set v = false');
        await team.query(`set lock_timeout = '60s'; alter table t add column word text`);
        return reading;
      }),
    );
    expect(read).toMatchObject({ kind: 'rows', rows: [{ n: 1 }] });
  });
});

test('a scan for which somebody waits each time says for whom', async () => {
  await withDatabase(database.url, async (team) => {
    await team.query(`drop table if exists t, held; create table t (n int); insert into t values (1);
      create table held as select true as v; set lock_timeout = '60s'`);
    let isOver = false;
    const reading = withDatabase(database.url, (client) =>
      withLettingGo(client, database.url, () => openReader(client, { schemas: ['public'], own: {} })(slowly)),
    ).finally(() => (isOver = true));
    const refused = expect(reading).rejects.toThrow(
      /was ended 3 times because somebody waited for its locks, at last session \d+ of postgres \("begin; lock table t/,
    );
    while (!isOver) await team.query('begin; lock table t in access exclusive mode; commit');
    await refused;
  });
});
