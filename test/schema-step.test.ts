/** What of a schema step would reach beyond the database that it is given is found before it runs anywhere. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { tumikiPlan, writeSettings } from '../lab/stage';
import { lookAtSchemaStep } from '../src/preflight/schema-step';
import { findPlan, readSettings } from '../src/settings/read';

const variables = { production: 'STEP_PROD', backup: 'STEP_BACKUP', shadow: 'STEP_SHADOW' };
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-step-'));
  mkdirSync(path.join(folder, 'app', 'prisma', 'migrations', '1'), { recursive: true });
  for (const [role, name] of Object.entries(variables))
    process.env[name] = `postgresql://me:secret@db.example/${role}`;
});
afterEach(() => rmSync(folder, { recursive: true }));

function findingsOf(schema: object): Promise<string[]> {
  const plan = tumikiPlan({ flagFile: './on', pageUrl: 'http://127.0.0.1:1/', within: '1s', variables });
  const settings = writeSettings(folder, { tumiki: { ...plan, schema } });
  return lookAtSchemaStep(findPlan(readSettings(settings), 'tumiki'));
}

async function ofSql(sql: string): Promise<string> {
  const dir = path.join(folder, 'new');
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, '01.sql'), sql);
  return (await findingsOf({ kind: 'sql', dir })).join('\n');
}

test.each([
  ['a database setting', `alter database prod set timezone = 'UTC'`],
  ['a role', 'create role app login'],
  ['a setting of a role', `alter role app set search_path = x`],
  ['a membership', 'grant app to me'],
  ['a grant on a database', 'grant connect on database prod to app'],
  ['a renamed role', 'alter role app rename to app2'],
  ['the owner of a database', 'alter database prod owner to app'],
  ['the server', `alter system set work_mem = '1GB'`],
  ['a tablespace', `create tablespace fast location '/fast'`],
  ['a subscription', `drop subscription feed`],
  ['another database', `select dblink_exec('dbname=prod', 'drop table t')`],
  ['a job', `select cron.schedule('nightly', '0 3 * * *', 'vacuum')`],
  ['a file of the server', `copy t from '/srv/rows'`],
  ['a role inside a block', `do $$ begin if true then\n create  role anon; end if; end $$`],
])('%s is found', async (_what, sql) => {
  const found = await ofSql(`create table t (id int);\n\n${sql};\ncreate table u (id int);`);
  expect(found).toContain('01.sql, line 3: "');
  expect(found).toContain('reaches beyond one database, so that it would change production from the shadow.');
  expect(found.split('\n')).toHaveLength(1);
});

test('what stays in its database is let through, and so are words in strings and comments', async () => {
  expect(
    await ofSql(`-- create role x
      create table role (id int, note text default 'alter database x'); grant select on role to public;
      alter default privileges grant select on tables to public; comment on table role is 'drop role';
      create function f() returns void language plpgsql as $$ begin execute 'create role x'; end $$;
      do $$ begin perform 1; end $$; set role me; reset role;`),
  ).toBe('');
});

test("a tool's migrations, its files and .env files above it are read", async () => {
  writeFileSync(path.join(folder, 'app', 'prisma', 'migrations', '1', 'migration.sql'), 'create role x;');
  writeFileSync(
    path.join(folder, '.env'),
    `DATABASE_URL="postgresql://me:hidden@other.example/prod"\n# OLD="postgresql://a/b"\nDIRECT_URL=postgres://me:hidden@other.example:6543/prod?pgbouncer=true\n`,
  );
  writeFileSync(
    path.join(folder, 'app', 'knexfile.js'),
    `module.exports = { connection: 'postgres://me:hidden@there.example/prod' };`,
  );
  const schema = { kind: 'command', run: ['true'], cwd: './app', urlEnv: ['DATABASE_URL'] };
  const found = await findingsOf(schema);
  expect(found).toEqual([
    expect.stringMatching(/migration\.sql, line 1: "create role x" reaches beyond/),
    expect.stringMatching(/knexfile\.js holds the address of .*there\.example/),
    expect.stringMatching(/\.env sets DIRECT_URL to .*other\.example.* and schema\.urlEnv doesn't name it/),
  ]);
  expect(found.join()).not.toContain('hidden');
  expect(await findingsOf({ ...schema, urlEnv: ['DATABASE_URL', 'DIRECT_URL'] })).toHaveLength(2);
});
