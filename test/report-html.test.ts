// The report as a page: complete, self-contained, and safe whatever the texts say.
import { type Outcome, OUTCOMES, type Report, STEPS, type Status } from '../src/contract';
import { renderReport } from '../src/report/html';

const at = (minute: number) => new Date(Date.UTC(2026, 4, 1, 2, minute)).toISOString();

test('shows outcome, downtime, steps, tables, drops, checks, decisions and the fingerprint', () => {
  const page = renderReport(report());
  for (const text of [
    '<h1>Migrated</h1>',
    'Production is completely new and verified.',
    '<dt>Downtime</dt><dd>12m 00s</dd>',
    '<code>Organization</code></td><td class="number">12</td><td class="number">2,012</td>',
    'Organization (12) + User (2000)',
    'no longer used',
    '<b class="fail">failed</b>',
    'looked at the drops',
    'f1n6e7',
    '✓ Rehearsal passed',
    'A webhook failed.',
  ]) {
    expect(page).toContain(text);
  }
  for (const step of STEPS) expect(page).toContain(`<span>${step}`);
});

test('needs nothing but itself', () => {
  const page = renderReport(report());
  expect(page).not.toMatch(/<script|<link|<img|src=|href=|@import|url\(/);
});

test('escapes every text of the run', () => {
  const nasty = `<img src=x onerror="alert('1')">&`;
  const page = renderReport(replaceTexts(report(), nasty));
  expect(page).not.toContain('<img');
  expect(page).toContain('&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;');
});

test.each(OUTCOMES)('has a headline and a sentence for %s', (outcome: Outcome) => {
  const page = renderReport(report({ outcome }));
  expect(page).toMatch(/<h1>[A-Z][a-z ]+<\/h1>\n<p class="lead">[A-Z][^<]+\.<\/p>/);
});

test('does not squeeze the window when monitoring takes a day', () => {
  const page = renderReport(report());
  expect(page).toMatch(
    /backup<\/span><div class="track"><i class="done" style="left:\d+\.\d+%;width:([5-9]|\d\d)\.\d+%">/,
  );
});

test('says of a run without an end that it is under way, and leaves empty tables out', () => {
  const page = renderReport({
    ...report({ outcome: null, live: false }),
    tables: [],
    checks: [],
    decisions: [],
    finishedAt: null,
  });
  expect(page).toContain('<h1>Under way</h1>');
  expect(page).toContain('<h2>Left behind</h2>');
  expect(page).not.toMatch(/<h2>(Tables|Checks|Decisions)/);
});

function report(part: Partial<Status> = {}): Report {
  return {
    workflowId: 'kirikae-tumiki',
    runId: '01a20aba-d4f4-71c5-b234-fa537dc5a6db',
    requestedBy: 'alice',
    finishedAt: at(24 * 60),
    checklist: ['Rehearsal passed'],
    status: {
      plan: 'tumiki',
      step: 'report',
      phase: 'over',
      window: 1,
      outcome: 'migrated',
      parked: false,
      live: true,
      waitingFor: null,
      nextAction: 'Nothing to do.',
      startedAt: at(0),
      downtimeMs: 720_000,
      predictedEnd: null,
      backup: { database: 'tumiki_backup', fingerprint: 'f1n6e7', tables: 29, rows: 3_100_000, bytes: 641e6 },
      steps: STEPS.map((name, index) => ({
        name,
        state: 'done',
        startedAt: at(index),
        finishedAt: name === 'monitor' ? at(24 * 60) : at(index + 1),
        rows: name === 'backup' ? 3_100_000 : null,
        rowsTotal: null,
        bytes: null,
        attempt: name === 'backup' ? 2 : 1,
        error: null,
      })),
      wayBack: [],
      dropped: [{ what: 'User.hasCompletedOnboarding', rows: 1200, reason: 'no longer used' }],
      notes: ['A webhook failed.'],
      ...part,
    },
    decisions: [{ at: at(6), by: 'bob', what: 'approve', note: 'looked at the drops' }],
    tables: [
      { table: 'Organization', sourceRows: 12, targetRows: 2012, origin: 'Organization (12) + User (2000)' },
    ],
    checks: [{ step: 'smoke', name: 'API answers', passed: false, detail: 'answered 502', at: at(12) }],
  };
}

// Every string that is not a name of the contract or a time.
function replaceTexts<T>(value: T, text: string, key = ''): T {
  if (Array.isArray(value)) return value.map((item: unknown) => replaceTexts(item, text, key)) as T;
  if (typeof value === 'string')
    return (/^(outcome|step|phase|state|startedAt|finishedAt)$/.test(key) ? value : text) as T;
  if (value === null || typeof value !== 'object') return value;
  const isStep = 'attempt' in value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, isStep ? item : replaceTexts(item, text, name)]),
  ) as T;
}
