/** A sealed backup is proved before anything is emptied on its strength: what was altered is named, what wasn't isn't read. */
import { Client } from 'pg';
import { hashOfManifest, sealedManifest } from '../src/backup/manifest';
import { holdBackup, isHeld, proveBackup } from '../src/backup/prove';
import { connect, disconnect, inTransaction, withClient } from '../src/postgres/connect';
import { dropDatabase } from '../src/postgres/databases';
import type { Endpoint } from '../src/postgres/endpoint';
import { unlikeKept } from '../src/reset/prove-kept';
import { setAside } from '../src/reset/set-aside';
import { query, until } from '../lab/stage';
import { createDatabase, onServer, testPostgres, type TestDatabase } from './support/environment';
import { ZooRun } from './support/zoo';

const objects = `
  create table person (id int primary key, name text not null);
  create table letter (id bigint generated always as identity primary key, person int references person, body text);
  create sequence tickets;
  select nextval('tickets');
  insert into person select n, 'name ' || n from generate_series(1, 500) n;
  insert into letter (person, body) select n, repeat('x', n) from generate_series(1, 500) n;`;

const work = { label: 'proof', lanes: 2, signal: new AbortController().signal };

let production: TestDatabase;
let run: ZooRun;
beforeEach(async () => {
  production = await createDatabase('proof');
  await query(production.url, objects);
  run = new ZooRun(production.url, ['public']);
  await run.backUp();
});
afterEach(async () => {
  await production.drop();
  await dropDatabase(run.backupUrl, 'proof');
});

const endpoint = (client: Client): Endpoint => ({ title: 'the backup', url: run.backupUrl, client });

function prove(expected: { manifestHash: string | null } = { manifestHash: null }) {
  return run.onBoth((client, backup) => {
    const twin = { title: 'production', url: production.url, client };
    return proveBackup(endpoint(backup), { ...expected, twin }, work);
  });
}

/** How often tables of the backup were read, once the sessions that read them have said so. */
async function reads(): Promise<number> {
  await until(async () => {
    const sql = `select 1 from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()`;
    return (await query(testPostgres().url('postgres'), sql, [`${production.name}_backup`])).length === 0;
  });
  const [row] = await query(
    run.backupUrl,
    `select sum(seq_scan + coalesce(idx_scan, 0))::int as reads from pg_stat_user_tables where schemaname = 'public'`,
  );
  return Number((row as { reads: number }).reads);
}

test('is proved without reading a row where nobody has written', async () => {
  const before = await reads();
  const manifest = await prove();
  expect(manifest.tables.map(({ name, rows }) => [name, rows])).toEqual([
    ['letter', 500],
    ['person', 500],
  ]);
  expect(await reads()).toBe(before);
});

test('names the table and the row of which one column was changed', async () => {
  await query(run.backupUrl, `update person set name = 'another' where id = 17`);
  await expect(prove()).rejects.toMatchObject({
    type: 'DataDiffer',
    message: expect.stringMatching(
      /^The backup is not what was sealed: table "public"\."person" has 500 rows on both sides, but their content differs: .*\(17\)|id.* 17/,
    ) as unknown,
  });
});

test.each([
  [
    'ddl_pre',
    `update kirikae.backup set ddl_pre = ddl_pre || ' '`,
    /the stored definition ddl_pre was altered/,
  ],
  ['ddl_post', `update kirikae.backup set ddl_post = ''`, /the stored definition ddl_post was altered/],
  [
    'manifest',
    `update kirikae.backup set manifest = replace(manifest, '500', '499')`,
    /its manifest was altered/,
  ],
  ['columns', 'alter table letter alter column id type int', /table "public"\."letter" has other columns/],
  ['sequences', `select nextval('tickets')`, /sequence "public"\."tickets" was at 1 true and is at 2 true/],
  ['tables', 'drop table letter', /table "public"\."letter" is missing in the backup/],
  [
    'an emptied table',
    'truncate letter',
    /table "public"\."letter" has 500 rows in its manifest and 0 in the backup/,
  ],
])('names what was altered: %s', async (_, sql, named) => {
  await query(run.backupUrl, sql);
  await expect(prove()).rejects.toMatchObject({
    type: 'DataDiffer',
    message: expect.stringMatching(named) as unknown,
  });
});

test('a backup that was sealed again is not the one that the run noted', async () => {
  const manifest = await run.onBackup(sealedManifest);
  await expect(prove({ manifestHash: hashOfManifest(manifest) })).resolves.toEqual(manifest);
  await expect(prove({ manifestHash: 'another' })).rejects.toThrow(/another is what the run sealed/);
});

test.each([
  ['statistics were reset', 'select pg_stat_reset()'],
  ['a table was rewritten', 'vacuum full person'],
  ['rows were written and taken back', 'begin; update person set name = name; rollback'],
])('is read where %s, and is right', async (_, sql) => {
  await query(run.backupUrl, sql);
  const before = await reads();
  await prove();
  expect(await reads()).toBeGreaterThan(before);
  await query(run.backupUrl, `alter table person disable trigger all; delete from person where id = 3`);
  await expect(prove()).rejects.toThrow(/table "public"\."person" has 500 rows in its manifest and 499/);
});

test('a copy of it under another name is read', async () => {
  const copy = `${production.name}_copy`;
  await onServer(`create database "${copy}" template "${production.name}_backup"`);
  try {
    await query(testPostgres().url(copy), `update person set name = 'another' where id = 17`);
    await withClient(testPostgres().url(copy), 'proof', async (client) => {
      const backup = { title: 'the backup', url: testPostgres().url(copy), client };
      await expect(proveBackup(backup, { manifestHash: null }, work)).rejects.toThrow(
        /"person" has 500 rows/,
      );
    });
  } finally {
    await onServer(`drop database "${copy}" with (force)`);
  }
});

test('nobody writes to it while it is held', async () => {
  const manifest = await run.onBackup(sealedManifest);
  const holder = await connect(run.backupUrl, 'holder');
  const writer = new Client({ connectionString: run.backupUrl, application_name: 'writer' });
  try {
    await writer.connect();
    expect(await run.onBackup((backup) => isHeld(backup, 'kirikae holder'))).toBe(false);
    await holdBackup(endpoint(holder), manifest);
    expect(await run.onBackup((backup) => isHeld(backup, 'kirikae holder'))).toBe(true);
    expect(await run.onBackup((backup) => isHeld(backup, 'kirikae another'))).toBe(false);
    const written = writer.query(`update person set name = 'another' where id = 17`);
    await until(async () => {
      const sql = `select 1 from pg_stat_activity where application_name = 'writer' and wait_event_type = 'Lock'`;
      return (await query(run.backupUrl, sql)).length > 0;
    });
    await prove();
    await disconnect(holder);
    await written;
    await expect(prove()).rejects.toThrow(/"person"/);
  } finally {
    await disconnect(holder);
    await disconnect(writer);
  }
});

describe('what a reset has kept', () => {
  const unlike = () =>
    run.onBoth(async (client, backup) =>
      unlikeKept({ title: 'production', url: production.url, client }, await sealedManifest(backup), work),
    );

  beforeEach(() => run.onProduction((client) => inTransaction(client, () => setAside(client, ['public']))));

  test('is what was sealed', async () => {
    expect(await unlike()).toEqual([]);
  });

  test.each([
    [
      'a row',
      `update kirikae_old_1.person set name = 'another' where id = 3`,
      /"person" has 500 rows on both sides/,
    ],
    ['a sequence', `select nextval('kirikae_old_1.tickets')`, /sequence "public"\."tickets" was at 1 true/],
    [
      'a column',
      'alter table kirikae_old_1.person alter name drop not null',
      /the definition of what was kept/,
    ],
    ['a trigger', 'alter table kirikae_old_1.letter disable trigger all', /the definition of what was kept/],
    [
      'a comment',
      `comment on column kirikae_old_1.person.name is 'other'`,
      /the definition of what was kept/,
    ],
    ['a new table', 'create table kirikae_old_1.more ()', /"more" is missing in the manifest/],
  ])('is named where it was changed: %s', async (_, sql, named) => {
    await query(production.url, sql);
    expect((await unlike()).join('; ')).toMatch(named);
  });
});
