/** One of everything PostgreSQL has goes through backup, reset and restore, and comes back as it was. */
import { execFileSync } from 'node:child_process';
import { removeLedger } from '../src/ledger/remove';
import { dropDatabase } from '../src/postgres/databases';
import { dumpSchema, parseDump } from '../src/postgres/dump';
import { clientTool } from '../src/postgres/pg-dump';
import { withDatabase } from '../lab/stage';
import { definitionOf } from '../lab/database-state';
import {
  ZooRun,
  contentsOf,
  deployZoo,
  identityPlan,
  makeZoo,
  makeZooRoles,
  zooDdl,
  zooSchemas,
} from './support/zoo';
import { findUncarriable } from '../src/preflight/carried';
import { findOversizedRows } from '../src/preflight/oversized';
import { createDatabase, type TestDatabase } from './support/environment';

let production: TestDatabase;
let run: ZooRun;
beforeAll(makeZooRoles);
beforeEach(async () => {
  production = await makeZoo();
  run = new ZooRun(production.url);
});
afterEach(async () => {
  await production.drop();
  await dropDatabase(run.backupUrl, 'zoo');
});

test('everything comes back from the backup as it was', async () => {
  const before = await look();
  await run.backUp();
  await run.reset();
  await expectEmpty();
  await run.restore();
  await run.onProduction(removeLedger);
  expect(await look()).toEqual(before);
});

test('an empty mapping takes everything into the same schema', async () => {
  // A mapping has nothing to say about a table without a column to fill: it refuses them by name.
  await withDatabase(production.url, (client) =>
    client.query('drop table zoo.no_columns, zoo.only_generated'),
  );
  const before = await contentsOf(production.url);
  const ddl = await zooDdl(production.url);
  const shadow = await createDatabase('zoo_shadow');
  try {
    await deployZoo(shadow.url, ddl, production.url);
    await run.backUp();
    await run.reset();
    await deployZoo(production.url, ddl, production.url);
    await run.migrate(identityPlan(), shadow.url);
    // A sequence that fills a column is moved past the column's largest value, by its own steps.
    expect(await contentsOf(production.url)).toEqual({ ...before, 'zoo."every type_id_seq"': '1051 true' });
  } finally {
    await shadow.drop();
  }
});

test('one dump is cut where pg_dump cuts its sections', async () => {
  await withDatabase(production.url, (client) =>
    client.query(`alter default privileges in schema zoo grant select on tables to zoo_reader`),
  );
  const section = (name: string) =>
    parseDump(
      execFileSync(
        clientTool('pg_dump'),
        [
          '--schema-only',
          `--section=${name}`,
          '--quote-all-identifiers',
          ...zooSchemas.map((schema) => `--schema="${schema.replaceAll('"', '""')}"`),
          `--dbname=${production.url}`,
        ],
        { encoding: 'utf8', maxBuffer: 2 ** 26 },
      ),
    ).entries;
  const { pre, post } = await dumpSchema(production.url, zooSchemas, { owners: true });
  expect(pre).toEqual(section('pre-data'));
  expect(post).toEqual(section('post-data'));
  expect(new Set(post.map(({ type }) => type))).toContain('DEFAULT ACL');
  expect(new Set(pre.map(({ type }) => type))).toContain('ACL');
});

test('preflight refuses nothing of it but the unlogged table, and names every cast', async () => {
  const look = () => run.onProduction((client) => findUncarriable(client, run.schemas));
  const unlogged = expect.stringContaining('zoo.fleeting is an unlogged table') as string;
  expect(await look()).toEqual([unlogged]);
  await withDatabase(production.url, (client) =>
    client.query(`create function zoo.to_mood(int) returns zoo.mood language sql as $$ select 'ok'::zoo.mood $$;
      create cast (int as zoo.mood) with function zoo.to_mood(int)`),
  );
  expect(await look()).toEqual([
    unlogged,
    expect.stringMatching(/^cast from integer to zoo\.mood belongs to no schema/),
  ]);
});

test('a row of 300 MB, and large objects, are as before', async () => {
  await withDatabase(production.url, async (client) => {
    await client.query('create table zoo.big (id int, bytes bytea, more text)');
    await client.query(
      `insert into zoo.big select 1, decode(repeat(md5('a'), $1), 'hex'), repeat(md5('b'), $1)`,
      [300_000_000 / 48],
    );
    await client.query(`select lo_from_bytea(4242, 'large')`);
  });
  const before = await contentsOf(production.url);
  await run.backUp();
  await run.reset();
  await run.restore();
  expect(await contentsOf(production.url)).toEqual(before);
});

// Its text form would be larger than PostgreSQL allows.
test('a field of 600 MB, which has no text form, is carried in binary, and refused by name where text is needed', async () => {
  const bytes = 600_000_000;
  await withDatabase(production.url, (client) =>
    client.query(`create table zoo.field (a bytea); create table zoo.field_of_domain (a zoo.blob);
      insert into zoo.field select half || half from decode(repeat('00ff', ${bytes / 4}), 'hex') as half;
      insert into zoo.field_of_domain select a from zoo.field`),
  );
  expect(await run.onProduction((client) => findOversizedRows(client, run.schemas, 'binary'))).toEqual([
    expect.stringMatching(/^Table zoo\.field_of_domain has 1 row .* in COPY's text form/),
  ]);
  expect(await run.onProduction((client) => findOversizedRows(client, run.schemas, 'text'))).toHaveLength(2);
  await withDatabase(production.url, (client) => client.query('drop table zoo.field_of_domain'));
  const hash = () =>
    withDatabase(production.url, async (client) => {
      const { rows } = await client.query<{ hash: string }>('select md5(a) as hash from zoo.field');
      return rows[0]?.hash;
    });
  const before = await hash();
  await run.backUp();
  await run.reset();
  await run.restore();
  expect(await hash()).toBe(before);
});

/** Definition (order aside) and contents. */
async function look() {
  return {
    definition: (await definitionOf(production.url)).sort(),
    contents: await contentsOf(production.url),
  };
}

async function expectEmpty(): Promise<void> {
  await withDatabase(production.url, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `select pg_describe_object(classid, objid, 0) as name from pg_depend d join pg_namespace n on n.oid = d.refobjid
       where refclassid = 'pg_namespace'::regclass and classid::regclass::text not in ('pg_extension', 'pg_default_acl', 'pg_publication_namespace') and nspname !~ '^pg_|^information_schema$|^kirikae$'
         and not exists (select from pg_depend e where e.classid = d.classid and e.objid = d.objid and e.deptype = 'e')`,
    );
    expect(rows.map((row) => row.name)).toEqual([]);
  });
}
