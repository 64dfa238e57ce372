/** Databases as a whole: one made like another. */
import { createDatabase, dropDatabase } from '../src/postgres/databases';
import { withClient } from '../src/postgres/connect';
import { otherDatabase } from '../src/postgres/url';
import { withDatabase } from '../lab/stage';
import { testPostgres } from './support/environment';

const server = testPostgres().url('postgres');
const [model, copy] = ['like', 'made'].map((word) =>
  otherDatabase(server, `database_${word}_${process.pid}`),
);
afterEach(async () => {
  for (const url of [model, copy]) await dropDatabase(url ?? '', 'test');
});

test('a database made like another has its encoding and its locale', async () => {
  await withDatabase(server, (client) =>
    client.query(
      `create database database_like_${process.pid} template template0 encoding 'SQL_ASCII' locale 'C'`,
    ),
  );
  await expectAlike();
});

test('a database made like one with a locale of ICU has that too, where the server knows any', async () => {
  await withDatabase(server, async (client) => {
    const { rows } = await client.query<{ icu: boolean }>(
      `select current_setting('server_version_num')::int >= 150000 and exists (select from pg_collation where collprovider = 'i') as icu`,
    );
    const locale = rows[0]?.icu ? `locale_provider icu icu_locale 'de-u-ks-level2' locale 'C'` : `locale 'C'`;
    await client.query(
      `create database database_like_${process.pid} template template0 encoding 'UTF8' ${locale}`,
    );
  });
  await expectAlike();
});

async function expectAlike(): Promise<void> {
  const made = await withClient(model ?? '', 'test', (client) => createDatabase(copy ?? '', client, 'test'));
  expect(made).toBe(true);
  await withDatabase(server, async (client) => {
    const { rows } = await client.query<{ database: object }>(
      `select to_jsonb(d) - array['oid', 'datname', 'datfrozenxid', 'datminmxid', 'dattablespace'] as database
       from pg_database d where datname like 'database_%' || $1`,
      [process.pid],
    );
    expect(rows).toHaveLength(2);
    expect(rows[1]).toEqual(rows[0]);
  });
}
