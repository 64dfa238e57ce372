/** The maintenance page: whose flag it is, looks at the ledger just before an act, the watch that turns it on again, its probe. */
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { startPage, until, type Page } from '../lab/stage';
import { KirikaeError } from '../src/errors';
import { actOnFreshLook } from '../src/host/fresh-look';
import { turnMaintenance } from '../src/host/page';
import { watchPage, type PageSeen, type PageWatch } from '../src/host/page-watch';
import { get } from '../src/host/probe';
import type { Plan } from '../src/settings/read';

let folder: string;
let flagFile: string;
let page: Page;
let plan: Plan;
let watches: AbortController;

beforeEach(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-page-'));
  flagFile = path.join(folder, 'run', 'maintenance.on');
  page = await startPage(flagFile);
  const probe = { url: page.url, on: 503, off: 200, within: '500ms' };
  plan = { folder, maintenance: { kind: 'nginx', flagFile: './run/maintenance.on', probe } } as Plan;
  watches = new AbortController();
});

afterEach(async () => {
  watches.abort();
  await page.stop();
  rmSync(folder, { recursive: true, force: true });
});

const flag = () => (existsSync(flagFile) ? readFileSync(flagFile, 'utf8') : null);
const flagOf = (claim: string, window: number) =>
  `maintenance by kirikae\nclaim ${claim}\nwindow ${window}\n`;
const allowed = () => Promise.resolve();

function turn(direction: 'on' | 'off', window: number, mayAct = allowed): Promise<void> {
  return turnMaintenance(plan, direction, { key: folder, holder: { claim: 'ours', window, mayAct } });
}

describe('the flag', () => {
  test('names claim and window, goes with its own window or a later one, and leaves nothing beside it', async () => {
    await turn('on', 1);
    expect(flag()).toBe(flagOf('ours', 1));
    expect(readdirSync(path.dirname(flagFile))).toEqual(['maintenance.on']);
    await turn('off', 1);
    expect(flag()).toBeNull();
    await turn('off', 1);
    await turn('on', 1);
    await turn('off', 2);
    expect(flag()).toBeNull();
  });

  test.each([
    ['an older window', flagOf('ours', 1)],
    ['people', ''],
    ['a version that wrote no claim', 'maintenance by kirikae\n'],
  ])(
    'of %s becomes ours when the page is turned on, and is removed when it is turned off',
    async (_whose, text) => {
      await turn('on', 2);
      writeFileSync(flagFile, text);
      await turn('on', 2);
      expect(flag()).toBe(flagOf('ours', 2));
      writeFileSync(flagFile, text);
      await turn('off', 2);
      expect(flag()).toBeNull();
    },
  );

  test.each([
    [
      'a newer window',
      flagOf('ours', 3),
      /names window 3 of claim ours, and this attempt is of window 2, which is over/,
    ],
    [
      'another claim',
      flagOf('theirs', 1),
      /names window 1 of claim theirs, but this run has claim ours \(window 2\)/,
    ],
  ])('of %s is left as it is, and turning the page on or off is refused', async (_whose, text, sentence) => {
    await turn('on', 2);
    writeFileSync(flagFile, text);
    for (const direction of ['on', 'off'] as const) {
      await expect(turn(direction, 2)).rejects.toMatchObject({
        type: 'Overtaken',
        message: expect.stringMatching(sentence) as string,
      });
    }
    expect(flag()).toBe(text);
  });

  test('is judged as it is when the ledger has answered, not as it was before', async () => {
    await turn('on', 1);
    const meanwhile = () => Promise.resolve(writeFileSync(flagFile, flagOf('ours', 2)));
    await expect(turn('off', 1, meanwhile)).rejects.toMatchObject({ type: 'Overtaken' });
    expect(flag()).toBe(flagOf('ours', 2));
  });

  test('is left alone when the ledger does not allow the act', async () => {
    await turn('on', 1);
    await expect(turn('off', 1, overtaken)).rejects.toMatchObject({ type: 'Overtaken' });
    expect(flag()).toBe(flagOf('ours', 1));
  });
});

test('commands of the page get claim and window, and do not run when the ledger does not allow it', async () => {
  const touch: Record<string, string> = {
    on: 'mkdir -p run; touch run/maintenance.on',
    off: 'rm run/maintenance.on',
  };
  const say = (word: string) => [
    'sh',
    '-c',
    `echo "${word} $KIRIKAE_CLAIM $KIRIKAE_WINDOW" >> said; ${touch[word]}`,
  ];
  plan = {
    folder,
    maintenance: {
      ...plan.maintenance,
      kind: 'command',
      on: say('on'),
      off: say('off'),
      timeout: '10s',
      env: [],
    },
  } as unknown as Plan;
  await turn('on', 2);
  await expect(turn('off', 2, overtaken)).rejects.toMatchObject({ type: 'Overtaken' });
  await turn('off', 3);
  expect(readFileSync(path.join(folder, 'said'), 'utf8')).toBe('on ours 2\noff ours 3\n');
});

describe('acting on a fresh look', () => {
  test.each([
    ['was frozen', { monotonic: 5001, wall: 5001 }],
    ['was suspended, which the monotonic clock does not show', { monotonic: 10, wall: 60_000 }],
    ['had its clock set back', { monotonic: 10, wall: -60_000 }],
  ])('looks again when the machine %s after the look', async (_what, jump) => {
    const time = { monotonic: 0, wall: 1e12 };
    let looks = 0;
    const look = () => {
      looks += 1;
      if (looks === 1) {
        time.monotonic += jump.monotonic;
        time.wall += jump.wall;
      }
      return Promise.resolve(looks);
    };
    expect(await actOnFreshLook(look, (seen) => `acted on look ${seen}`, clocksOf(time))).toBe(
      'acted on look 2',
    );
  });

  test('does not act when the look after a standstill forbids it, nor when every look takes too long', async () => {
    const time = { monotonic: 0, wall: 1e12 };
    const act = jest.fn();
    const look = jest.fn(() => {
      if (look.mock.calls.length === 2) return overtaken();
      time.monotonic += 6000;
      return Promise.resolve();
    });
    await expect(actOnFreshLook(look, act, clocksOf(time))).rejects.toMatchObject({ type: 'Overtaken' });
    const slow = () => Promise.resolve(void (time.wall += 6000));
    await expect(actOnFreshLook(slow, act, clocksOf(time))).rejects.toMatchObject({ type: 'Outage' });
    expect(act).not.toHaveBeenCalled();
  });
});

describe('the watch', () => {
  test('turns a page that was taken down on again, tells it, and touches nothing after its end', async () => {
    await turn('on', 1);
    const { seen, ended } = watch();
    for (const times of [1, 2]) {
      rmSync(flagFile);
      await until(() => seen.filter(({ kind }) => kind === 'on again').length === times, 5000);
      expect(flag()).toBe(flagOf('ours', 1));
    }
    watches.abort();
    await ended;
    rmSync(flagFile);
    expect(seen).toEqual([
      ...[{ kind: 'found off', saw: '200', at: expect.any(String) as string }],
      ...[{ kind: 'on again', at: expect.any(String) as string }],
      ...[{ kind: 'found off', saw: '200', at: expect.any(String) as string }],
      ...[{ kind: 'on again', at: expect.any(String) as string }],
    ]);
    expect(Math.abs(Date.parse(seen[0]?.at ?? '') - Date.now())).toBeLessThan(60_000);
  });

  test('ends as overtaken, and leaves the page off, when the ledger says so', async () => {
    const { ended } = watch({ look: overtaken });
    await expect(ended).rejects.toMatchObject({ type: 'Overtaken' });
    expect(flag()).toBeNull();
  });

  test('keeps the page on while the ledger does not answer', async () => {
    const { seen } = watch({ look: outage });
    await until(() => seen.length === 2, 5000);
    expect(seen.map(({ kind }) => kind)).toEqual(['found off', 'on again']);
    expect(flag()).toBe(flagOf('ours', 1));
  });

  test('waits for the ledger after a standstill: the page may be down by right', async () => {
    const time = { monotonic: 0, wall: 1e12 };
    await turn('on', 1);
    let answers: () => Promise<void> = outage;
    const { seen } = watch({ look: () => answers(), clocks: clocksOf(time) });
    time.wall += 60_000;
    rmSync(flagFile);
    await until(() => seen.length === 2, 5000);
    expect(seen).toMatchObject([
      { kind: 'found off' },
      {
        kind: 'still off',
        why: expect.stringMatching(/does not say .* \(gone\), and the worker stood still/) as string,
      },
    ]);
    expect(flag()).toBeNull();
    answers = allowed;
    await until(() => seen.length === 3, 5000);
    expect(seen[2]).toMatchObject({ kind: 'on again' });
  });

  test('goes on when the address does not answer or the page does not show, and tells that once', async () => {
    const { url } = page;
    await page.stop();
    let looks = 0;
    const { seen } = watch({ look: () => Promise.resolve(void (looks += 1)) });
    // Two a round: before the page is turned on, and just before the act.
    await until(() => looks >= 5, 10_000);
    expect(seen).toMatchObject([
      { kind: 'found off', saw: expect.stringMatching(/^no answer \(/) as string },
      { kind: 'still off', why: expect.stringMatching(/should show 503 .* but shows no answer/) as string },
    ]);
    expect(flag()).toBe(flagOf('ours', 1));
    page = await startPage(flagFile, Number(new URL(url).port));
    await until(() => seen.length === 3, 5000);
    expect(seen[2]).toMatchObject({ kind: 'on again' });
  });
});

test('of an answer that never ends the beginning is read', async () => {
  const server = createServer((_request, response) => {
    const more = () => !response.destroyed && response.write('x'.repeat(50_000), () => setImmediate(more));
    more();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const answer = await get(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  expect(answer).toMatchObject({ status: 200, body: 'x'.repeat(100_000) });
  // Its connection was given up, too.
  await new Promise((resolve) => server.close(resolve));
});

const overtaken = () => Promise.reject(new KirikaeError('Overtaken', 'another run holds production'));
const outage = () => Promise.reject(new KirikaeError('Outage', 'gone'));

function watch(more: Partial<PageWatch> = {}): { seen: PageSeen[]; ended: Promise<void> } {
  const seen: PageSeen[] = [];
  const ended = watchPage(plan, {
    holder: { claim: 'ours', window: 1 },
    key: folder,
    look: allowed,
    onSeen: (what) => void seen.push(what),
    signal: watches.signal,
    everyMs: 100,
    ...more,
  });
  ended.catch(() => undefined);
  return { seen, ended };
}

function clocksOf(time: { monotonic: number; wall: number }) {
  return { monotonicMs: () => time.monotonic, wallMs: () => time.wall };
}
