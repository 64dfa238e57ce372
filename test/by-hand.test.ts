/** docs/if-it-stops.md, "By hand": its own commands, run with bash after a terminate, bring production to a safe end. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { packageRoot } from '../tools/provide';
import { definitionOf } from '../lab/database-state';
import { tumikiFolder, withDatabase } from '../lab/stage';
import { openNamespace, type TestNamespace } from './support/namespace';
import { testPostgres, type TestDatabase } from './support/environment';
import {
  approve,
  layOutMigration,
  startRun,
  untilStatus,
  withWorker,
  type Migration,
  type PlanChange,
} from './support/migration';
import { makeTumikiTemplate } from './support/tumiki-template';

let template: TestDatabase;
let server: TestNamespace;
let migration: Migration;

beforeAll(async () => {
  template = await makeTumikiTemplate(20);
  await withDatabase(template.url, (client) => client.query(moreObjects));
  server = await openNamespace('by-hand');
});
afterAll(async () => {
  await server.close();
  await template.drop();
});
afterEach(() => migration.drop());

// What Tumiki's tables lack: identity, a generated column, sequences, views, a function, a trigger, grants, comments.
const moreObjects = `
  create table "Counter" (id bigint generated always as identity primary key, label text not null,
    loud text generated always as (upper(label)) stored);
  insert into "Counter" (label) select 'label ' || n from generate_series(1, 30) n;
  create sequence tickets start 100 increment 5;
  select nextval('tickets'), nextval('tickets');
  create view labels as select label from "Counter";
  create materialized view loud_labels as select loud from "Counter";
  create domain short as text check (length(value) < 50);
  create function shout() returns trigger language plpgsql as 'begin new.label := new.label || ''!''; return new; end';
  create trigger shouting before insert on "Counter" for each row execute function shout();
  create statistics of_labels on id, label from "Counter";
  grant select on "Counter" to public;
  comment on table "Counter" is 'counts';`;

async function layOut(change: PlanChange = () => undefined): Promise<void> {
  migration = await layOutMigration(template.name, (plan) => {
    plan.mapping = './mapping.yaml';
    change(plan);
  });
  const mapping = readFileSync(path.join(tumikiFolder, 'mapping.yaml'), 'utf8');
  const withDrop = mapping.replace('drop:\n  tables:\n', '$&    Counter: Only there for the test.\n');
  writeFileSync(path.join(migration.folder, 'mapping.yaml'), withDrop);
}

test('before the reset, production is writable and open again as it was', async () => {
  await layOut();
  await setReadOnlyDefault('off');
  const before = await everything();
  await terminateWhen(
    async (handle) => void (await untilStatus(handle, (s) => s.step === 'approval' && s.waitingFor !== null)),
  );
  expect(await readOnlyDefault()).toBe('on');
  await withDatabase(migration.urls.production, async (application) => {
    await expect(application.query(`delete from "Counter"`)).rejects.toThrow('read-only');
    runByHand('prepare', 'lift the fence', 'page off, ledger away');
    // A session of the fence's time would stay read-only: it has ended, so that the application opens a new one.
    await expect(application.query('select 1')).rejects.toThrow();
  });
  expect(await everything()).toEqual(before);
  expect(await readOnlyDefault()).toBe('off');
  expect(existsSync(migration.flagFile)).toBe(false);
});

test('between the reset and the new schema, production is restored from the backup', async () => {
  // On production the schema step hangs: the run ends over an empty, fenced database.
  const { bin } = testPostgres();
  const step = `case "$DATABASE_URL" in *_shadow*) cat "$0"/*.sql | ${bin}/psql -q -v ON_ERROR_STOP=1 "$DATABASE_URL" ;; *) sleep 600 ;; esac`;
  await layOut((plan) => {
    plan.schema = {
      kind: 'command',
      run: ['bash', '-c', step, path.join(tumikiFolder, 'schema', 'after')],
      urlEnv: ['DATABASE_URL'],
    };
  });
  const before = await everything();
  await terminateWhen(async (handle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'deploySchema');
  });
  expect((await everything()).tables).toEqual({});
  expect(await readOnlyDefault()).toBe('on');
  const shown = runByHand('prepare', 'page on', 'fence', 'restore', 'check');
  expect(shown).toContain('whole: t');
  runByHand('prepare', 'lift the fence', 'page off, ledger away');
  expect(await everything()).toEqual(before);
  expect(await readOnlyDefault()).toBeNull();
  expect(existsSync(migration.flagFile)).toBe(false);
});

test('between verify and live, production is restored over the new one, and what differs is named and healed by repeating it', async () => {
  await layOut((plan) => {
    plan.smoke = [{ name: 'Somebody looked', kind: 'manual' }];
  });
  await setReadOnlyDefault('off');
  const before = await everything();
  await terminateWhen(async (handle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
  });
  expect((await everything()).tables).not.toEqual(before.tables);
  runByHand('prepare', 'page on', 'fence', 'restore', 'check');
  for (const [sql, named] of [
    [`update "User" set name = 'another' where id = (select min(id) from "User")`, 'User|'],
    [`delete from "Counter" where id = 3`, 'public.Counter does not have its 30 rows'],
    [`select nextval('tickets')`, 'sequence public.tickets is not where it was'],
  ] as const) {
    await withDatabase(migration.urls.production, async (client) => {
      await client.query('set default_transaction_read_only = off');
      await client.query(sql);
    });
    expect(runWithBash('prepare', 'check')).toMatchObject({
      status: 1,
      stdout: expect.stringContaining(named) as unknown,
    });
  }
  runByHand('prepare', 'restore', 'check');
  runByHand('prepare', 'lift the fence', 'page off, ledger away');
  expect(await everything()).toEqual(before);
  expect(await readOnlyDefault()).toBe('off');
});

test('between migrate and live, old objects that were kept are moved home', async () => {
  await layOut((plan) => {
    plan.reset = { mode: 'keep' };
    plan.smoke = [{ name: 'Somebody looked', kind: 'manual' }];
  });
  const before = await everything();
  await terminateWhen(async (handle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
  });
  runByHand('prepare', 'page on', 'fence', 'move home', 'check', 'lift the fence', 'page off, ledger away');
  expect(await everything()).toEqual(before);
  expect(await oldSchemas()).toEqual([]);
});

test.each(['drop', 'keep'])('after live, only what the run left is removed (reset.mode %s)', async (mode) => {
  await layOut((plan) => {
    plan.reset = { mode };
    plan.monitor = { for: '1h', every: '1h' };
  });
  await terminateWhen(async (handle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'monitor');
  });
  const live = await everything();
  expect(live.ledger).toBe(true);
  runByHand('prepare', 'lift the fence');
  if (mode === 'keep') runByHand('prepare', 'old objects away');
  runByHand('prepare', 'page off, ledger away');
  expect(await everything()).toEqual({ ...live, ledger: false });
  expect(await oldSchemas()).toEqual([]);
  expect(existsSync(migration.flagFile)).toBe(false);
});

test('the commands that a settled run hands over lift the fence and take the page down', async () => {
  await layOut();
  const before = await everything();
  const variable = Object.keys(migration.env)[0] ?? '';
  const notes = await withWorker(migration, server.namespace, async () => {
    const handle = await startRun(server.client);
    await untilStatus(handle, (s) => s.step === 'approval' && s.waitingFor !== null);
    // Without its variable the worker can't go on, which parks the run.
    delete process.env[variable];
    await approve(handle);
    await untilStatus(handle, (s) => s.parked);
    process.env[variable] = migration.urls.production;
    await handle.executeUpdate('settle', { args: [{ by: 'alice' }] });
    await handle.result().catch(() => undefined);
    return (await handle.query<{ notes: string[] }>('status')).notes;
  });
  expect(await readOnlyDefault()).toBe('on');
  const commands = notes.flatMap(
    (note) => /^(?:To lift|To take|When production).*?: (.*)$/.exec(note)?.[1] ?? [],
  );
  expect(commands).toHaveLength(3);
  for (const command of commands) {
    const { status, stderr } = bash(command);
    expect({
      command,
      status,
      stderr: stderr.replace(/^NOTICE.*|^DETAIL.*|^drop cascades.*|^\s*$/gm, '').trim(),
    }).toEqual({ command, status: 0, stderr: '' });
  }
  expect(await everything()).toEqual(before);
  expect(await readOnlyDefault()).toBeNull();
  expect(existsSync(migration.flagFile)).toBe(false);
});

/** Starts a run, waits for `reached`, terminates it and ends its worker. */
async function terminateWhen(reached: (handle: WorkflowHandle) => Promise<void>): Promise<void> {
  await withWorker(migration, server.namespace, async () => {
    const handle = await startRun(server.client);
    await reached(handle);
    await handle.terminate('for the test');
  });
}

/** Runs blocks of the page's section in one bash, in the plan's folder; they must succeed. */
function runByHand(...titles: string[]): string {
  const { status, stdout, stderr } = runWithBash(...titles);
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.not.stringContaining('ERROR') as unknown });
  return stdout;
}

function runWithBash(...titles: string[]) {
  return bash(titles.map(block).join('\n'));
}

function bash(script: string) {
  return spawnSync('bash', ['-e', '-c', script], {
    cwd: migration.folder,
    encoding: 'utf8',
    env: {
      ...process.env,
      PATH: `${testPostgres().bin}:${process.env.PATH}`,
      DATABASE_URL: migration.urls.production,
      BACKUP_DATABASE_URL: migration.urls.backup,
    },
  });
}

function block(title: string): string {
  const page = readFileSync(path.join(packageRoot, 'docs', 'if-it-stops.md'), 'utf8');
  const found = page.split('```sh\n').find((text) => new RegExp(`^# By hand: ${title}\\b`).test(text));
  if (found === undefined) throw new Error(`docs/if-it-stops.md has no block "By hand: ${title}".`);
  return found.slice(0, found.indexOf('\n```'));
}

/** All that production holds and is: definition with owners and grants, rows, sequences, whether the ledger is there. */
async function everything() {
  const definition = await definitionOf(migration.urls.production, ['--schema=public']);
  return withDatabase(migration.urls.production, async (client) => {
    const tables: Record<string, string[]> = {};
    const { rows: names } = await client.query<{ name: string; kind: string }>(
      `select oid::regclass::text as name, relkind as kind from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'm', 'S') order by 1`,
    );
    for (const { name, kind } of names) {
      const columns = kind === 'S' ? '(t.last_value, t.is_called)' : 't';
      const { rows } = await client.query<{ row: string }>(
        `select ${columns}::text as row from ${name} t order by 1`,
      );
      tables[name] = rows.map(({ row }) => row);
    }
    const { rows } = await client.query<{ ledger: boolean }>(
      `select to_regclass('kirikae.claim') is not null as ledger`,
    );
    return {
      definition,
      tables,
      ledger: rows[0]?.ledger,
    };
  });
}

async function oldSchemas(): Promise<unknown[]> {
  const sql = `select nspname from pg_namespace where nspname like 'kirikae%'`;
  return withDatabase(
    migration.urls.production,
    async (client) => (await client.query<{ nspname: string }>(sql)).rows,
  );
}

async function setReadOnlyDefault(value: string): Promise<void> {
  await withDatabase(migration.urls.production, (client) =>
    client.query(
      `alter database "${migration.production.name}" set default_transaction_read_only = ${value}`,
    ),
  );
}

/** The database's own setting; null when it has none. */
async function readOnlyDefault(): Promise<string | null> {
  return withDatabase(testPostgres().url('postgres'), async (client) => {
    const { rows } = await client.query<{ value: string }>(
      `select split_part(setting, '=', 2) as value from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase, unnest(s.setconfig) as setting
       where d.datname = $1 and setting like 'default_transaction_read_only=%'`,
      [migration.production.name],
    );
    return rows[0]?.value ?? null;
  });
}
