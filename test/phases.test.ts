/** The ledger's phases: what may follow what, which way back each calls for, and what the witnesses say together. */
import { FORWARD, PHASES, type Phase } from '../src/contract';
import { mayGo, needsRestore, wayBack, type Standing } from '../src/ledger/phases';
import { standingAt } from '../src/ledger/claim';
import { judge } from '../src/ledger/witnesses';

const before: Phase[] = ['claimed', 'closed', 'fenced', 'sealed', 'approved'];
const restoring = FORWARD.filter((phase) => needsRestore(phase));
const at = (phase: Phase, seq = 5, from: Phase | null = null): Standing => ({ phase, seq, window: 1, from });

// The picture of the design, line by line.
const arrows = new Set<string>([
  ...FORWARD.slice(1).map((phase, index) => `${FORWARD[index]} → ${phase}`),
  ...FORWARD.map((phase) => `${phase} → returning`),
  ...before.map((from) => `returning(${from}) → home`),
  ...restoring.flatMap((from) => [
    `returning(${from}) → aside`,
    `returning(${from}) → ${from}`,
    `aside(${from}) → ${from}`,
  ]),
  ...FORWARD.flatMap((from) => [
    `aside(${from}) → emptied`,
    `emptied(${from}) → restored`,
    `restored(${from}) → home`,
    `home(${from}) → over`,
  ]),
  'live → over',
]);

const back: Phase[] = ['returning', 'aside', 'emptied', 'restored', 'home'];
const standings: [Phase, Phase | null][] = [
  ...FORWARD.map((phase): [Phase, null] => [phase, null]),
  ...back.flatMap((phase) => FORWARD.map((from): [Phase, Phase] => [phase, from])),
  ['over', null],
];

test.each(standings)('%s (from %s) goes where the picture has an arrow, and nowhere else', (phase, from) => {
  const name = from === null ? phase : `${phase}(${from})`;
  // What restores is reached from what needs it alone.
  const isReal = from === null || needsRestore(from) || phase === 'returning' || phase === 'home';
  if (!isReal) return;
  const allowed = PHASES.filter((to) => mayGo(at(phase, 5, from), to));
  expect(allowed).toEqual(PHASES.filter((to) => arrows.has(`${name} → ${to}`)));
});

const untouched = ['liftFence', 'pageOff', 'removeBackup'];
const restored = ['empty', 'restore', 'compare', 'liftFence', 'undoDeploys', 'rollbackSmoke', 'pageOff'];
const whole = ['pageOn', 'fence', 'proveBackup', 'aside', ...restored];
const wholeFromLive = ['proveBackup', 'pageOn', 'fence', 'aside', ...restored];

describe.each(['goBack', 'rollBack'] as const)('the way back by %s', (intent) => {
  test.each(FORWARD)('from %s', (phase) => {
    const way = wayBack({ phase, from: null }, intent);
    if (phase === 'live' && intent === 'goBack') expect(way).toEqual({ kind: 'close', steps: ['pageOff'] });
    else if (phase === 'live') expect(way).toEqual({ kind: 'back', steps: wholeFromLive });
    else expect(way).toEqual({ kind: 'back', steps: needsRestore(phase) ? whole : untouched });
  });

  test.each(FORWARD)('under way, having come from %s', (from) => {
    const steps = (phase: Phase) => wayBack({ phase, from }, intent);
    const first = from === 'live' ? wholeFromLive : needsRestore(from) ? whole : untouched;
    expect(steps('returning')).toEqual({ kind: 'back', steps: first });
    expect(steps('home')).toEqual({
      kind: 'back',
      steps: needsRestore(from) ? ['pageOff'] : ['pageOff', 'removeBackup'],
    });
    if (!needsRestore(from)) return;
    expect(steps('aside')).toEqual({ kind: 'back', steps: whole });
    expect(steps('emptied')).toEqual({ kind: 'back', steps: ['pageOn', 'fence', ...restored] });
    expect(steps('restored')).toEqual({
      kind: 'back',
      steps: ['pageOn', 'undoDeploys', 'rollbackSmoke', 'pageOff'],
    });
  });

  test('at the end does nothing', () => {
    expect(wayBack({ phase: 'over', from: null }, intent)).toEqual({ kind: 'close', steps: [] });
  });
});

test.each(standings)(
  'standing down at %s (from %s) goes where the run was, as long as nothing is emptied',
  (phase, from) => {
    const way = wayBack({ phase, from }, 'standDown');
    const isPossible = (phase === 'returning' || phase === 'aside') && from !== null && needsRestore(from);
    if (isPossible) expect(way).toEqual({ kind: 'forward', to: from });
    else expect(way.kind).toBe('refused');
  },
);

test('a transition counts on; going back from live opens a window, and standing down forgets where it came from', () => {
  expect(standingAt(at('checked', 11), 'returning')).toEqual({
    phase: 'returning',
    seq: 12,
    window: 1,
    from: 'checked',
  });
  expect(standingAt(at('live', 12), 'returning')).toEqual({
    phase: 'returning',
    seq: 13,
    window: 2,
    from: 'live',
  });
  expect(standingAt(at('aside', 14, 'live'), 'live')).toEqual({
    phase: 'live',
    seq: 15,
    window: 1,
    from: null,
  });
});

test.each([
  ['all know the same', at('sealed'), at('sealed'), at('sealed'), { kind: 'agreed' }],
  ['there is no mirror yet', at('closed', 2), null, at('closed', 2), { kind: 'agreed' }],
  [
    'a history from before a reset knows less',
    at('reset', 6),
    at('reset', 6),
    at('closed', 2),
    { kind: 'agreed' },
  ],
  ['recover has no history', at('reset', 6), at('reset', 6), null, { kind: 'agreed' }],
  [
    'live is in the mirror alone',
    at('checked', 11),
    at('live', 12),
    at('checked', 11),
    { kind: 'finish', to: 'live' },
  ],
  [
    'home is in the mirror alone',
    at('restored', 16, 'built'),
    at('home', 17, 'built'),
    at('restored', 16, 'built'),
    { kind: 'finish', to: 'home' },
  ],
  [
    'live is known by the history too',
    at('checked', 11),
    at('live', 12),
    at('live', 12),
    { kind: 'behind', furthest: at('live', 12) },
  ],
  [
    'the mirror is further on',
    at('fenced', 3),
    at('reset', 6),
    at('fenced', 3),
    { kind: 'behind', furthest: at('reset', 6) },
  ],
  [
    'the history is further on',
    at('fenced', 3),
    null,
    at('reset', 6),
    { kind: 'behind', furthest: at('reset', 6) },
  ],
  [
    'the ledger is gone, the mirror is not',
    null,
    at('reset', 6),
    at('reset', 6),
    { kind: 'behind', furthest: at('reset', 6) },
  ],
  ['ledger and mirror are gone', null, null, at('reset', 6), { kind: 'lost' }],
  ['the run had ended live', null, at('over', 13), at('live', 12), { kind: 'ended', as: 'live' }],
  ['the run had come home', null, at('over', 13, 'built'), null, { kind: 'ended', as: 'home' }],
  [
    'the run had come home, and its backup is gone',
    null,
    null,
    at('over', 8, 'sealed'),
    { kind: 'ended', as: 'home' },
  ],
  ['nobody knows anything', null, null, null, { kind: 'nothing' }],
] as const)('the witnesses, where %s', (_what, ledger, mirror, history, expected) => {
  expect(judge({ ledger, mirror, history, hasMoved: false })).toMatchObject(expected);
});

test('a server that has moved is behind unless mirror or history answers', () => {
  const ledger = at('reset', 6);
  expect(judge({ ledger, mirror: null, history: null, hasMoved: true })).toMatchObject({
    kind: 'behind',
    furthest: ledger,
  });
  expect(judge({ ledger, mirror: ledger, history: null, hasMoved: true })).toEqual({ kind: 'agreed' });
});
