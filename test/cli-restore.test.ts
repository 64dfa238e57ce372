/** `kirikae restore` and `kirikae verify-backup`: a sealed backup judged and brought into any database, without Temporal. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { dropDatabase } from '../src/postgres/databases';
import { stateOf } from '../lab/database-state';
import { query } from '../lab/stage';
import { runCommand } from './support/cli-terminal';
import { createDatabase, onServer, testPostgres, type TestDatabase } from './support/environment';
import { ZooRun } from './support/zoo';

const objects = `
  create extension citext;
  create type mood as enum ('sad', 'glad');
  create table person (id int primary key, name citext not null, mood mood default 'glad');
  create table letter (id bigint generated always as identity primary key, person int references person, body text,
    long boolean generated always as (length(body) > 100) stored);
  create index on letter (person);
  create view glad as select * from person where mood = 'glad';
  create materialized view bodies as select person, body from letter;
  create function louder() returns trigger language plpgsql as 'begin new.name := upper(new.name); return new; end';
  create trigger louder before insert on person for each row execute function louder();
  create sequence tickets increment 5;
  select nextval('tickets');
  insert into person select n, 'name ' || n from generate_series(1, 300) n;
  insert into letter (person, body) select n, repeat('x', n) from generate_series(1, 300) n;
  refresh materialized view bodies;
  grant select on person to public;
  comment on table person is 'people';`;

let production: TestDatabase;
let target: TestDatabase;
let run: ZooRun;
beforeEach(async () => {
  production = await createDatabase('source');
  target = await createDatabase('target');
  await query(production.url, objects);
  run = new ZooRun(production.url, ['public']);
  await run.backUp();
});
afterEach(async () => {
  await production.drop();
  await target.drop();
  await dropDatabase(run.backupUrl, 'restore');
});

const env = () => ({ FROM: run.backupUrl, TO: target.url, PRODUCTION: production.url });

/** All that a database is and holds, but its name. */
async function nameless({ url, name }: TestDatabase): Promise<unknown> {
  return JSON.parse(JSON.stringify(await stateOf(url)).replaceAll(name, 'name'));
}

function restore(more: string[] = [], keys?: { after: string; press: string }[], to = 'TO') {
  return runCommand(['restore', '--from', 'FROM', '--to', to, ...more], env(), keys);
}

test('restores into an empty database, which is then identical, and nothing else stays', async () => {
  const { exitCode, stdout, stderr } = await restore();
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  expect(stdout).toMatch(
    /Restored 2 tables with 600 rows into 127\.0\.0\.1:\d+\/target_\w+, proved identical/,
  );
  await query(production.url, 'drop schema kirikae cascade');
  expect(await nameless(target)).toEqual(await nameless(production));
  expect(await query(target.url, `select nspname from pg_namespace where nspname = 'kirikae'`)).toEqual([]);
});

test('says the same as JSON alone', async () => {
  const { exitCode, stdout } = await restore(['--json']);
  expect(exitCode).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ ok: true, plan: 'zoo', tables: 2, rows: 600, notes: [] });
});

describe('a database that holds something', () => {
  const before = 'create table precious (a int); insert into precious values (1)';
  beforeEach(() => query(target.url, before));

  const rows = () => query(target.url, 'select a from precious');

  test.each([
    ['nobody was asked', [], /holds 1 objects .*table public\.precious.*Nothing was changed.*--yes target_/],
    [
      'another name is given',
      ['--yes', 'other'],
      /"other" is not the name of the database .*nothing was changed/,
    ],
  ])('is left as it is where %s', async (_, more, sentence) => {
    const { exitCode, stderr } = await restore(more);
    expect(stderr).toMatch(sentence);
    expect(exitCode).toBe(1);
    expect(await rows()).toEqual([{ a: 1 }]);
  });

  test('is emptied where its name is given', async () => {
    expect(await restore(['--yes', target.name])).toMatchObject({ exitCode: 0, stderr: '' });
    await query(production.url, 'drop schema kirikae cascade');
    expect(await nameless(target)).toEqual(await nameless(production));
  });

  test.each(['typed', 'mistyped'])('is emptied only where its name is typed: %s', async (how) => {
    const press = how === 'typed' ? `${target.name}\r` : 'y\r';
    const { exitCode } = await restore([], [{ after: 'Type the name of the database', press }]);
    expect(exitCode).toBe(how === 'typed' ? 0 : 1);
    if (how === 'mistyped') expect(await rows()).toEqual([{ a: 1 }]);
  });

  test('is left as it is where the backup was altered', async () => {
    await query(run.backupUrl, `update person set name = 'another' where id = 17`);
    const { exitCode, stderr } = await restore(['--yes', target.name]);
    expect(stderr).toMatch(
      /The backup is not what was sealed: table "public"\."person" has 300 rows on both sides/,
    );
    expect(exitCode).toBe(1);
    expect(await rows()).toEqual([{ a: 1 }]);
  });
});

test('goes again from empty where an earlier restore was stopped', async () => {
  await query(
    target.url,
    `create schema kirikae; create table kirikae.part (a int); create table kirikae.stage (b int); create table person (half int)`,
  );
  expect(await restore(['--yes', target.name])).toMatchObject({ exitCode: 0, stderr: '' });
  await query(production.url, 'drop schema kirikae cascade');
  expect(await nameless(target)).toEqual(await nameless(production));
});

test('refuses a database that is claimed, and one that is the backup itself', async () => {
  const claimed = await restore(['--yes', production.name], undefined, 'PRODUCTION');
  expect(claimed.stderr).toMatch(
    /holds a ledger of Kirikae's \(schema kirikae with claim.*Nothing was changed/,
  );
  const itself = await restore([], undefined, 'FROM');
  expect(itself.stderr).toMatch(
    /FROM and FROM name the same database, .*the backup itself\. Nothing was changed/,
  );
  expect([claimed.exitCode, itself.exitCode]).toEqual([1, 1]);
  expect(await query(production.url, 'select count(*)::int as n from person')).toEqual([{ n: 300 }]);
  expect(await query(run.backupUrl, 'select count(*)::int as n from person')).toEqual([{ n: 300 }]);
});

describe('verify-backup', () => {
  const verify = (...more: string[]) => runCommand(['verify-backup', 'FROM', ...more], env());

  test('shows what the backup is, and exits 0', async () => {
    const { exitCode, stdout, stderr } = await verify();
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    for (const line of [/^Plan: +zoo \(workflow zoo\)$/m, /2 tables, 600 rows/, /^Sealed: +20\d\d-/m])
      expect(stdout).toMatch(line);
    expect(stdout).toMatch(/^Marker: +it is marked as backup of claim zoo$/m);
    expect(stdout).toContain(`Source:  ${production.name} (PostgreSQL`);
    expect(stdout).toContain('It is what was sealed');
  });

  test('names every problem, and exits 1', async () => {
    await query(
      run.backupUrl,
      `update person set name = 'another' where id = 17; update kirikae.backup set ddl_pre = ''; select nextval('tickets')`,
    );
    const { exitCode, stdout } = await verify('--json');
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      rows: 600,
      problems: [
        expect.stringContaining('The stored definition ddl_pre was altered'),
        expect.stringContaining('Table "public"."person" has 300 rows on both sides'),
        expect.stringContaining('Sequence "public"."tickets" was at 1 true and is at 6 true'),
      ],
    });
    expect((await verify()).stdout).toContain('3 problems found');
  });

  test('names a marker that came with a copy, and judges the copy', async () => {
    const copy = `${production.name}_copy`;
    await onServer(`create database "${copy}" template "${production.name}_backup"`);
    try {
      const { exitCode, stdout } = await runCommand(['verify-backup', 'FROM'], {
        FROM: testPostgres().url(copy),
      });
      expect(exitCode).toBe(0);
      expect(stdout).toMatch(
        /Marker: .*made in the database source_\w+_backup \(oid \d+\), and came here with a copy/,
      );
    } finally {
      await onServer(`drop database "${copy}" with (force)`);
    }
  });

  test('says of an unsealed backup that it is none', async () => {
    await query(
      run.backupUrl,
      'update kirikae.backup set manifest = null, manifest_hash = null, sealed_at = null',
    );
    const { exitCode, stdout } = await verify();
    expect(stdout).toMatch(/Sealed: +no\b[^]*The backup is not sealed\./);
    expect(exitCode).toBe(1);
    expect((await restore()).stderr).toMatch(/The backup is not sealed, so it is not restored from/);
  });
});

describe('a variable that is of no use', () => {
  let silent: Server;
  const sockets: Socket[] = [];
  beforeAll((done) => {
    silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1', done);
  });
  afterAll((done) => {
    for (const socket of sockets) socket.destroy();
    silent.close(done);
  });

  const url = (port: number) => `postgres://nobody:secret@127.0.0.1:${port}/none`;

  test.each([
    ['is not set', () => undefined, /The variable FROM isn't set/],
    ['holds no URL', () => 'none', /The variable FROM is not a URL/],
    [
      'names a port where nobody listens',
      () => url(1),
      /127\.0\.0\.1:1\/none of the variable FROM can't be reached/,
    ],
    [
      'names a server that says nothing',
      () => url((silent.address() as AddressInfo).port),
      /of the variable FROM can't be reached/,
    ],
    ['names a database without a backup', () => target.url, /target_\w+ holds no backup of Kirikae's/],
  ])('gets a sentence within 15 s and exit code 1 where it %s', async (_, value, sentence) => {
    const begin = Date.now();
    const { exitCode, stderr } = await runCommand(['verify-backup', 'FROM'], { FROM: value() });
    expect(stderr).toMatch(sentence);
    expect(stderr).not.toContain('secret');
    expect(exitCode).toBe(1);
    expect(Date.now() - begin).toBeLessThan(15_000);
  });

  test('a URL instead of a name is not repeated', async () => {
    const { exitCode, stderr } = await runCommand(['verify-backup', url(1)], {});
    expect(stderr).toMatch(/^The name of an environment variable is expected, not a URL/);
    expect(stderr).not.toContain('secret');
    expect(exitCode).toBe(1);
  });
});
