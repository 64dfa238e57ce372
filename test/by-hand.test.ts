/** docs/if-it-stops.md, "By hand": its own commands, run with bash after a terminate, bring production to a safe end. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { definitionOf } from '../lab/database-state';
import { query, tumikiFolder, withDatabase } from '../lab/stage';
import { PHASES, type Phase } from '../src/contract';
import { readClaim, type Claim } from '../src/ledger/claim';
import { HeldRun } from '../src/ledger/held-run';
import { readMirror } from '../src/ledger/mirror';
import { withClient } from '../src/postgres/connect';
import { readSettings } from '../src/settings/read';
import { beginAside, sealAside } from '../src/way-back/aside';
import { empty, holdOwnBackup } from '../src/way-back/restore';
import { turnBack } from '../src/way-back/turn';
import { byHandEntries, byHandPage } from '../tools/by-hand-page';
import { packageRoot } from '../tools/provide';
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
const laidOut: Migration[] = [];

beforeAll(async () => {
  template = await makeTumikiTemplate(20);
  await withDatabase(template.url, (client) => client.query(moreObjects));
  server = await openNamespace('by-hand');
});
afterAll(async () => {
  await server.close();
  await template.drop();
});
afterEach(() => laidOut.pop()?.drop());

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
    plan.monitor = { for: '1h', every: '1h' };
    change(plan);
  });
  laidOut.push(migration);
  const mapping = readFileSync(path.join(tumikiFolder, 'mapping.yaml'), 'utf8');
  const withDrop = mapping.replace('drop:\n  tables:\n', '$&    Counter: Only there for the test.\n');
  writeFileSync(path.join(migration.folder, 'mapping.yaml'), withDrop);
}

test('the page is what the ways of the ledger say, and each place where it can stand is one entry', () => {
  expect(byHandPage(page())).toBe(page());
  const named = entriesOnPage();
  for (const { phase, from } of byHandEntries())
    expect({ phase, from, entries: named.filter((entry) => fits(entry, phase, from)).length }).toEqual({
      phase,
      from,
      entries: 1,
    });
  expect(PHASES.filter((phase) => !named.some(({ phases }) => phases.includes(phase)))).toEqual([]);
});

test('before the reset, production is writable and open again as it was, and its backup is gone', async () => {
  await layOut();
  await setReadOnlyDefault('off');
  const before = await everything();
  await terminateWhen(
    async (handle) => void (await untilStatus(handle, (s) => s.step === 'approval' && s.waitingFor !== null)),
  );
  expect(await readOnlyDefault()).toBe('on');
  await withDatabase(migration.urls.production, async (application) => {
    await expect(application.query(`delete from "Counter"`)).rejects.toThrow('read-only');
    runByHand('become the holder');
    // Others that hold the ledger, or another place in it: refused.
    expect(runWithBash('restore').stderr).toContain('is not where this may be done');
    expect(runWithBash('roll back from live').stderr).toContain('is not where this may be done');
    await followPage('sealed');
    // A session of the fence's time would stay read-only: it has ended, so that the application opens a new one.
    await expect(application.query('select 1')).rejects.toThrow();
  });
  expect(await everything()).toEqual(before);
  expect(await readOnlyDefault()).toBe('off');
  expect(await leftBehind()).toEqual([]);
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
  await followPage('reset');
  expect(asideFiles()).toEqual([]);
  expect(await everything()).toEqual(before);
  expect(await readOnlyDefault()).toBeNull();
  expect(await leftBehind()).toEqual([backupName()]);
});

test('after the deploys, a workflow that still lives is overtaken, an altered backup is found, and production is restored', async () => {
  await layOut((plan) => {
    plan.smoke = [{ name: 'Somebody looked', kind: 'manual' }];
  });
  await setReadOnlyDefault('off');
  const before = await everything();
  await withWorker(migration, server.namespace, async () => {
    const handle = await startRun(server.client);
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
    runByHand('become the holder');
    const answer = { by: 'alice', check: 'Somebody looked', passed: true };
    // It may have found out by itself.
    await handle.executeUpdate('confirm', { args: [answer] }).catch(() => undefined);
    const { nextAction, notes } = await untilStatus(handle, (s) => s.parked);
    expect(JSON.stringify([nextAction, notes])).toContain('by hand');
    await handle.terminate('for the test');
  });
  expect((await everything()).tables).not.toEqual(before.tables);
  runByHand('turn back', 'page on', 'raise the fence');
  const name = await nameOfUser(migration.urls.backup);
  await onBackup(`update "User" set name = 'another' where id = (select min(id) from "User")`);
  await onBackup(`update kirikae.backup set ddl_post = ddl_post || ' '`);
  expect(runWithBash('prove the backup')).toMatchObject({
    status: 1,
    stdout: 'the stored definition ddl_post was altered\npublic.User has other rows\n',
  });
  await onBackup(`update "User" set name = $1 where id = (select min(id) from "User")`, [name]);
  await onBackup(`update kirikae.backup set ddl_post = left(ddl_post, -1)`);
  expect(await followPage('returning', { from: 'deployed' })).toEqual(['proxy', 'manager']);
  expect(asideFiles()).toHaveLength(1);
  expect(await everything()).toEqual(before);
  expect(await readOnlyDefault()).toBe('off');
  expect(await leftBehind()).toEqual([backupName()]);
});

test('in the middle of a restore, and from each place after it, the way goes on; what differs is named and healed by repeating', async () => {
  await layOut((plan) => {
    plan.smoke = [{ name: 'Somebody looked', kind: 'manual' }];
  });
  const before = await everything();
  await terminateWhen(async (handle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
  });
  await restoreBegun();
  runByHand('become the holder', 'page on', 'raise the fence', 'restore', 'compare');
  for (const [sql, named] of [
    [
      `update "User" set name = 'another' where id = (select min(id) from "User")`,
      'public.User has other rows',
    ],
    [`delete from "Counter" where id = 3`, 'public.Counter does not have its 30 rows'],
    [`select nextval('tickets')`, 'sequence public.tickets is not where it was'],
    [`create table more ()`, 'public.more is there though it was not'],
  ] as const) {
    await onProduction(sql);
    expect(runWithBash('compare')).toMatchObject({
      status: 1,
      stdout: expect.stringContaining(named) as unknown,
    });
  }
  await followPage('emptied', { from: 'deployed', until: 'undo the deploys' });
  expect(await readOnlyDefault()).toBeNull();
  await followPage('restored', { from: 'deployed', until: 'page off' });
  expect(await mirrorAndClaim()).toMatchObject([{ phase: 'home' }, { phase: 'home' }]);
  await followPage('home', { from: 'deployed' });
  expect(await everything()).toEqual(before);
  expect(await leftBehind()).toEqual([backupName()]);
});

test('old objects that were kept are moved home, from aside', async () => {
  await layOut((plan) => {
    plan.reset = { mode: 'keep' };
    plan.smoke = [{ name: 'Somebody looked', kind: 'manual' }];
  });
  const before = await everything();
  await terminateWhen(async (handle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
  });
  await asTheRun(setAside);
  await followPage('aside', { from: 'deployed', restore: 'move home' });
  expect(await everything()).toEqual(before);
  expect(await leftBehind()).toEqual([backupName()]);
});

test.each(['drop', 'keep'])('after live, only what the run left is removed (reset.mode %s)', async (mode) => {
  await layOut((plan) => (plan.reset = { mode }));
  await goLive();
  const live = await everything();
  expect(live.ledger).toBe(true);
  await followPage('live');
  expect(await everything()).toEqual({ ...live, ledger: false });
  expect(await leftBehind()).toEqual([backupName()]);
});

test('after live, where people accept the loss, what users wrote is set aside and production restored; or it stays live', async () => {
  await layOut();
  const before = await everything();
  await goLive();
  await onProduction(`update "User" set name = 'written after live' where id = (select min(id) from "User")`);
  const live = await everything();
  // People take it back, behind the page.
  runByHand('become the holder', 'roll back from live', 'page on', 'raise the fence');
  expect(await readOnlyDefault()).toBe('on');
  runByHand('stand down', 'page off');
  expect(await everything()).toEqual(live);
  expect(await readOnlyDefault()).toBeNull();
  expect(await mirrorAndClaim()).toMatchObject([
    { phase: 'live', from: null },
    { phase: 'live', from: null },
  ]);
  await followPage('live', { way: 1, until: 'over' });
  expect(await mirrorAndClaim()).toMatchObject([
    { phase: 'home', window: 3 },
    { phase: 'home', window: 3 },
  ]);
  runByHand('over');
  expect(asideFiles()).toEqual([expect.stringMatching(/_abandoned_.*_3\.sql$/)]);
  expect(readFileSync(path.join(migration.folder, asideFiles()[0] ?? ''), 'utf8')).toContain(
    'written after live',
  );
  expect(await everything()).toEqual(before);
  expect(await leftBehind()).toEqual([backupName()]);
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
  expect(commands).toHaveLength(2);
  for (const command of commands) {
    const { status, stderr } = bash(command);
    expect({
      command,
      status,
      stderr: stderr.replace(/^NOTICE.*|^DETAIL.*|^drop cascades.*|^\s*$/gm, '').trim(),
    }).toEqual({ command, status: 0, stderr: '' });
  }
  expect(await everything()).toEqual({ ...before, ledger: true });
  expect(await readOnlyDefault()).toBeNull();
  expect(existsSync(migration.flagFile)).toBe(false);
});

interface PageEntry {
  phases: string[];
  /** Empty where it doesn't matter. */
  from: string[];
  /** Titles of blocks, in order; more than one where people choose. */
  ways: string[][];
}

function entriesOnPage(): PageEntry[] {
  const list = page().split('<!-- The list below')[1]?.split('<!-- The end of the list')[0] ?? '';
  const names = (text = '') => [...text.matchAll(/`(\w+)`/g)].map(([, name = '']) => name);
  return list
    .split('\n- Phase ')
    .slice(1)
    .map((text) => {
      const [head = '', ...ways] = text.split(/:\n {2}(?:- )?|\n {2}- /);
      const [phases, from] = head.split('going back from');
      return {
        phases: names(phases),
        from: names(from),
        ways: ways.map((way) =>
          [...way.matchAll(/\[([^\]]+)\]/g)].map(([, link = '']) => link.toLowerCase()),
        ),
      };
    });
}

function fits(entry: PageEntry, phase: Phase, from: Phase | null): boolean {
  return entry.phases.includes(phase) && (entry.from.length === 0 || entry.from.includes(from ?? ''));
}

interface Follow {
  from?: Phase;
  /** Ends before this heading. */
  until?: string;
  /** The block instead of "restore". */
  restore?: string;
  /** Which of those that people choose from. */
  way?: number;
}

/** Becomes the holder and follows the page's entry for where the ledger stands. @returns the deploys that it names */
async function followPage(
  phase: Phase,
  { from, until, restore = 'restore', way = 0 }: Follow = {},
): Promise<string[]> {
  runByHand('become the holder');
  expect(await withClient(migration.urls.production, 'test', readClaim)).toMatchObject({
    phase,
    from: from ?? null,
    holder: 'by hand',
  });
  const [entry] = entriesOnPage().filter((item) => fits(item, phase, from ?? null));
  const titles = entry?.ways[way] ?? [];
  const deploys: string[] = [];
  const blocks: string[] = [];
  for (const title of until ? titles.slice(0, titles.indexOf(until)) : titles) {
    if (title === 'look at the old version') continue;
    if (title === 'undo the deploys') {
      runByHand(...blocks.splice(0));
      deploys.push(...runByHand('deploys').trim().split('\n').filter(Boolean));
      blocks.push('deploys undone');
    } else blocks.push(title === 'restore' ? restore : title);
  }
  const shown = runByHand(...blocks);
  // Nothing differs, not even in the definition.
  expect(shown.replace(/^-rw-------.*_abandoned_.*\n/m, '')).toBe('');
  return deploys;
}

async function goLive(): Promise<void> {
  await terminateWhen(async (handle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'monitor');
  });
}

/** The run's own pieces, as its holder, where a terminated workflow can't be stopped in time. */
async function asTheRun(work: (run: HeldRun) => Promise<void>): Promise<void> {
  const plan = readSettings(migration.settingsFile).plans.tumiki;
  const claim = await withClient(migration.urls.production, 'test', readClaim);
  if (!plan || !claim) throw new Error('There is no plan, or no claim.');
  const { namespace, workflowId, firstRunId, holder } = claim;
  const identity = { namespace, workflowId, firstRunId, runId: holder, plan: claim.plan };
  const ending = new AbortController();
  await work(new HeldRun(plan, { identity, key: 'test', attempt: 1, signal: ending.signal })).finally(() =>
    ending.abort(),
  );
}

async function setAside(run: HeldRun): Promise<void> {
  await turnBack(run, { intent: 'goBack', by: [] });
  await beginAside(run);
  await sealAside(run);
}

/** Emptied, with the old definition and none of the rows. */
async function restoreBegun(): Promise<void> {
  await asTheRun(async (run) => {
    await setAside(run);
    const held = new AbortController();
    const holding = new HeldRun(run.plan, {
      identity: run.identity,
      key: 'hold',
      attempt: 1,
      signal: held.signal,
    });
    const hold = holdOwnBackup(holding);
    await empty(run);
    held.abort();
    await hold;
  });
}

async function mirrorAndClaim(): Promise<(Claim | null)[]> {
  const found = [
    await withClient(migration.urls.backup, 'test', readMirror),
    await withClient(migration.urls.production, 'test', readClaim),
  ];
  expect(found[0]).toEqual(found[1]);
  return found;
}

/** Files of databases that were set aside. */
function asideFiles(): string[] {
  return readdirSync(migration.folder).filter((name) => name.includes('_abandoned_'));
}

function backupName(): string {
  return `${migration.production.name}_backup`;
}

/** Databases beside production, schemas in it, and the flag. */
async function leftBehind(): Promise<string[]> {
  const databases = await query<{ name: string }>(
    testPostgres().url('postgres'),
    `select datname as name from pg_database where starts_with(datname, $1) and datname <> $1 order by 1`,
    [migration.production.name],
  );
  const schemas = await query<{ name: string }>(
    migration.urls.production,
    `select nspname as name from pg_namespace where nspname like 'kirikae%'`,
  );
  return [...databases, ...schemas]
    .map(({ name }) => name)
    .concat(existsSync(migration.flagFile) ? 'flag' : []);
}

async function onProduction(sql: string): Promise<void> {
  await withDatabase(migration.urls.production, async (client) => {
    await client.query('set default_transaction_read_only = off');
    await client.query(sql);
  });
}

async function onBackup(sql: string, values?: unknown[]): Promise<void> {
  await query(migration.urls.backup, sql, values);
}

async function nameOfUser(url: string): Promise<unknown> {
  const rows = await query(url, `select name from "User" order by id limit 1`);
  return rows[0]?.name;
}

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
  const shown = status === 0 ? '' : stdout;
  expect({ status, stderr, shown }).toEqual({
    status: 0,
    stderr: expect.not.stringContaining('ERROR') as unknown,
    shown: '',
  });
  return stdout;
}

function runWithBash(...titles: string[]) {
  return bash(['prepare', ...titles].map(block).join('\n'));
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

function page(): string {
  return readFileSync(path.join(packageRoot, 'docs', 'if-it-stops.md'), 'utf8');
}

function block(title: string): string {
  const found = page()
    .split('```sh\n')
    .find((text) => text.startsWith(`# By hand: ${title}\n`));
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
