/** Databases as a whole: one made like another, and names with signs that a URL writes otherwise. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { createDatabase, databaseExists, dropDatabase } from '../src/postgres/databases';
import { one, withClient } from '../src/postgres/connect';
import { dumpSchema } from '../src/postgres/dump';
import { identifier } from '../src/postgres/sql';
import { databaseOf, otherDatabase, throughTheFence } from '../src/postgres/url';
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

const signs = ['# $ & + , / : ; = ? @', `%2B 100% %zz`, `it's "quoted" \\ and`, '切り替え [é]', '-x'];

test.each(signs)('a database whose name has %p in it is made, opened, dumped and dropped', async (sign) => {
  const name = `${sign} ${process.pid}`;
  const url = otherDatabase(server, name);
  const { bin } = testPostgres();
  expect(databaseOf(url)).toBe(name);
  expect(databaseOf(otherDatabase(otherDatabase(url, 'postgres'), name))).toBe(name);
  try {
    await withClient(server, 'test', (client) => createDatabase(url, client, 'test'));
    expect(await databaseExists(url, 'test')).toBe(true);
    await withClient(url, 'test', async (client) => {
      expect(await one(client, 'select current_database() as name')).toEqual({ name });
      await client.query('create table public.only_here ()');
    });
    const { pre } = await dumpSchema(url, ['public'], { owners: true });
    expect(pre.map((entry) => entry.name)).toContain('only_here');
    const psql = [
      throughTheFence(url),
      '-Atc',
      'select current_database(), current_setting($$transaction_read_only$$)',
    ];
    expect(execFileSync(path.join(bin, 'psql'), psql).toString().trim()).toBe(`${name}|off`);
    await dropDatabase(url, 'test');
    expect(await databaseExists(url, 'test')).toBe(false);
  } finally {
    await dropDatabase(url, 'test');
  }
});

test('a user whose name and password have such signs opens sessions and dumps', async () => {
  const user = `us:er@+ /?#%2B é ${process.pid}`;
  const password = `p@ss:w/o?r#d+&=%41 '"`;
  const url = server.replace(
    /\/\/.*@/,
    () => `//${encodeURIComponent(user)}:${encodeURIComponent(password)}@`,
  );
  await withDatabase(server, (client) =>
    client.query(`create role ${identifier(user)} login password '${password.replaceAll("'", "''")}'`),
  );
  try {
    await withClient(url, 'test', async (client) => {
      expect(await one(client, 'select current_user as user')).toEqual({ user });
    });
    await dumpSchema(url, ['public'], { owners: true });
  } finally {
    await withDatabase(server, (client) => client.query(`drop role ${identifier(user)}`));
  }
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
