/** Turns that people and witnesses take: standing down, a page found off, a ledger that stepped back, a backup that stays. */
import type { WorkflowHandle } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { CommandName } from '../src/contract';
import { failure, makeStubs, openTimeSkipping, withStubbedRun, type Stubs } from './support/stubbed-run';
import { overtaken, type StubClaim } from './support/stub-world';
import { approve, ending, untilStatus } from './support/talk';

let environment: TestWorkflowEnvironment;
beforeAll(async () => {
  environment = await openTimeSkipping();
});
afterAll(() => environment.teardown());

const hourMs = 3_600_000;
const whole = (rows: 'old' | 'new') => ({
  claim: null,
  page: 'off',
  fenceOn: false,
  rows,
  wrongs: [] as string[],
});
const say = (handle: WorkflowHandle, name: CommandName, payload = {}) =>
  handle.executeUpdate(name, { args: [{ by: 'bob', ...payload }] });
const parked = (handle: WorkflowHandle, sentence = '') =>
  untilStatus(handle, (s) => s.parked && s.waitingFor?.includes(sentence) === true);
const monitored = () => makeStubs({ monitor: { forMs: hourMs, everyMs: hourMs } });

test('a roll back whose backup is not what was sealed stands down by itself, and users stay in', async () => {
  const stubs = monitored();
  const status = await withStubbedRun(environment, stubs, async (handle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'monitor');
    stubs.world.backup = 'changed';
    await say(handle, 'rollBack', { acceptLoss: true });
    await untilStatus(handle, (s) => s.notes.some((note) => note.includes('at live again')));
    return ending(handle);
  });
  expect(status).toMatchObject({ outcome: 'migrated', live: true });
  expect(status.notes.join()).toContain('The backup is not what was sealed. Production stays live');
  expect(stubs.rollBacks).toBe(1);
  expect(stubs.world).toMatchObject(whole('new'));
});

test.each([
  ['a failure', (handle: WorkflowHandle) => say(handle, 'confirm', { check: 'Log in', passed: false })],
  ['a cancel', (handle: WorkflowHandle) => handle.cancel()],
] as const)(
  'a parked way back after %s is taken back from verified, and the run goes on to its end',
  async (_what, leave) => {
    const stubs = makeStubs({ smoke: [{ name: 'Log in', kind: 'manual' }] });
    stubs.failures.proveBackup = [failure('The backup is not what was sealed.', 'DataDiffer')];
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
      await leave(handle);
      expect((await parked(handle)).waitingFor).toContain('the new database is whole and verified');
      await say(handle, 'standDown');
      await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor?.includes('Log in') === true);
      await say(handle, 'confirm', { check: 'Log in', passed: true });
      return ending(handle);
    });
    expect(status.outcome).toBe('migrated');
    expect(stubs.world).toMatchObject(whole('new'));
  },
);

describe('a ledger that is behind its mirror', () => {
  const behind = async (stubs: Stubs, handle: WorkflowHandle) => {
    await approve(handle);
    await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
    // Production's server came back from an older state.
    const { claim } = stubs.world;
    if (claim) claim.standing = { phase: 'fenced', seq: 3, window: 1, from: null };
    await handle.cancel();
    expect((await parked(handle, 'fenced (number 3)')).nextAction).toContain('roll-back');
  };

  test('parks, retry restores nothing, and rollBack with acceptLoss adopts what the mirror knows and goes back', async () => {
    const stubs = makeStubs({ smoke: [{ name: 'Log in', kind: 'manual' }] });
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await behind(stubs, handle);
      await say(handle, 'retry');
      await parked(handle, 'fenced (number 3)');
      expect(stubs.calls).not.toContain('adopt');
      await say(handle, 'rollBack', { acceptLoss: true });
      return ending(handle);
    });
    expect(status.outcome).toBe('cancelled');
    expect(stubs.calls).toContain('adopt');
    expect(stubs.world).toMatchObject(whole('old'));
  });

  test('is left as it is by settle', async () => {
    const stubs = makeStubs({ smoke: [{ name: 'Log in', kind: 'manual' }] });
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await behind(stubs, handle);
      await say(handle, 'settle');
      return ending(handle);
    });
    expect(status.outcome).toBe('needs-operator');
    expect(stubs.world).toMatchObject({ page: 'on', rows: 'new' });
  });
});

test.each([
  ['retry', 'migrated', 'new'],
  ['rollBack', 'rolled-back', 'old'],
] as const)(
  'a page that was found off with late rows parks before live, and %s ends the run as %s',
  async (answer, outcome, rows) => {
    const stubs = makeStubs({ smoke: [{ name: 'Log in', kind: 'manual' }] });
    let found: () => void = () => undefined;
    stubs.watchPage = () =>
      new Promise((_resolve, reject) => {
        found = () => reject(failure('The page was found off. Rows were written.', 'NeedsOperator'));
      });
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
      stubs.watchPage = () => undefined;
      stubs.world.lateRows = 3;
      found();
      await parked(handle, 'Rows were written.');
      await say(handle, answer, { acceptLoss: true });
      if (answer === 'retry') {
        await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor?.includes('Log in') === true);
        await say(handle, 'confirm', { check: 'Log in', passed: true });
      }
      return ending(handle);
    });
    expect(status.outcome).toBe(outcome);
    expect(stubs.world).toMatchObject(whole(rows));
    if (answer === 'rollBack') expect(stubs.world.rowsAside).toBe(3);
  },
);

test('a backup that cannot be removed within the patience is left and named', async () => {
  const stubs = makeStubs({ patienceMs: 5_000 });
  stubs.failures['copyGroup backup'] = [failure('It broke.')];
  stubs.failures.removeBackup = Array.from({ length: 50 }, () => failure('connect ECONNREFUSED', 'Outage'));
  const status = await withStubbedRun(environment, stubs, ending);
  expect(status.outcome).toBe('rolled-back');
  expect(status.notes.join()).toContain('The backup shop_backup could not be removed and is left');
  expect(stubs.world).toMatchObject(whole('old'));
});

test('a ledger that is dropped at live, while the page shows yet, ends as migrated only when the page is down', async () => {
  const stubs = makeStubs();
  stubs.replace.goLive = () => {
    const moved = stubs.world.mirrored(stubs.world.claim as StubClaim);
    stubs.world.claim = null;
    return moved;
  };
  const status = await withStubbedRun(environment, stubs, async (handle) => {
    await approve(handle);
    await parked(handle, 'The page shows: take it down.');
    expect(stubs.world.page).toBe('on');
    stubs.world.page = 'off';
    await say(handle, 'retry');
    return ending(handle);
  });
  expect(status).toMatchObject({ outcome: 'migrated', live: true });
  expect(stubs.world).toMatchObject(whole('new'));
});

test('a ledger that was taken over and then dropped is missed: production is not called untouched', async () => {
  const stubs = makeStubs();
  stubs.replace.beginBackup = () => {
    if (stubs.world.claim) stubs.world.claim.holder = 'recover';
    throw overtaken('The ledger in production is held by recover.');
  };
  const status = await withStubbedRun(environment, stubs, async (handle) => {
    await parked(handle, 'held by recover');
    stubs.replace.takeOver = () => {
      stubs.world.claim = null;
    };
    await say(handle, 'retry');
    await parked(handle, "Production's ledger is gone");
    await say(handle, 'settle');
    return ending(handle);
  });
  expect(status.outcome).toBe('needs-operator');
});

test('a watching of the page that fails is begun again, and noted', async () => {
  const stubs = makeStubs();
  stubs.failures.watchPage = [failure('The program of the page is gone.')];
  const status = await withStubbedRun(environment, stubs, async (handle) => {
    await untilStatus(handle, (s) => s.step === 'approval' && s.notes.length > 0);
    await environment.sleep('15s');
    await approve(handle);
    return ending(handle);
  });
  expect(status.outcome).toBe('migrated');
  expect(status.notes.join()).toContain('is begun again: The program of the page is gone.');
  expect(stubs.calls.filter((call) => call === 'watchPage').length).toBeGreaterThan(1);
});
