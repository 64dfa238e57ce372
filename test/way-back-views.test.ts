/** A way back in every view: terminal, log lines, Temporal's UI, report. As much is seen of it as of the way forward. */
import pc from 'picocolors';
import type { InFlight, RunView } from '../cli/run-view';
import { describeChanges } from '../cli/status-changes';
import { renderBrief, renderRun } from '../cli/status-view';
import { STEPS, WAY_BACK_STEPS, type Status, type StepProgress } from '../src/contract';
import { renderReport } from '../src/report/html';
import { describeDetails } from '../workflows/details';

const colors = pc.createColors(false);
const at = (minute: number) => new Date(Date.UTC(2026, 4, 1, 2, minute)).toISOString();
const nowMs = Date.parse(at(30));
const refused = 'connect ECONNREFUSED 127.0.0.1:5432';

const progress: StepProgress = {
  state: 'pending',
  startedAt: null,
  finishedAt: null,
  rows: null,
  rowsTotal: null,
  bytes: null,
  attempt: 1,
  error: null,
};
const done: StepProgress = { ...progress, state: 'done', startedAt: at(20), finishedAt: at(21) };
const restoring: StepProgress = {
  ...progress,
  state: 'running',
  startedAt: at(21),
  rows: 250,
  rowsTotal: 1000,
};

function goingBack(part: Partial<Status> = {}, restore: StepProgress = restoring): Status {
  return {
    plan: 'small',
    step: 'verify',
    phase: 'emptied',
    window: 2,
    outcome: null,
    parked: false,
    live: false,
    waitingFor: null,
    nextAction: 'Nothing: the way back runs by itself.',
    startedAt: at(0),
    downtimeMs: 0,
    predictedEnd: null,
    backup: null,
    steps: STEPS.map((name) => ({
      ...progress,
      name,
      ...(name === 'verify' ? { error: 'Row 7 differs.' } : {}),
    })),
    wayBack: WAY_BACK_STEPS.map((name, index) => ({
      ...(index < WAY_BACK_STEPS.indexOf('restore') ? done : name === 'restore' ? restore : progress),
      name,
    })),
    dropped: [],
    notes: [],
    ...part,
  };
}

function viewOf(status: Status, inFlight: Partial<InFlight>[] = []): RunView {
  const open = { activity: 'copyGroup', step: null, wayBackStep: 'restore', bytes: 0, outage: null } as const;
  return {
    id: 'run-1',
    status,
    execution: 'RUNNING',
    inFlight: inFlight.map((part) => ({
      ...open,
      rows: 0,
      attempt: 1,
      lastFailure: null,
      ...part,
    })),
  };
}

const retried = [{ rows: 250, attempt: 3, lastFailure: refused }];

test('on a terminal: where it is in the header, and its steps as a second table', () => {
  const shown = renderRun(viewOf(goingBack(), retried), colors, nowMs);
  expect(shown).toContain(`run-1  plan small  going back: restore, attempt 3: ${refused}\n`);
  expect(shown).toContain('Phase emptied, window 2');
  expect(shown).toMatch(/way back .* state/);
  expect(shown).toMatch(/restore .* running .* 9m 00s .*█{4}░{4} {2}50% 500 \/ 1,000 .* 3 │/);
  expect(shown).toMatch(/empty .* done .* 1m 00s/);
  expect(shown).toContain(`↻ going back, restore: attempt 3 of copyGroup, ${refused}`);
  const brief = renderBrief(viewOf(goingBack(), retried), colors, nowMs);
  expect(brief).toMatch(/restore .* running/);
  expect(brief).not.toMatch(/preflight|removeBackup/);
});

test('on a terminal: what failed in it when it is parked, and nothing of it on the way forward', () => {
  const failed = { ...restoring, state: 'failed', error: 'Row 9 differs.' } as const;
  const shown = renderRun(viewOf(goingBack({ parked: true }, failed)), colors, nowMs);
  expect(shown).toContain('parked: needs an operator; going back: restore: Row 9 differs.\n');
  expect(shown).toContain('✖ verify: Row 7 differs.\n✖ going back, restore: Row 9 differs.');
  const forward = goingBack({ phase: 'migrated', window: 1, wayBack: [] });
  expect(renderRun(viewOf(forward), colors, nowMs)).not.toMatch(/back:|way back .* state|window/);
});

test('with an activity open between two steps', () => {
  const wayBack = goingBack({}, done).wayBack;
  const open = [{ activity: 'takeStock', wayBackStep: null, attempt: 2, lastFailure: refused }];
  const shown = renderRun(viewOf(goingBack({ wayBack }), open), colors, nowMs);
  expect(shown).toContain(`going back: takeStock, attempt 2: ${refused}\n`);
  expect(shown).toContain(`↻ going back: attempt 2 of takeStock, ${refused}`);
});

test('in a log: a line for each change of phase, step and rows, and none for what is known', () => {
  const forward = goingBack({ phase: 'migrated', window: 1, wayBack: [] });
  const first = describeChanges(viewOf(forward), viewOf(goingBack()));
  expect(first).toContain('phase emptied, window 2');
  expect(first).toContain('going back in window 2, empty: done in 1m 00s');
  expect(first).toContain('going back in window 2, restore: running, 250 of 1,000 rows');
  expect(describeChanges(viewOf(goingBack()), viewOf(goingBack(), retried))).toEqual([
    `going back in window 2, restore: running, 500 of 1,000 rows: ${refused}`,
    `going back, restore: attempt 3 of copyGroup, ${refused}`,
  ]);
  expect(describeChanges(viewOf(goingBack()), viewOf(goingBack()))).toEqual([]);
});

test("in Temporal's UI: header, phase and a second table", () => {
  const details = describeDetails(goingBack({}, { ...restoring, attempt: 2, error: refused }), []);
  expect(details).toContain(`### small: going back: restore, attempt 2: ${refused}\n`);
  expect(details).toContain('Phase `emptied`, window 2\n');
  expect(details).toContain('\n\n| way back | state | rows | try |');
  expect(details).toContain(`| restore | running | 250 of 1000 | 2 | 05-01 02:21:00 |  | ${refused} |`);
});

test('in the report: headline, figures, bars of its own, what went wrong', () => {
  const status = goingBack({}, { ...restoring, attempt: 2, error: refused });
  const page = renderReport(
    {
      workflowId: 'run-1',
      runId: 'r',
      requestedBy: 'alice',
      finishedAt: null,
      checklist: [],
      status,
      decisions: [],
      tables: [],
      checks: [],
    },
    nowMs,
  );
  expect(page).toContain('<h1>Going back</h1>');
  expect(page).toContain(`before the end, going back: restore, attempt 2: ${refused}.</p>`);
  expect(page).toContain('<dt>Phase</dt><dd>emptied</dd></div><div><dt>Window</dt><dd>2</dd>');
  const [, section = ''] = /<h2>Way back \(window 2\)<\/h2>(.*?)<\/section>/s.exec(page) ?? [];
  for (const name of WAY_BACK_STEPS) expect(section).toContain(`<span>${name}`);
  expect(section).toContain('<i class="running" style="left:10.00%;width:90.00%"></i>');
  expect(section).toContain('9m 00s · 250 of 1,000 rows · attempt 2');
  expect(page).toContain(`<li><b>going back, restore</b>: ${refused}</li>`);
});
