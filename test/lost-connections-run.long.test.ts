/** Runs whose connection is cut once, in migrate, in verify and in the restore: each ends by itself. */
import { learntOf } from '../activities/learnt';
import { type Watch } from '../lab/soak/proxy';
import { readBackup } from '../src/backup/manifest';
import { KirikaeError } from '../src/errors';
import { verifyMigration } from '../src/migrate/verify';
import { withClient } from '../src/postgres/connect';
import { findPlan, readSettings } from '../src/settings/read';
import { endOf, openProxy, type Proxied } from './support/cut-proxy';
import { approve, untilStatus, type Migration } from './support/migration';
import { expectRolledBack, runToEnd, sceneForEach } from './support/way-back';
import { stateOf } from '../lab/database-state';
jest.setTimeout(120_000);

const signal = new AbortController().signal;
const session = { label: 'test', lanes: 2, signal };

describe('a run whose connection is cut once', () => {
  const scene = sceneForEach('lost-connections', 20);
  let migration: Migration;
  let proxy: Proxied | undefined;

  beforeEach(async () => {
    migration = await scene.layOut((plan) => {
      plan.smoke = [{ name: 'Looks right', kind: 'manual' }];
    });
  });
  afterEach(() => proxy?.cut());

  /** From here on the worker reaches its databases through a proxy that watches. */
  async function putProxyBetween(watch: Watch): Promise<void> {
    const between = await openProxy(watch);
    proxy = between;
    for (const [name, url] of Object.entries(migration.env)) process.env[name] = between.to(url ?? '');
  }

  const assertion = /^select count\(\*\) as rows from \(\s*select u\."id"/;
  const hashing = /^select count\(\*\) as rows, coalesce\(sum\(/;

  test('while verify reads an assertion goes on to its end; neither that nor the hashing takes it for a difference', async () => {
    let asserted = 0;
    await putProxyBetween((_, text) => {
      if (!assertion.test(text)) return 'pass';
      asserted += 1;
      return asserted === 1 ? 'cut after' : 'pass';
    });
    const ended = await runToEnd(scene, migration, async (handle) => {
      await approve(handle);
      await untilStatus(handle, ({ step, waitingFor }) => step === 'smoke' && waitingFor !== null);
      expect(asserted).toBe(2);
      expect(await verifyThrough(assertion, 'session')).toBe('Outage');
      expect(await verifyThrough(hashing, 'hashing')).toBe('Outage');
      await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: true }] });
    });
    expect(ended.status.outcome).toBe('migrated');
  });

  test.each([
    ['makes its keys', /^set client_min_messages = warning;\n/],
    ['analyzes its tables', /^analyze "/],
  ])('while migrate %s goes on to its end', async (_, statement) => {
    let isReset = false;
    let isBuilding = false;
    let cuts = 0;
    await putProxyBetween((_type, text) => {
      isReset ||= /^lock table only .* in share mode$/.test(text);
      isBuilding ||= isReset && text.startsWith('set max_parallel_maintenance_workers = 0');
      if (!isBuilding || cuts > 0 || !statement.test(text)) return 'pass';
      cuts += 1;
      return 'cut after';
    });
    const ended = await runToEnd(scene, migration, async (handle) => {
      await approve(handle);
      await untilStatus(handle, ({ step, waitingFor }) => step === 'smoke' && waitingFor !== null);
      await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: true }] });
    });
    expect(cuts).toBe(1);
    expect(ended.status.outcome).toBe('migrated');
    expect(ended.status.steps.find(({ name }) => name === 'migrate')?.state).toBe('done');
  });

  /** Verifies the migrated database through a proxy that cuts the first such statement, and says how that ends. */
  async function verifyThrough(statement: RegExp, what: 'session' | 'hashing'): Promise<string> {
    const between = await openProxy((_, text) => (statement.test(text) ? 'cut after' : 'pass'));
    const { urls } = migration;
    const production = between.to(urls.production);
    try {
      return await withClient(what === 'session' ? production : urls.production, 'test', (client) =>
        withClient(urls.backup, 'test', async (backup) => {
          const { manifest } = await readBackup(backup);
          if (!manifest) throw new KirikaeError('StepFailed', 'The backup is not sealed.');
          const plan = findPlan(readSettings(migration.settingsFile), 'tumiki');
          const learnt = await withClient(urls.production, 'test', learntOf);
          const databases = {
            production: {
              title: 'production',
              client,
              url: what === 'hashing' ? production : urls.production,
            },
            backup: { title: 'the backup', client: backup, url: urls.backup },
          };
          return endOf(verifyMigration(databases, { plan, manifest, learnt }, session));
        }),
      );
    } finally {
      await between.cut();
    }
  }

  test('while the restore makes its keys still ends rolled back, with production as it was', async () => {
    const before = await stateOf(migration.production.url);
    let isRestoring = false;
    let isBuilding = false;
    let cuts = 0;
    await putProxyBetween((_, text) => {
      isRestoring ||= /^select coalesce\(max\(attempt\), 0\) as last from kirikae\.stage/.test(text);
      isBuilding ||= isRestoring && text.startsWith('set max_parallel_maintenance_workers = 0');
      if (!isBuilding || cuts > 0 || !/^set client_min_messages = warning;\n/.test(text)) return 'pass';
      cuts += 1;
      return 'cut after';
    });
    const ended = await runToEnd(scene, migration, async (handle) => {
      await approve(handle);
      await untilStatus(handle, ({ step, waitingFor }) => step === 'smoke' && waitingFor !== null);
      await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: false }] });
    });
    expect(cuts).toBe(1);
    await expectRolledBack(migration, ended, { before, step: 'smoke', because: /Looks right/ });
  });
});
