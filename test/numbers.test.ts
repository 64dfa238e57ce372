/** Figures that people read beside each other: rows against totals, the state of the backup, the predicted end. */
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { stepsWithInFlight, type RunView } from '../cli/run-view';
import { renderRun } from '../cli/status-view';
import { countRows, sumRows } from '../src/mapping/row-counts';
import { all, withClient } from '../src/postgres/connect';
import { STEPS, type Status, type StepStatus } from '../src/contract';
import pc from 'picocolors';
import { parkedChoices, confirmationChoices, approvalChoices } from '../workflows/choices';
import { describeDetails } from '../workflows/details';
import { predictWindowMs, withSettledNumbers } from '../workflows/progress';
import { createDatabase } from './support/environment';
import { approve, ending, statusOf, untilStatus } from './support/talk';
import { failure, makeStubs, openTimeSkipping, withStubbedRun } from './support/stubbed-run';

const step = (part: Partial<StepStatus>): StepStatus => ({
  name: 'reset',
  state: 'running',
  startedAt: null,
  finishedAt: null,
  rows: null,
  rowsTotal: null,
  bytes: null,
  attempt: 1,
  error: null,
  ...part,
});

describe('rows of a step', () => {
  test.each([
    ['a finished step has all of them', { state: 'done', rowsTotal: 7 }, { rows: 7, rowsTotal: 7 }],
    ['more than an estimate are no more than all', { rows: 8, rowsTotal: 7 }, { rows: 8, rowsTotal: 8 }],
    ['an estimate ends with the step', { state: 'done', rows: 6, rowsTotal: 7 }, { rows: 6, rowsTotal: 6 }],
    ['a step under way has some', { rows: 3, rowsTotal: 7 }, { rows: 3, rowsTotal: 7 }],
    [
      'a failed step keeps what it had',
      { state: 'failed', rows: 3, rowsTotal: 7 },
      { rows: 3, rowsTotal: 7 },
    ],
    ['a step without rows has none', { state: 'done' }, { rows: null, rowsTotal: null }],
  ] as const)('%s', (_title, given, expected) => {
    expect(withSettledNumbers(step(given))).toMatchObject(expected);
  });

  test('in flight never exceed the total, nor add to a step that is over', () => {
    const flying = {
      activity: 'copyGroup',
      wayBackStep: null,
      rows: 40,
      bytes: 1,
      outage: null,
      attempt: 1,
      lastFailure: null,
    };
    const view = viewOf(
      {
        steps: [
          step({ rows: 90, rowsTotal: 100 }),
          step({ name: 'backup', state: 'done', rows: 5, rowsTotal: 5 }),
        ],
      },
      [
        { step: 'reset', ...flying },
        { step: 'backup', ...flying },
      ],
    );
    expect(stepsWithInFlight(view).map(({ rows, rowsTotal }) => [rows, rowsTotal])).toEqual([
      [100, 100],
      [5, 5],
    ]);
  });
});

describe('the predicted end', () => {
  test('is seconds for a small database, and grows with bytes, tables and the schema step', () => {
    expect(predictWindowMs({ bytes: 46e6, tables: 27, schemaStepMs: 500 })).toBeLessThan(20_000);
    expect(predictWindowMs({ bytes: 641e6, tables: 27, schemaStepMs: 500 })).toBeGreaterThan(38_400);
    expect(predictWindowMs({ bytes: 0, tables: 500, schemaStepMs: 60_000 })).toBe(95_000);
  });

  test('is not shown once the run is live', () => {
    const status = { predictedEnd: new Date(0).toISOString() };
    const colors = pc.createColors(false);
    expect(renderRun(viewOf({ ...status, live: true }), colors)).not.toContain('overdue');
    expect(renderRun(viewOf(status), colors)).toContain('overdue');
  });
});

describe('a run', () => {
  let environment: TestWorkflowEnvironment;
  beforeAll(async () => {
    environment = await openTimeSkipping();
  });
  afterAll(() => environment.teardown());

  test('shows all rows of every finished step, and the new rows where the new tables are read', async () => {
    const stubs = makeStubs();
    stubs.replace.copyGroup = ({ phase }) => ({ rows: phase.name === 'migrate' ? 6 : 5, bytes: 100 });
    stubs.replace.verify = () => ({ tables: [], dropped: [], rows: 6, assertions: [] });
    const status = await withStubbedRun(environment, stubs, async (handle) => {
      await approve(handle);
      return ending(handle);
    });
    expect(rowsOf(status)).toEqual({ backup: [5, 5], reset: [5, 5], migrate: [6, 6], verify: [6, 6] });
  });

  test('keeps its backup done when it went back from it, and undone when it was removed', async () => {
    const stateAfter = async (call: string) => {
      const stubs = makeStubs();
      stubs.failures[call] = [failure('broken')];
      const { steps } = await withStubbedRun(environment, stubs, async (handle) => {
        await approve(handle);
        return ending(handle);
      });
      return steps.find(({ name }) => name === 'backup')?.state;
    };
    expect(await stateAfter('verify')).toBe('done');
    expect(await stateAfter('probePage')).toBe('undone');
  });

  test('moves its predicted end by the hour that an approval took', async () => {
    const stubs = makeStubs({ smoke: [{ name: 'Log in', kind: 'manual' }] });
    await withStubbedRun(environment, stubs, async (handle) => {
      const asked = await untilStatus(handle, (s) => s.step === 'approval' && s.waitingFor !== null);
      const { fingerprint } = asked.backup ?? {};
      expect(asked.waitingSince).not.toBeNull();
      await environment.sleep('1h');
      await handle.executeUpdate('approve', { args: [{ by: 'bob', fingerprint }] as [unknown] });
      const later = await untilStatus(handle, (s) => s.step === 'smoke' && s.waitingFor !== null);
      const movedMs = Date.parse(later.predictedEnd ?? '') - Date.parse(asked.predictedEnd ?? '');
      expect(movedMs).toBeGreaterThanOrEqual(3_600_000);
      expect(movedMs).toBeLessThan(3_700_000);
      const args = [{ by: 'bob', check: 'Log in', passed: true }] as [unknown];
      await handle.executeUpdate('confirm', { args });
      expect((await ending(handle)).outcome).toBe('migrated');
      expect((await statusOf(handle)).waitingSince).toBeNull();
    });
  });
});

describe('what is to be typed', () => {
  const said = describeDetails(
    {
      ...viewOf({
        step: 'smoke',
        waitingFor: 'a person',
        notes: ['To lift the fence: psql "$URL" -c \'…\''],
      }).status,
    },
    [
      ...approvalChoices('run-1', 'f00d'),
      ...confirmationChoices('run-1', `it's "up"`),
      ...parkedChoices('run-1', { standDown: true, rollBack: true }),
    ],
  );
  const blocks = [...said.matchAll(/^```(\w+)\n(.*?)\n```$/gms)].map(([, language, text]) => ({
    language,
    text,
  }));

  test('stands in code blocks alone: valid JSON, and commands for a shell', () => {
    const payloads = blocks
      .filter(({ language }) => language === 'json')
      .map(({ text }) => JSON.parse(text ?? '') as unknown);
    expect(payloads).toEqual([
      { by: 'YOUR NAME', fingerprint: 'f00d' },
      { by: 'YOUR NAME', fingerprint: 'f00d' },
      { by: 'YOUR NAME', check: `it's "up"`, passed: true },
      { by: 'YOUR NAME', check: `it's "up"`, passed: false },
      { by: 'YOUR NAME' },
      { by: 'YOUR NAME' },
      { by: 'YOUR NAME', acceptLoss: true },
      { by: 'YOUR NAME' },
    ]);
    const commands = blocks.filter(({ language }) => language === 'sh').map(({ text }) => text ?? '');
    // Narrow lines, which a shell reads as one.
    expect(Math.max(...commands.flatMap((text) => text.split('\n')).map((line) => line.length))).toBeLessThan(
      60,
    );
    expect(commands.map((text) => text.replaceAll(' \\\n  ', ' '))).toEqual([
      `kirikae approve run-1 --by 'YOUR NAME' --fingerprint f00d`,
      `kirikae reject run-1 --by 'YOUR NAME' --fingerprint f00d`,
      `kirikae confirm run-1 --by 'YOUR NAME' --check 'it'\\''s "up"'`,
      `kirikae confirm run-1 --by 'YOUR NAME' --check 'it'\\''s "up"' --failed`,
      `kirikae retry run-1 --by 'YOUR NAME'`,
      `kirikae stand-down run-1 --by 'YOUR NAME'`,
      `kirikae roll-back run-1 --by 'YOUR NAME' --accept-loss`,
      `kirikae settle run-1 --by 'YOUR NAME'`,
      `psql "$URL" -c '…'`,
    ]);
  });

  test('stands nowhere in the prose', () => {
    const prose = said.replace(/^```.*?^```$/gms, '');
    expect(prose).not.toMatch(/kirikae |psql|[{}]/);
  });
});

test('rows of tables that were never analysed are counted, or sampled and said to be about so many', async () => {
  const { url } = await createDatabase('numbers');
  await withClient(url, 'numbers', async (client) => {
    await client.query(`set search_path = public; create table few as select 1 as id; create table many as select generate_series(1, 30000) as id;
      create table wider (id int, text text); alter table wider alter text set storage plain;
      insert into wider select generate_series(1, 3000), repeat('x', 7000)`);
    const oids = (
      await all<{ oid: number }>(client, `select unnest('{few,many,wider}'::regclass[])::oid as oid`)
    ).map(({ oid }) => Number(oid));
    const counts = await countRows(client, oids);
    const [few, many, wider] = oids.map((oid) => counts.get(oid));
    expect([few, many]).toEqual([
      { rows: 1, isEstimate: false },
      { rows: 30_000, isEstimate: false },
    ]);
    expect(wider?.isEstimate).toBe(true);
    expect(Math.abs((wider?.rows ?? 0) - 3_000)).toBeLessThan(300);
    expect(sumRows(counts.values()).isEstimate).toBe(true);
  });
});

function rowsOf({ steps }: Status): Record<string, [number | null, number | null]> {
  return Object.fromEntries(
    steps
      .filter(({ rowsTotal }) => rowsTotal !== null)
      .map(({ name, rows, rowsTotal }) => [name, [rows, rowsTotal]]),
  );
}

function viewOf(part: Partial<Status>, inFlight: RunView['inFlight'] = []): RunView {
  const status: Status = {
    plan: 'small',
    step: 'reset',
    phase: null,
    window: 1,
    outcome: null,
    parked: false,
    live: false,
    waitingFor: null,
    nextAction: 'Nothing: the run goes on by itself.',
    startedAt: new Date(0).toISOString(),
    downtimeMs: 0,
    predictedEnd: null,
    backup: null,
    steps: STEPS.map((name) => step({ name, state: 'pending' })),
    wayBack: [],
    dropped: [],
    notes: [],
    ...part,
  };
  return { id: 'run-1', status, inFlight, execution: 'RUNNING' };
}
