/** One of everything PostgreSQL has goes through backup, reset and restore, and comes back as it was. */
import { removeLedger } from '../src/ledger';
import { dropDatabase } from '../src/database';
import { withDatabase } from './support/migration';
import { definitionOf } from './support/database-state';
import { ZooRun, contentsOf, makeZoo, makeZooRoles } from './support/zoo';
import type { TestDatabase } from './support/environment';

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
       where refclassid = 'pg_namespace'::regclass and classid not in ('pg_extension'::regclass, 'pg_default_acl'::regclass) and nspname !~ '^pg_|^information_schema$|^kirikae$'
         and not exists (select from pg_depend e where e.classid = d.classid and e.objid = d.objid and e.deptype = 'e')`,
    );
    expect(rows.map((row) => row.name)).toEqual([]);
  });
}
