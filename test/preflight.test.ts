/** Preflight on real databases: what a good plan shows, and every refusal that comes from production's own content. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { claimProduction } from '../src/ledger/claim';
import { withClient } from '../src/postgres/connect';
import { preflight } from '../src/preflight/preflight';
import { findPlan, readSettings } from '../src/settings/read';
import { withDatabase } from '../lab/stage';
import { onServer, testPostgres, type TestDatabase } from './support/environment';
import { layOutMigration, type Migration, type PlanChange } from './support/migration';
import { checkHarmlessly, refusalOf } from './support/preflight';
import { makeTumikiTemplate } from './support/tumiki-template';

let template: TestDatabase;
let migration: Migration;
beforeAll(async () => {
  template = await makeTumikiTemplate(20);
});
afterAll(() => template.drop());
afterEach(() => migration.drop());

async function layOut(sql = '', change?: PlanChange): Promise<void> {
  migration = await layOutMigration(template.name, (plan) => {
    Object.assign((plan.maintenance as { probe: object }).probe, { within: '500ms' });
    change?.(plan);
  });
  if (sql) await withDatabase(migration.urls.production, (client) => client.query(sql));
}

test('finds nothing wrong with the Tumiki plan, and shows tables, drops and sizes', async () => {
  await layOut();
  const result = await checkHarmlessly(migration);
  expect(result.findings).toEqual([]);
  expect(result.dropped.map(({ what }) => what)).toContain('_ToolToUserMcpServerConfig');
  expect(result.dropped.every(({ reason }) => reason.length > 0)).toBe(true);
  const organization = result.tables.find(({ target }) => target === 'Organization');
  expect(organization?.sources).toEqual(['Organization', 'User (extra rows)']);
  expect(result.rows).toBeGreaterThan(0);
  expect(result.bytes).toBeGreaterThan(0);
});

test.each([
  [
    'a column that the mapping does not explain',
    'alter table "User" add column nickname text',
    /User\.nickname/,
  ],
  ['a table that the mapping does not explain', 'create table invoices (id int primary key)', /invoices/],
  [
    'an enum value without a counterpart',
    `alter type "AuthType" add value 'SAML'`,
    /AuthType.*SAML|SAML.*AuthType/,
  ],
])('refuses %s', async (_what, sql, sentence) => {
  await layOut(sql);
  expect(await refusalOf(migration)).toMatch(sentence);
});

test.each([
  [
    'a cast',
    `create type word as (t text); create function word(text) returns word language sql as 'select row ($1)::word';
     create cast (text as word) with function word(text)`,
    'cast from text to public.word belongs to no schema, so pg_dump leaves it out, and it would be dropped with',
  ],
  [
    'partitions by the hash of an enum',
    `create type hue as enum ('red'); create table hues (h hue) partition by hash (h)`,
    'hues is partitioned by the hash of h, a type whose hashes differ from database to database',
  ],
  [
    'an event trigger that refuses something',
    `create schema audit; create function audit.watch() returns event_trigger language plpgsql as 'begin raise ''no functions here''; end';
     create event trigger watcher on ddl_command_end when tag in ('CREATE FUNCTION') execute function audit.watch()`,
    'fails: no functions here. The event trigger "watcher" of postgres says so. Have its owner disable it for the run: alter event trigger "watcher" disable.',
  ],
  [
    'an event trigger that calls a managed function, disabled or not',
    `create function watch() returns event_trigger language plpgsql as 'begin end';
     create event trigger watcher on ddl_command_end execute function watch(); alter event trigger watcher disable`,
    'The event trigger "watcher" calls a function of the managed schemas and would be dropped with it.',
  ],
  [
    'a view of another schema on a managed table',
    'create schema reporting; create view reporting.people as select id from public."User"',
    'reporting.people outside the managed schemas depends on',
  ],
  [
    'a key into another schema',
    `create schema auth; create table auth.users (id text primary key);
     alter table "User" add constraint user_of_auth foreign key (id) references auth.users not valid`,
    'constraint user_of_auth on table public."User" depends on table auth.users outside the managed schemas',
  ],
  [
    'a policy that calls a function of another schema',
    `create schema auth; create function auth.uid() returns text language sql as 'select null::text';
     create policy own on "User" using (id = auth.uid())`,
    'depends on function auth.uid() outside the managed schemas',
  ],
  [
    'membership in a publication',
    'create publication feed for table "User"',
    'Publication "feed" lists tables of the managed schemas',
  ],
  [
    'an unlogged table',
    'create unlogged table cache (id int primary key)',
    'cache is an unlogged table: a crash of the server would empty it.',
  ],
  [
    'a foreign table',
    'create foreign data wrapper w; create server s foreign data wrapper w; create foreign table away (id int) server s',
    'away is a foreign table, whose server the backup lacks.',
  ],
])('refuses %s by name', async (_what, sql, sentence) => {
  await layOut(sql);
  expect(await refusalOf(migration)).toContain(sentence);
});

test('lets what belongs to an extension, and a disabled event trigger, pass', async () => {
  await layOut(`create schema tools; create extension citext schema tools;
    create function tools.watch() returns event_trigger language plpgsql as 'begin end';
    create event trigger watcher on ddl_command_end execute function tools.watch();
    alter event trigger watcher disable`);
  expect(await refusalOf(migration)).toBe('');
});

test('refuses a role whose own setting would undo the fence', async () => {
  await layOut();
  const role = `writer_${migration.production.name}`;
  await onServer(`create role "${role}"`);
  try {
    const set = `alter role "${role}" in database "${migration.production.name}" set default_transaction_read_only`;
    await onServer(`${set} = off`);
    expect(await refusalOf(migration)).toContain(
      `Role "${role}" sets default_transaction_read_only itself, which would undo the fence for it.`,
    );
    await onServer(`${set} = on`);
    expect(await refusalOf(migration)).toBe('');
  } finally {
    await migration.production.drop();
    await onServer(`drop role "${role}"`);
  }
});

test('refuses production that another run has claimed, and names the way out', async () => {
  await layOut();
  const other = { namespace: 'night', workflowId: 'earlier', firstRunId: 'c', runId: 'c', plan: 'older' };
  await withClient(migration.urls.production, 'test', (client) =>
    claimProduction(client, other, {
      id: 'c',
      planHash: 'p',
      backup: 'b',
      learn: () => Promise.resolve(),
    }),
  );
  const findings = await refusalOf(migration);
  expect(findings).toMatch(
    /^Production is claimed by workflow "earlier" \(plan "older", namespace night\) since 20/,
  );
  expect(findings).toContain('kirikae recover older');
});

test('refuses a managed schema that production lacks', async () => {
  await layOut('', (plan) => {
    Object.assign((plan.databases as { production: object }).production, { schemas: ['public', 'nowhere'] });
  });
  expect(await refusalOf(migration)).toContain(
    'Production has no schema "nowhere". Correct databases.production.schemas.',
  );
});

describe('the schema step', () => {
  const byCommand =
    (...run: string[]): PlanChange =>
    (plan) => {
      plan.schema = { kind: 'command', run, urlEnv: ['DATABASE_URL'], timeout: '20s' };
    };

  test('names the SQL file that fails, and blames nothing else', async () => {
    await layOut('', (plan) => {
      plan.schema = { kind: 'sql', dir: './broken' };
      const dir = path.join(migrationFolder(plan), 'broken');
      mkdirSync(dir);
      writeFileSync(path.join(dir, '001_good.sql'), 'create table good (id int)');
      writeFileSync(path.join(dir, '002_bad.sql'), 'create tabel bad (id int)');
    });
    expect((await checkHarmlessly(migration)).findings).toEqual([
      expect.stringMatching(
        /^The schema step fails on the shadow database: 002_bad\.sql of the schema folder failed: syntax error .*\(SQLSTATE 42601\)\. Correct the file\.$/,
      ),
    ]);
  });

  test('shows the exit code of a command that fails', async () => {
    await layOut('', byCommand('sh', '-c', 'echo no such migration >&2; exit 3'));
    expect(await refusalOf(migration)).toMatch(
      /^The schema step fails on the shadow database: .*3.*no such migration/s,
    );
  });

  test('refuses a command that does nothing to the database it is given', async () => {
    await layOut('', byCommand('true'));
    const { findings } = await checkHarmlessly(migration);
    expect(findings).toEqual([
      expect.stringContaining('the shadow database has gained nothing: it went to another database'),
    ]);
  });

  test('notices a command that ignores its URL and changes production', async () => {
    await layOut('', (plan) => {
      const command = path.join(migrationFolder(plan), 'deploy.sh');
      byCommand('sh', command)(plan);
    });
    const psql = path.join(testPostgres().bin, 'psql');
    const sql = 'create table "_prisma_migrations" (id int)';
    writeFileSync(
      path.join(migration.folder, 'deploy.sh'),
      `${psql} '${migration.urls.production}' -c '${sql}'`,
    );
    const { findings } = await preflight(findPlan(readSettings(migration.settingsFile), 'tumiki'));
    expect(findings[0]).toContain('the shadow database has gained nothing');
    expect(findings[1]).toMatch(
      /^Production's schema, or what is set for its database, changed while the schema step ran on the shadow.*has hit production/,
    );
  });

  test('gives every variable of urlEnv the shadow, whatever the worker has in it', async () => {
    await layOut('', (plan) => {
      byCommand('sh', path.join(migrationFolder(plan), 'deploy.sh'))(plan);
      Object.assign(plan.schema as object, { urlEnv: ['DIRECT_URL', 'DATABASE_URL'] });
    });
    const file = path.join(migration.folder, 'deploy.sh');
    const psql = path.join(testPostgres().bin, 'psql');
    writeFileSync(
      file,
      `for url in "$DIRECT_URL" "$DATABASE_URL"; do ${psql} "$url" -c 'create table t_'$RANDOM$$' ()' ; ${psql} "$url" -Atc 'select current_database()' >> ${migration.folder}/seen; done`,
    );
    process.env.DIRECT_URL = migration.urls.production;
    try {
      await checkHarmlessly(migration);
    } finally {
      delete process.env.DIRECT_URL;
    }
    const shadow = `${migration.production.name}_shadow`;
    expect(seen()).toEqual([shadow, shadow]);
  });
});

test('reports everything at once', async () => {
  await layOut('create unlogged table cache (id int)', (plan) => {
    Object.assign((plan.databases as { backup: object }).backup, { create: false });
    plan.deploy = [{ name: 'manager', run: ['no-such-program'] }];
  });
  writeFileSync(migration.flagFile, '');
  const { findings } = await checkHarmlessly(migration);
  expect(findings).toEqual([
    expect.stringContaining('deploy "manager": the program no-such-program is not on the worker\'s PATH.'),
    expect.stringContaining('run/maintenance.on is there already.'),
    expect.stringContaining('shows 503'),
    expect.stringContaining('The backup database'),
    expect.stringContaining('cache is an unlogged table'),
  ]);
});

function seen(): string[] {
  return readFileSync(path.join(migration.folder, 'seen'), 'utf8').trim().split('\n');
}

// While a plan is laid out its folder is known only by the log file that its commands write.
function migrationFolder(plan: Record<string, unknown>): string {
  const [deploy] = plan.deploy as { run: string[] }[];
  const file = /appendFileSync\("([^"]+)"/.exec(deploy?.run[2] ?? '')?.[1];
  if (!file) throw new Error('The plan names no log file.');
  return path.dirname(file);
}
