/** Preflight on what the URLs lead to: three different databases, reached directly, with the rights that a run needs. */
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { freePort } from '../tools/ports';
import { startPostgres, type PostgresServer } from '../tools/postgres';
import { withDatabase } from '../lab/stage';
import { one, withClient } from '../src/postgres/connect';
import { dumpSchema } from '../src/postgres/dump';
import { throughTheFence } from '../src/postgres/url';
import { sessionsNeeded } from '../src/preflight/sessions';
import { onServer, testPostgres, type TestDatabase } from './support/environment';
import { layOutMigration, type Migration, type PlanChange } from './support/migration';
import { openPooler, type PoolerKind } from './support/pooler';
import { checkHarmlessly, pointTo, refusalOf } from './support/preflight';
import { makeTumikiTemplate } from './support/tumiki-template';

let template: TestDatabase;
let migration: Migration;
beforeAll(async () => {
  template = await makeTumikiTemplate(20);
});
afterAll(() => template.drop());
beforeEach(() => layOut());
afterEach(() => migration.drop());

async function layOut(change?: PlanChange): Promise<void> {
  migration = await layOutMigration(template.name, (plan) => {
    Object.assign((plan.maintenance as { probe: object }).probe, { within: '500ms' });
    change?.(plan);
  });
}

async function layOutAgain(change: PlanChange): Promise<void> {
  await migration.drop();
  await layOut(change);
}

describe('three different databases', () => {
  const byName = (url: string) => url.replace('127.0.0.1', 'localhost');

  test.each([
    ['backup', 'the same URL', (url: string) => url],
    ['backup', 'another address of its server', byName],
    ['shadow', 'the same URL', (url: string) => url],
    ['shadow', 'another address of its server', byName],
  ] as const)('refuses a %s that is production by %s', async (role, _how, write) => {
    pointTo(migration, role, write(migration.urls.production));
    expect(await refusalOf(migration)).toContain(
      `production and ${role} are the same database. Name three different databases: ${role} would be overwritten.`,
    );
  });

  test.each([
    ['the same URL', (url: string) => url],
    ['another address of its server', byName],
  ])('refuses a shadow that is the backup by %s, whether or not it exists yet', async (_how, write) => {
    pointTo(migration, 'shadow', write(migration.urls.backup));
    const sentence = 'backup and shadow are the same database.';
    expect(await refusalOf(migration)).toContain(sentence);
    await onServer(`create database "${migration.production.name}_backup"`);
    expect(await refusalOf(migration)).toContain(sentence);
  });

  test.each(['backup', 'shadow'] as const)('refuses a %s that holds tables of others', async (role) => {
    const name = `${migration.production.name}_${role}`;
    await onServer(`create database "${name}"`);
    await withDatabase(migration.urls[role], (client) => client.query('create table ledgers (id int)'));
    const findings = await refusalOf(migration);
    expect(findings).toMatch(new RegExp(`The ${role} database .*${name} holds tables that aren't Kirikae's`));
    expect(findings).toContain('ledgers');
    expect(findings).toContain('Name an empty database.');
    expect(findings).not.toContain(testPostgres().password);
  });

  test('accepts databases that are there and empty, and leaves them empty', async () => {
    for (const role of ['backup', 'shadow'] as const)
      await onServer(`create database "${migration.production.name}_${role}"`);
    expect(await refusalOf(migration)).toBe('');
    const schemas = await withDatabase(migration.urls.shadow, (client) =>
      client.query<{ n: string }>(
        `select nspname as n from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'`,
      ),
    );
    expect(schemas.rows).toEqual([{ n: 'public' }]);
  });

  test('refuses a backup of another encoding', async () => {
    await onServer(
      `create database "${migration.production.name}_backup" template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'`,
    );
    expect(await refusalOf(migration)).toContain(
      "The backup database has encoding SQL_ASCII, production UTF8. Create it from template0 with production's encoding",
    );
  });
});

describe('direct connections', () => {
  test.each([
    ['production', 'makes up process ids', 'is reached through a connection pooler, not directly.'],
    [
      'production',
      'refuses options',
      'refuses the options= of a URL (unsupported startup parameter: options)',
    ],
    ['production', 'drops options', 'does not receive the options= of a URL'],
  ] as const)('refuses a pooler before %s that %s', async (role, kind: PoolerKind, sentence) => {
    const pooler = await openPooler(kind);
    try {
      pointTo(migration, role, pooler.through(migration.urls[role]));
      const findings = await refusalOf(migration);
      expect(findings).toContain(sentence);
      expect(findings).toContain("Name the server's own address");
    } finally {
      await pooler.close();
    }
  });

  test('refuses a pooler before the backup too', async () => {
    await onServer(`create database "${migration.production.name}_backup"`);
    const pooler = await openPooler('makes up process ids');
    try {
      pointTo(migration, 'backup', pooler.through(migration.urls.backup));
      expect(await refusalOf(migration)).toMatch(
        /^The backup database .* is reached through a connection pooler/,
      );
    } finally {
      await pooler.close();
    }
  });
});

describe('servers and rights', () => {
  test.each(['production', 'backup', 'shadow'] as const)(
    'says that the server of the %s database does not answer',
    async (role) => {
      const url = new URL(migration.urls[role]);
      url.port = String(await freePort());
      pointTo(migration, role, url.toString());
      const findings = await refusalOf(migration);
      expect(findings).toContain(`127.0.0.1:${url.port}`);
      expect(findings).toMatch(/ECONNREFUSED.*Start .* or correct the URL\./);
    },
  );

  test('says that the password is wrong, without showing it', async () => {
    const url = new URL(migration.urls.production);
    url.password = 'not-the-password';
    pointTo(migration, 'production', url.toString());
    const findings = await refusalOf(migration);
    expect(findings).toContain('password authentication failed for user "postgres"');
    expect(findings).not.toContain('not-the-password');
  });

  test('says that production does not exist, and what a variable without a URL should hold', async () => {
    pointTo(migration, 'production', testPostgres().url('nobody_has_this'));
    expect(await refusalOf(migration)).toMatch(
      /nobody_has_this can't be used: it does not exist on that server/,
    );
    pointTo(migration, 'production', 'db.example.org');
    pointTo(migration, 'shadow', '');
    expect((await checkHarmlessly(migration)).findings).toEqual([
      expect.stringMatching(/\(the production database\) is not a URL\. Expected postgresql:\/\/USER/),
      expect.stringMatching(/\(the shadow database\) is not a URL\. Expected postgresql:\/\/USER/),
    ]);
  });

  test.each(['backup', 'shadow'])('refuses a missing %s that it may not create', async (role) => {
    await layOutAgain((plan) => {
      Object.assign((plan.databases as Record<string, object>)[role] ?? {}, { create: false });
    });
    expect(await refusalOf(migration)).toContain(
      `_${role} does not exist. Create it, or set databases.${role}.create: true.`,
    );
  });

  test('says that a limit leaves too few sessions, with the statement that raises it', async () => {
    const role = `few_${migration.production.name}`;
    const { name } = migration.production;
    const needed = sessionsNeeded(['production', 'backup']);
    const ofProduction = sessionsNeeded(['production']);
    await onServer(`create role "${role}" login createdb password 'few' connection limit ${needed - 1}`);
    try {
      await onServer(`alter database "${name}" owner to "${role}"`);
      await onServer(`alter database "${name}" connection limit ${ofProduction - 1}`);
      for (const which of ['production', 'backup', 'shadow'] as const) {
        const url = new URL(migration.urls[which]);
        [url.username, url.password] = [role, 'few'];
        pointTo(migration, which, url.toString());
      }
      const findings = await refusalOf(migration);
      expect(findings).toContain(
        `User ${role} of production, backup, shadow may have ${needed - 1} sessions, 0 of them are in use, and a run needs ${needed}: it would wait for ever. End some, or raise its limit: alter role "${role}" connection limit ${needed}`,
      );
      expect(findings).toContain(
        `The production database may have ${ofProduction - 1} sessions, 0 of them are in use, and a run needs ${ofProduction}: it would wait for ever. End some, or raise its limit: alter database "${name}" connection limit ${ofProduction}`,
      );
      await onServer(`alter role "${role}" connection limit ${needed}`);
      await onServer(`alter database "${name}" connection limit ${ofProduction}`);
      expect(await refusalOf(migration)).not.toContain('and a run needs');
      await onServer(`alter role "${role}" connection limit 1`);
      expect(await refusalOf(migration)).toMatch(
        /The production database .* can't be used: too many connections for role .* Raise that limit\./,
      );
    } finally {
      await onServer(`alter database "${name}" owner to postgres`);
      await onServer(`drop role "${role}"`);
    }
  });

  test('takes a URL that asks for a kind of session, as commands do under the fence', async () => {
    const url = `${migration.urls.production}?target_session_attrs=read-write&application_name=mine`;
    await onServer(`alter database "${migration.production.name}" set default_transaction_read_only = on`);
    const { pre } = await dumpSchema(url, ['public'], { owners: true });
    expect(pre.map((entry) => entry.name)).toContain('User');
    await withClient(url, 'test', async (client) => {
      expect(await one(client, 'show application_name')).toEqual({ application_name: 'kirikae test' });
    });
    const psql = path.join(testPostgres().bin, 'psql');
    const command = [throughTheFence(url), '-Atc', 'show transaction_read_only'];
    expect(execFileSync(psql, command).toString()).toBe('off\n');
  });

  test('names every right that the user lacks', async () => {
    const role = `guest_${migration.production.name}`;
    await onServer(`create role "${role}" login password 'guest'`);
    try {
      for (const which of ['production', 'backup'] as const) {
        const url = new URL(migration.urls[which]);
        [url.username, url.password] = [role, 'guest'];
        pointTo(migration, which, url.toString());
      }
      const findings = await refusalOf(migration);
      expect(findings).toContain('does not exist and its user may not create databases');
      expect(findings).toContain(`Production's user ${role} does not own the database, so it can't fence it`);
      expect(findings).toContain(`Production's user ${role} may not create schemas`);
      expect(findings).toContain(`Production's user ${role} may not end others' sessions`);
      expect(findings).toMatch(
        /\d+ objects of the managed schemas .* belong to postgres.* grant postgres to/,
      );
    } finally {
      await migration.production.drop();
      await onServer(`drop role "${role}"`);
    }
  });
});

describe('the page', () => {
  test('refuses a maintenance flag that is there already', async () => {
    writeFileSync(migration.flagFile, '');
    const findings = await refusalOf(migration);
    expect(findings).toContain(`The maintenance flag ${migration.flagFile} is there already.`);
    expect(findings).toMatch(/should show 200 \(page off\) but shows 503/);
    rmSync(migration.flagFile);
  });

  test('refuses an address that does not show the page as off', async () => {
    await layOutAgain((plan) => {
      const [check] = plan.smoke as { url: string }[];
      Object.assign((plan.maintenance as { probe: object }).probe, { url: check?.url });
    });
    migration.health.status = 502;
    expect(await refusalOf(migration)).toMatch(
      /should show 200 \(page off\) but shows 502 after 500ms\..* It must show the page as off before a run\./,
    );
  });

  test('names programs and folders that commands lack', async () => {
    await layOutAgain((plan) => {
      plan.deploy = [
        { name: 'manager', run: ['no-such-program'], rollback: ['./no-such-script'] },
        { name: 'proxy', run: ['true'], cwd: './nowhere' },
      ];
    });
    expect((await checkHarmlessly(migration)).findings).toEqual([
      expect.stringContaining('deploy "manager": the program no-such-program is not on the worker\'s PATH.'),
      expect.stringContaining('the rollback of deploy "manager": the program ./no-such-script'),
      expect.stringContaining(`deploy "proxy": its folder ${migration.folder}/nowhere does not exist.`),
    ]);
  });
});

describe('a server of its own', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres({ settings: { max_prepared_transactions: 5 } });
  });
  afterAll(() => server.stop());

  test('refuses prepared transactions and settings of all roles, and accepts production on another server', async () => {
    pointTo(migration, 'production', server.url('postgres'));
    pointTo(migration, 'shadow', server.url('shadow'));
    await withDatabase(server.url('postgres'), async (client) => {
      await client.query(`create table a (id int primary key)`);
      await client.query(`begin; insert into a values (1); prepare transaction 'left over'`);
      await client.query('create role batch; alter role batch set default_transaction_read_only = off');
    });
    const findings = await refusalOf(migration);
    expect(findings).toContain(
      'The prepared transaction "left over" in production holds locks. Commit it or roll it back',
    );
    expect(findings).toContain('Role "batch" sets default_transaction_read_only itself');
    expect(findings).not.toContain('the same database');
  });
});
