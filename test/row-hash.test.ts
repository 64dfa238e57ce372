/** Hashes of rows see every byte that COPY carries, whatever a type takes for equal, and nothing that COPY doesn't carry. */
import type { Client } from 'pg';
import { connect, disconnect, one } from '../src/postgres/connect';
import { tableHashSql } from '../src/engine/row-hash';
import { readStoredTables } from '../src/engine/tables';
import { createDatabase, type TestDatabase } from './support/environment';

let database: TestDatabase;
let client: Client;
beforeAll(async () => {
  database = await createDatabase('row_hash');
  client = await connect(database.url, 'test');
  await client.query(`
    create extension citext schema public;
    do $$ begin
      create collation public.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    exception when feature_not_supported then
      create collation public.loose from "C"; -- a build without ICU
    end $$;
    create domain public.loose_text as text collate public.loose;
    create domain public.padded as bpchar;
    create domain public.amount as numeric;
    create type public.priced as (label text, price numeric);
    create type public.mood as enum ('sad', 'ok');
    create function public.anything(public.mood) returns text language sql immutable as $$ select 'mood' $$;
    create cast (public.mood as text) with function public.anything(public.mood)`);
});
afterAll(async () => {
  await disconnect(client);
  await database.drop();
});

const equalToSomebody: [type: string, one: string, other: string][] = [
  ['text collate public.loose', 'bob', 'BOB'],
  ['varchar(5) collate public.loose', 'bob', 'BOB'],
  ['char(5) collate public.loose', 'bob', 'BOB'],
  ['text[] collate public.loose', '{bob}', '{BOB}'],
  ['public.loose_text', 'bob', 'BOB'],
  ['public.loose_text[]', '{bob}', '{BOB}'],
  ['public.citext', 'bob', 'BOB'],
  ['bpchar', 'a', 'a  '],
  ['public.padded', 'a', 'a  '],
  ['bpchar[]', '{a}', '{"a  "}'],
  ['public.mood', 'sad', 'ok'],
  ['numeric', '1', '1.0'],
  ['public.amount', '1', '1.0'],
  ['numeric[]', '{1}', '{1.0}'],
  ['public.priced', '(a,1)', '(a,1.0)'],
  ['public.priced[]', '{"(a,1)"}', '{"(a,1.0)"}'],
  ['numrange', '[1,2]', '[1.0,2]'],
  ['nummultirange', '{[1,2]}', '{[1.0,2]}'],
  ['real', '0', '-0'],
  ['double precision', '0', '-0'],
  ['double precision', '0.3', '0.30000000000000004'],
  ['point', '(0,0)', '(-0,0)'],
  ['box', '(1,4),(0,0)', '(2,2),(0,0)'],
  ['jsonb', '[1]', '[1.0]'],
  ['json', '{"a":1}', '{"a": 1}'],
  ['interval', '1 mon', '30 days'],
  ['interval[]', '{1 mon}', '{30 days}'],
  ['time with time zone', '12:00+00', '13:00+01'],
  ['bigint', '1', '4294967296'],
  ['bigint', '-1', '4294967295'],
  ['text', '', 'NULL'],
  ['public.loose_text', '', 'NULL'],
];

test.each(equalToSomebody)('a write to %s from %s to %s is seen', async (type, value, other) => {
  for (const method of ['record', 'text'] as const) {
    expect(await hashOf(type, other, method)).not.toBe(await hashOf(type, value, method));
  }
});

test('what COPY leaves out of an XML value makes no difference', async () => {
  const copied = `<a>\u00e9</a>`;
  for (const method of ['record', 'text'] as const) {
    expect(await hashOf('xml', `<?xml version="1.0" encoding="UTF-8"?>${copied}`, method)).toBe(
      await hashOf('xml', copied, method),
    );
  }
});

test('a table of as many columns as PostgreSQL allows is hashed, whatever their type', async () => {
  const columns = Array.from({ length: 1600 }, (_, n) => `c${n} bigint`);
  await client.query(`create table public.wide (${columns.join(', ')})`);
  const [wide] = await readStoredTables(client, ['public']);
  await expect(
    client.query(tableHashSql('public.wide', wide?.columns ?? [], 'record')),
  ).resolves.toBeDefined();
  await client.query('drop table public.wide');
});

/** Of a table with one row, which holds the value twice: `NULL` for none. */
async function hashOf(type: string, value: string, method: 'record' | 'text'): Promise<string> {
  await client.query(`create table public.t (v ${type}, w ${type})`);
  try {
    const given = value === 'NULL' ? null : value;
    await client.query('insert into public.t values ($1, $1)', [given]);
    const [table] = await readStoredTables(client, ['public']);
    return (await one<{ hash: string }>(client, tableHashSql('public.t', table?.columns ?? [], method))).hash;
  } finally {
    await client.query('drop table public.t');
  }
}
