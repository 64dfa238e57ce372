/** The way back after the reset, from every later step: restored from the backup, proved identical, page off last. */
import type { WorkflowHandle } from '@temporalio/client';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import { stateOf } from '../lab/database-state';
import { brokenByRows, query, schemaWith, tumikiFolder, until, withDatabase } from '../lab/stage';
import { hasDatabase, testPostgres } from './support/environment';
import { gateSql, readerOf, shutGate } from './support/gate';
import {
  type Migration,
  type PlanChange,
  approve,
  changePlan,
  untilStatus,
  backupOf,
} from './support/migration';
import { expectAsBefore, expectRolledBack, runToEnd, sceneForEach } from './support/way-back';

const scene = sceneForEach('back-late');
let migration: Migration;

const bothDeploysThereAndBack = ['manager new', 'proxy new', 'proxy old', 'manager old'];

// A failure after the reset keeps the backup: it is the proof of what was restored.
async function expectRestored(
  step: string,
  because: RegExp,
  during: Parameters<typeof runToEnd>[2] = approve,
): Promise<string[]> {
  const before = await stateOf(migration.production.url);
  const ending = await runToEnd(scene, migration, during);
  await expectRolledBack(migration, ending, { before, step, because });
  expect(await hasDatabase(backupOf(migration))).toBe(true);
  expect(ending.status.steps.find(({ name }) => name === 'reset')?.state).toBe('undone');
  return ending.status.notes;
}

test('restores when the schema command succeeds on the shadow and fails half-way on production', async () => {
  migration = await scene.layOut();
  const script = path.join(migration.folder, 'deploy-schema.js');
  writeFileSync(
    script,
    `const { execFileSync } = require('node:child_process');
     const { readdirSync } = require('node:fs');
     const url = process.env.TARGET_URL;
     const psql = (...args) => execFileSync(${JSON.stringify(path.join(testPostgres().bin, 'psql'))}, ['-qX', '-v', 'ON_ERROR_STOP=1', url, ...args], { stdio: 'inherit' });
     const dir = ${JSON.stringify(path.join(tumikiFolder, 'schema', 'after'))};
     const files = readdirSync(dir).sort().map((file) => dir + '/' + file);
     for (const file of url.includes('_shadow') ? files : files.slice(0, 2)) psql('-f', file);
     if (!url.includes('_shadow')) { console.error('no licence for production'); process.exit(3); }`,
  );
  changePlan(migration, (plan) => {
    plan.schema = { kind: 'command', run: ['node', script], urlEnv: ['TARGET_URL'] };
  });
  await expectRestored('deploySchema', /exited with code 3; its last output: .*no licence for production/);
  expect(migration.log()).toEqual([]);
});

test('restores when the rows violate a check that comes after them', async () => {
  migration = await scene.layOut();
  const dir = schemaWith(migration, brokenByRows);
  changePlan(migration, (plan) => (plan.schema = { kind: 'sql', dir }));
  await expectRestored('migrate', /check constraint "fails_on_purpose" .*is violated by some row/);
  expect(migration.log()).toEqual([]);
});

test('restores when it is cancelled in the middle of the copy', async () => {
  migration = await scene.layOut();
  const dir = schemaWith(migration, gateSql('Vote'));
  changePlan(migration, (plan) => (plan.schema = { kind: 'sql', dir }));
  const before = await stateOf(migration.production.url);
  const gate = await shutGate(migration.production.url);
  try {
    const ending = await runToEnd(scene, migration, async (handle) => {
      await approve(handle);
      await gate.reached();
      await handle.cancel();
    });
    expect(ending).toMatchObject({
      closed: 'CANCELLED',
      status: { outcome: 'cancelled', parked: false, live: false },
    });
    expect(ending.status.steps.filter(({ state }) => state === 'failed').map(({ name }) => name)).toEqual([
      'migrate',
    ]);
  } finally {
    await gate.open();
  }
  await expectAsBefore(migration, before);
});

test('restores when an assertion of the mapping finds a row', async () => {
  migration = await scene.layOut();
  const mapping = parse(readFileSync(path.join(tumikiFolder, 'mapping.yaml'), 'utf8')) as {
    assertions: { name: string; sql: string }[];
  };
  mapping.assertions.push({ name: 'nobody is called that', sql: 'select "id" from "User"' });
  writeFileSync(path.join(migration.folder, 'mapping.yaml'), stringify(mapping));
  changePlan(migration, (plan) => (plan.mapping = './mapping.yaml'));
  await expectRestored('verify', /the assertion "nobody is called that" fails: it returned 50 rows/);
  expect(migration.log()).toEqual([]);
});

test('brings back every deploy that began, last first, when one exits non-zero', async () => {
  migration = await scene.layOut(deploying('proxy', `console.error('quota'); process.exit(9)`));
  await expectRestored('deploy', /exited with code 9; its last output: quota/);
  expect(migration.log()).toEqual(['manager new', 'proxy old', 'manager old']);
});

test('takes a deploy that outlives its limit for failed, and ends all its processes', async () => {
  const pids = path.join(scene.folder, 'pids');
  const program = `
    const fs = require('node:fs');
    const child = require('node:child_process').spawn('sleep', ['600'], { stdio: 'inherit' });
    fs.writeFileSync(${JSON.stringify(pids)}, process.pid + ' ' + child.pid);
    setInterval(() => {}, 1000)`;
  migration = await scene.layOut(deploying('manager', program, '1s'));
  await expectRestored(
    'deploy',
    /still running after its limit of 1 s and was ended. A time-out is a failure/,
  );
  expect(migration.log()).toEqual(['manager old']);
  const started = readFileSync(pids, 'utf8').split(' ');
  expect(started).toHaveLength(2);
  await until(() => Promise.resolve(!started.some(isAlive)));
});

test('restores when a smoke check fails, without the checks of the old version where the plan has none', async () => {
  migration = await scene.layOut((plan) => (plan.rollbackSmoke = []));
  migration.health.status = 500;
  await expectRestored('smoke', /"API answers" fails at .*: expected status 200, got 500/);
  expect(migration.log()).toEqual(bothDeploysThereAndBack);
});

test('runs the checks of the old version before the page goes down', async () => {
  const seen = path.join(scene.folder, 'seen');
  migration = await scene.layOut((plan) => {
    const [{ run }] = plan.deploy as [{ run: string[] }];
    const log = /appendFileSync\("([^"]+)"/.exec(run[2] ?? '')?.[1] ?? '';
    // Content with the old version only; it notes what it sees of the deploys and of the page each time.
    const check = `
      const fs = require('node:fs');
      const log = ${JSON.stringify(log)};
      const last = fs.existsSync(log) ? fs.readFileSync(log, 'utf8').trim().split('\\n').pop() : 'manager old';
      const page = fs.existsSync(${JSON.stringify(path.join(path.dirname(log), 'run', 'maintenance.on'))});
      fs.appendFileSync(${JSON.stringify(seen)}, last + ', page ' + (page ? 'on' : 'off') + '\\n');
      process.exit(last === 'manager old' ? 0 : 1)`;
    plan.smoke = [{ name: 'old client', kind: 'command', run: ['node', '-e', check] }];
    plan.rollbackSmoke = plan.smoke;
  });
  await expectRestored('smoke', /exited with code 1/);
  expect(readFileSync(seen, 'utf8').trim().split('\n')).toEqual([
    'manager old, page off',
    'proxy new, page on',
    'manager old, page on',
  ]);
});

test('restores when a person says that a manual check failed, and keeps the database with rows written since verify aside', async () => {
  migration = await scene.layOut((plan) => {
    (plan.smoke as unknown[]).push({ name: 'Existing user can log in', kind: 'manual' });
  });
  const notes = await expectRestored(
    'smoke',
    /The manual check "Existing user can log in" failed, said bob/,
    async (handle) => {
      await approve(handle);
      await untilStatus(handle, ({ step, waitingFor }) => step === 'smoke' && waitingFor !== null);
      await withDatabase(migration.production.url, (client) =>
        client.query(
          `update "User" set name = 'job' where id in (select id from "User" order by id limit 3)`,
        ),
      );
      const confirm = { by: 'bob', check: 'Existing user can log in', passed: false };
      await handle.executeUpdate('confirm', { args: [confirm] });
    },
  );
  const kept =
    /as it was before it was emptied is kept as (\S+) \(\d+ rows\)/.exec(notes.join(' '))?.[1] ?? '';
  expect(kept).toMatch(new RegExp(`^${migration.production.name}_backup_abandoned_.+_1$`));
  const written = `select count(*)::int as n from "User" where name = 'job'`;
  expect(await query(testPostgres().url(kept), written)).toEqual([{ n: 3 }]);
  expect(migration.log()).toEqual(bothDeploysThereAndBack);
});

// Nothing was written, so nothing was copied aside: whether that is still so can't be told when the counters are gone.
test.each(['drop', 'keep'])(
  'copies the database aside by itself when the counters go before it is emptied (reset.mode %s)',
  async (mode) => {
    migration = await scene.layOut((plan) => {
      plan.reset = { mode };
      plan.smoke = [{ name: 'Looks right', kind: 'manual' }];
    });
    const notes = await expectRestored('smoke', /The manual check "Looks right" failed/, async (handle) => {
      const held = await failWhileHeld(handle);
      await withDatabase(migration.production.url, (client) => client.query('select pg_stat_reset()'));
      await held.letGo();
    });
    expect(notes.join(' ')).toMatch(/as it was before it was emptied is kept as \S+ \(\d+ rows\)/);
  },
);

test('old objects that are changed while they are to be moved home stay where they are', async () => {
  migration = await scene.layOut((plan) => {
    plan.reset = { mode: 'keep' };
    plan.smoke = [{ name: 'Looks right', kind: 'manual' }];
  });
  const notes = await expectRestored('smoke', /The manual check "Looks right" failed/, async (handle) => {
    const held = await failWhileHeld(handle);
    await withDatabase(migration.production.url, (client) =>
      client.query(`begin read write; delete from kirikae_old_1."Vote"; commit`),
    );
    await held.letGo();
    const { waitingFor } = await untilStatus(handle, ({ parked }) => parked);
    expect(waitingFor).toMatch(/changed while they were to be moved home, so nothing was moved: .*"Vote"/);
    await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
  });
  expect(notes.join(' ')).toContain("so the backup's rows are copied back");
});

// A reader of the new database keeps it from being emptied, once the way back has looked at everything.
async function failWhileHeld(handle: WorkflowHandle): Promise<{ letGo: () => Promise<void> }> {
  await approve(handle);
  await untilStatus(handle, ({ step, waitingFor }) => step === 'smoke' && waitingFor !== null);
  const reader = await readerOf(migration.production.url, '"User"');
  await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: false }] });
  await reader.isWaitedFor();
  return reader;
}

function deploying(name: string, program: string, timeout = '1m'): PlanChange {
  return (plan) => {
    const deploy = (plan.deploy as { name: string; run: string[]; timeout: string }[]).find(
      (item) => item.name === name,
    );
    if (deploy) Object.assign(deploy, { run: ['node', '-e', program], timeout });
  };
}

function isAlive(pid: string): boolean {
  if (!existsSync(`/proc/${pid}`)) return false;
  return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}
