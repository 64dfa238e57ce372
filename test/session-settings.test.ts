/** Settings of a database: none changes what our sessions do, and production's own hold where its SQL computes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { definitionOf } from '../lab/database-state';
import { withDatabase } from '../lab/stage';
import { removeLedger } from '../src/ledger/remove';
import { runSchemaStep } from '../src/new-schema/deploy';
import { all, connect, disconnect, one, withClient } from '../src/postgres/connect';
import { applyDdl } from '../src/postgres/ddl';
import { createDatabase as createLike, dropDatabase, prepareLike } from '../src/postgres/databases';
import { limits } from '../src/postgres/deadline';
import { dumpSchema } from '../src/postgres/dump';
import { optionsLike } from '../src/postgres/own-settings';
import {
  bySuperusers,
  computing,
  everywhere,
  leftAlone,
  network,
  someVersions,
} from '../src/postgres/pinned-settings';
import { identifier, literal } from '../src/postgres/sql';
import { otherDatabase, throughTheFence, withOptions } from '../src/postgres/url';
import { findSettings } from '../src/preflight/settings';
import type { Plan } from '../src/settings/read';
import { createDatabase, onServer, testPostgres, type TestDatabase } from './support/environment';
import { ZooRun, contentsOf, makeZoo, makeZooRoles } from './support/zoo';

const pinned = { ...computing, ...everywhere, ...someVersions, ...bySuperusers };
const decided = [...Object.keys({ ...pinned, ...network }), ...leftAlone.flatMap(({ names }) => names)];
const ofSessions = `select name, context, vartype, enumvals, min_val, max_val, boot_val from pg_settings
  where context in ('user', 'superuser', 'backend', 'superuser-backend') and name not like '%.%' order by name`;

let database: TestDatabase;
afterEach(async () => {
  await database.drop();
  await dropDatabase(`${database.url}_backup`, 'test');
  await dropDatabase(`${database.url}_shadow`, 'test');
});

/** Has new sessions begin with these. */
async function give(settings: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(settings)) {
    await onServer(`alter database ${identifier(database.name)} set ${name} = ${literal(value)}`);
  }
}

async function make(sql: string, settings: Record<string, string> = {}): Promise<void> {
  database = await createDatabase('settings');
  await give(settings);
  await withDatabase(database.url, (client) => client.query(sql));
}

async function look() {
  return { definition: (await definitionOf(database.url)).sort(), contents: await contentsOf(database.url) };
}

test('every setting that a session of this server can have is decided, once', async () => {
  await make('select 1');
  const { rows } = await withDatabase(database.url, (client) => client.query<{ name: string }>(ofSessions));
  expect(rows.map(({ name }) => name).filter((name) => !decided.includes(name))).toEqual([]);
  expect(decided.filter((name, place) => decided.indexOf(name) !== place)).toEqual([]);
});

test('a session has the pins whatever the database says, and again after a part of a dump', async () => {
  await make('select 1');
  await give(await otherValues());
  const expected = (name: string) =>
    name === 'client_min_messages' ? 'warning' : pinned[name as 'TimeZone'];
  await withClient(database.url, 'test', async (client) => {
    const look = async () => {
      const rows = await all<{ name: string; value: string }>(
        client,
        `select name, current_setting(name) as value from pg_settings where name = any($1)`,
        [Object.keys(pinned)],
      );
      // Written with quotes where the session had quote_all_identifiers.
      return rows.filter(({ name, value }) => value.replaceAll('"', '') !== expected(name));
    };
    expect(await look()).toEqual([]);
    const { prelude } = await dumpSchema(database.url, ['public'], { owners: false });
    await applyDdl(
      client,
      `${prelude}\nset timezone = 'Asia/Tokyo'; set default_table_access_method = ''`,
      'x',
    ).catch(() => undefined);
    await applyDdl(
      client,
      `${prelude}\nset timezone = 'Asia/Tokyo'; set client_encoding = 'LATIN1'; set default_table_access_method = other_heap`,
      'part of a dump',
    );
    expect(await look()).toEqual([]);
  });
});

test('everything comes back as it was when the database has every setting otherwise', async () => {
  await makeZooRoles();
  database = await makeZoo();
  await withDatabase(database.url, (client) => client.query(oneOfEach));
  const before = await look();
  await give(await otherValues());
  const run = new ZooRun(database.url);
  await run.backUp();
  await run.reset();
  await run.restore();
  await run.onProduction(removeLedger);
  await onServer(`alter database ${identifier(database.name)} reset all`);
  await onServer(`alter database ${identifier(database.name)} set search_path = zoo, public`);
  await withDatabase(database.url, (client) => client.query('drop access method other_heap'));
  expect(await look()).toEqual(before);
});

// Each of these came back otherwise, or not at all.
const oneOfEach = `
  create type public.feeling as enum ('ok', 'bad');
  create table public.felt (id int primary key, feelings public.feeling[]);
  insert into public.felt values (1, array['ok', null]::public.feeling[]);
  create table public.named (id int primary key, name text, price money);
  insert into public.named values (1, 'Grüße', 12.5);
  create index on public.named (id) where name <> 'grüße';
  create view public.escaped as select E'back\\\\slash' as text;
  create view public.no_equal as select id from public.named where (name = null) is null`;

test.each<[string, Record<string, string>, string]>([
  ['a NULL in an array of enums', { array_nulls: 'off' }, oneOfEach],
  ['text with a backslash in a view', { standard_conforming_strings: 'off' }, oneOfEach],
  ['names', { quote_all_identifiers: 'on' }, oneOfEach],
  ['letters in definitions', { client_encoding: 'LATIN1' }, oneOfEach],
  ['a comparison with NULL', { transform_null_equals: 'on' }, oneOfEach],
  [
    'what a check and a generated column compute',
    { timezone: 'Asia/Tokyo' },
    `create function public.day(timestamptz) returns date immutable language sql as 'select $1::date';
     create table public.event (id int primary key, at timestamptz, on_day date, check (on_day = at::date),
       made date generated always as (public.day(at)) stored);
     insert into public.event (id, at, on_day) values (1, '2024-01-01 00:30+09', '2024-01-01');
     create materialized view public.days as select at::date as day from public.event`,
  ],
])('%s comes back as it was where the database says %p', async (_, settings, sql) => {
  await make(sql, Object.fromEntries(Object.entries(settings).filter(([name]) => name === 'timezone')));
  const before = await look();
  await give(settings);
  const run = new ZooRun(database.url, ['public']);
  await run.backUp();
  await run.reset();
  await run.restore();
  await run.onProduction(removeLedger);
  await onServer(`alter database ${identifier(database.name)} reset ${Object.keys(settings).join(', ')}`);
  await give(Object.fromEntries(Object.entries(settings).filter(([name]) => name === 'timezone')));
  expect(await look()).toEqual(before);
});

test('an index of a function that heeds the time zone finds its rows after the way back', async () => {
  await make(
    `create function public.day(timestamptz) returns date immutable language sql as 'select $1::date';
     create table public.event (id int primary key, at timestamptz);
     insert into public.event select n, '2024-01-01 00:30+09' from generate_series(1, 10) n;
     create index on public.event (public.day(at))`,
    { timezone: 'Asia/Tokyo' },
  );
  const run = new ZooRun(database.url, ['public']);
  await run.backUp();
  await run.reset();
  await run.restore();
  const found = await withDatabase(database.url, async (client) => {
    await client.query('set enable_seqscan = off');
    return client.query(`select id from public.event where public.day(at) = '2024-01-01'`);
  });
  expect(found.rows).toHaveLength(10);
});

test('sessions and their looks wait for nobody where serializable and deferrable are the defaults', async () => {
  await make('create table public.item ()');
  const other = await createDatabase('settings_other');
  const before = limits.short;
  limits.short = 3_000;
  try {
    await withDatabase(other.url, async (writer) => {
      await writer.query('begin isolation level serializable; create table public.written ()');
      await give({
        default_transaction_isolation: 'serializable',
        default_transaction_deferrable: 'on',
        default_transaction_read_only: 'on',
      });
      const client = await connect(database.url, 'test');
      expect(await one(client, 'select count(*)::int as tables from public.item')).toEqual({ tables: 0 });
      await disconnect(client);
      await dumpSchema(database.url, ['public'], { owners: false });
    });
  } finally {
    limits.short = before;
    await other.drop();
  }
});

const own = {
  timezone: 'Asia/Tokyo',
  datestyle: 'ISO, DMY',
  intervalstyle: 'iso_8601',
  bytea_output: 'escape',
  default_text_search_config: 'pg_catalog.german',
};

test("a mapping's expressions and the schema step compute as production's own sessions do", async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-settings-'));
  await make(
    `create table public.event (id int primary key, at timestamptz, took interval, raw bytea, price money, said text);
     insert into public.event values (1, '2024-01-01 00:30+09', '1 day 2 hours', '\\x00ff', 12.5, '03/04/2024'),
       (2, '2024-10-27 02:30+01', '-1 day 2 hours', null, null, '31/12/2023')`,
    own,
  );
  const columns = {
    day: 'source.at::date',
    took: 'source.took::text',
    raw: 'source.raw::text',
    words: `to_tsvector('Häuser')::text`,
    said: 'source.said::date',
  };
  const expected = await withDatabase(
    database.url,
    async (client) =>
      (
        await client.query(
          `select id, at, price, ${Object.entries(columns)
            .map(([name, sql]) => `(${sql})::text as ${name}`)
            .join(', ')} from public.event source order by id`,
        )
      ).rows as unknown[],
  );
  writeFileSync(
    path.join(folder, '1.sql'),
    `create table public.event (id int primary key, at timestamptz, price money, day date, took text, raw text, words text, said date,
       since timestamptz not null default '2024-01-01'::timestamptz, check (at > '2000-01-01'::timestamptz));`,
  );
  const plan = {
    name: 'settings',
    hash: 'plan',
    folder,
    mapping: 'mapping.yaml',
    mappingText: JSON.stringify({ tables: { event: { columns: { ...columns, since: 'default' } } } }),
    databases: { production: { urlEnv: 'X', schemas: ['public'] } },
    schema: { kind: 'sql', dir: '.' },
  } as unknown as Plan;
  const run = new ZooRun(database.url, ['public']);
  const shadowUrl = `${database.url}_shadow`;
  try {
    await run.backUp();
    await run.onProduction(async (production) => {
      await createLike(shadowUrl, production, 'test');
      await withClient(shadowUrl, 'test', async (client) => {
        await prepareLike(client, production, ['public']);
        await runSchemaStep({ url: shadowUrl, client }, plan, { key: 'test', like: production });
      });
    });
    await run.reset();
    await run.onProduction((client) => runSchemaStep({ url: database.url, client }, plan, { key: 'test' }));
    await run.migrate(plan, shadowUrl);
  } finally {
    rmSync(folder, { recursive: true });
  }
  await withDatabase(database.url, async (client) => {
    const { rows } = await client.query(
      `select id, at, price, day::text, took, raw, words, said::text from public.event order by id`,
    );
    expect(rows).toEqual(expected);
    const since = await client.query<{ since: Date }>('select since from public.event where id = 1');
    expect(since.rows).toEqual([{ since: new Date('2023-12-31T15:00:00Z') }]);
  });
});

test("a command's sessions in the shadow have what production's have", async () => {
  await make('select 1', { ...own, search_path: `"it's", public`, 'app.tenant': 'a b\\c', work_mem: '5MB' });
  const shadow = `${database.url}_shadow`;
  await withClient(database.url, 'test', async (production) => {
    await createLike(shadow, production, 'test');
    const url = await withClient(shadow, 'test', async (client) =>
      throughTheFence(withOptions(shadow, await optionsLike(production, client))),
    );
    const names = [...Object.keys(own), 'search_path', 'app.tenant', 'work_mem'];
    const shown = (at: string) =>
      withDatabase(at, async (client) => {
        const { rows } = await client.query(
          `select ${names.map((name) => `current_setting('${name}') as "${name}"`).join(', ')}`,
        );
        return rows as unknown[];
      });
    expect(await shown(url)).toEqual(await shown(database.url));
  });
});

test('preflight refuses what only a superuser may change, and a locale that the backup lacks', async () => {
  await make('select 1', { zero_damaged_pages: 'on', datestyle: 'German, DMY' });
  const user = `settings_${process.pid}`;
  await onServer(`create role ${user} login password 'x'`);
  const url = database.url.replace(/\/\/.*@/, `//${user}:x@`);
  try {
    await withClient(url, 'test', async (client) => {
      const production = { title: 'production', url, client };
      const { findings, notes } = await findSettings(
        { production, backup: null },
        otherDatabase(testPostgres().url('x'), 'none'),
      );
      expect(findings).toEqual([expect.stringMatching(/production have zero_damaged_pages = on/)]);
      expect(notes).toEqual([expect.stringMatching(/DateStyle is German, DMY/)]);
    });
  } finally {
    await onServer(`drop role ${user}`);
  }
});

// What a session could not begin with, or what belongs to one transaction.
const untouched =
  /^(transaction_(deferrable|isolation|read_only)|(local|session)_preload_libraries|wal_consistency_checking|temp_file_limit|max_stack_depth|backtrace_functions)$/;
const words: Record<string, string> = {
  application_name: 'theirs',
  client_encoding: 'LATIN1',
  createrole_self_grant: 'set',
  DateStyle: 'German, DMY',
  default_table_access_method: 'other_heap',
  default_tablespace: 'pg_default',
  default_text_search_config: 'pg_catalog.german',
  dynamic_library_path: '$libdir:/nowhere',
  lc_messages: 'POSIX',
  lc_monetary: 'C.UTF-8',
  lc_numeric: 'C.UTF-8',
  lc_time: 'C.UTF-8',
  restrict_nonsystem_relation_kind: 'view',
  search_path: 'nowhere',
  temp_tablespaces: 'pg_default',
  TimeZone: 'Asia/Tokyo',
  timezone_abbreviations: 'India',
};
// Long enough to begin a session in.
const times = /_timeout$/;

/** Another value than the default for every setting that a database can be given. */
async function otherValues(): Promise<Record<string, string>> {
  interface Row {
    name: string;
    context: string;
    vartype: string;
    enumvals: string[] | null;
    min_val: string;
    max_val: string;
    boot_val: string | null;
  }
  return withDatabase(database.url, async (client) => {
    await client.query('create access method other_heap type table handler heap_tableam_handler');
    const { rows } = await client.query<Row>(ofSessions);
    const other = ({ name, vartype, enumvals, min_val, max_val, boot_val }: Row) => {
      if (times.test(name)) return '1500';
      if (vartype === 'bool') return boot_val === 'on' ? 'off' : 'on';
      if (vartype === 'enum') return enumvals?.find((value) => value !== boot_val && value !== 'content');
      if (vartype === 'string') return words[name];
      const next = Number(boot_val) + 1;
      return String(next <= Number(max_val) ? next : Math.max(Number(min_val), Number(boot_val) - 1));
    };
    return Object.fromEntries(
      rows
        .filter(({ name, context }) => !/backend/.test(context) && !untouched.test(name))
        .flatMap((row) => {
          const value = other(row);
          return value === undefined || value === row.boot_val ? [] : [[row.name, value]];
        }),
    );
  });
}
