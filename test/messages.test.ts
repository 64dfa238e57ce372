/** Whatever comes from outside: what can't be decoded is refused, what is long or unseen is cut and cleaned, and the run goes on. */
import { randomUUID } from 'node:crypto';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { RawValue, type Payload } from '@temporalio/common';
import { NativeConnection } from '@temporalio/worker';
import { toFailure } from '../activities/guard';
import { COMMANDS, WORKFLOW_TYPE, type Report } from '../src/contract';
import { fold, isPlain, lines, oneLine } from '../src/text';
import { Notes } from '../workflows/notes';
import { testTemporal } from './support/environment';
import { approve, ending, statusOf, untilStatus } from './support/talk';
import { failure, makeStubs, withStubbedRun } from './support/stubbed-run';

let connection: Connection;
let nativeConnection: NativeConnection;
let server: { client: Client; nativeConnection: NativeConnection };

beforeAll(async () => {
  const { address } = testTemporal();
  connection = await Connection.connect({ address });
  nativeConnection = await NativeConnection.connect({ address });
  server = { client: new Client({ connection }), nativeConnection };
});
afterAll(async () => {
  await nativeConnection.close();
  await connection.close();
});

const long = 'x'.repeat(1_500_000);
const deep = '['.repeat(200_000) + ']'.repeat(200_000);

function raw(encoding: string | null, data: string): RawValue {
  const payload: Payload = { metadata: {}, data: Buffer.from(data) };
  if (encoding !== null) payload.metadata = { encoding: Buffer.from(encoding) };
  return RawValue.fromPayload(payload);
}

const nonsense: [string, unknown[], RegExp][] = [
  [
    'an unknown encoding',
    [raw('binary/encrypted', 'xyz')],
    /encoded as "binary\/encrypted" and can't be decoded: expected JSON/,
  ],
  ['broken JSON', [raw('json/plain', '{"by":"bob"')], /encoded as "json\/plain" and can't be decoded/],
  ['a protobuf', [raw('json/protobuf', '{}')], /encoded as "json\/protobuf"/],
  ['no encoding', [raw(null, '{}')], /encoded as nothing that is named/],
  [
    'an encoding to fool a terminal',
    [raw('a\u001b[31m\u202e', '')],
    /encoded as "a \[31m"|encoded as "a \[31mâ/,
  ],
  ['bytes', [raw('binary/plain', 'xyz')], /needs the payload/],
  ['nothing', [], /needs the payload \{ by, note/],
  ['null', [null], /needs the payload/],
  ['deep nesting', [raw('json/plain', deep)], /needs the payload/],
  ['deep nesting in a field', [raw('json/plain', `{"by":${deep}}`)], /by: /],
  ['two payloads', [{ by: 'bob' }, { by: 'carol' }], /nothing else \(there are 2 payloads\)/],
];

test('goes on after a signal of the command line that cannot be decoded', async () => {
  await withStubbedRun(server, makeStubs(), async (handle) => {
    await untilStatus(handle, waitsForApproval);
    await promisify(execFile)(testTemporal().cli, [
      ...['workflow', 'signal', '--address', testTemporal().address, '--workflow-id', handle.workflowId],
      ...['--name', 'approve', '--input', 'xyz', '--input-meta', 'encoding=binary/encrypted'],
    ]);
    const { notes } = await untilStatus(handle, ({ notes }) => notes.length > 0);
    expect(notes).toEqual([
      'The signal approve was ignored: approve needs the payload { by, note, fingerprint } (it is encoded as "binary/encrypted" and can\'t be decoded: expected JSON (json/plain)).',
    ]);
    await approve(handle);
    expect(await ending(handle)).toMatchObject({ outcome: 'migrated', parked: false });
  });
});

test('ignores every signal and refuses every update that is nonsense, and goes on', async () => {
  await withStubbedRun(server, makeStubs(), async (handle) => {
    await untilStatus(handle, waitsForApproval);
    for (const [, args, sentence] of nonsense) {
      await expect(handle.executeUpdate('approve', { args: args as [unknown] })).rejects.toMatchObject({
        cause: { type: 'Refused', message: expect.stringMatching(sentence) as unknown },
      });
    }
    for (const name of COMMANDS) await handle.signal(name, ...nonsense[0]![1]);
    for (const [, args] of nonsense) await handle.signal('approve', ...args);
    await handle.signal('noSuchName', ...nonsense[0]![1]);
    await expect(
      handle.executeUpdate('noSuchName', { args: nonsense[0]![1] as [unknown] }),
    ).rejects.toThrow();
    const { notes } = await untilStatus(handle, ({ notes }) => notes.length === 11);
    expect(notes.at(-1)).toBe(`… and ${COMMANDS.length + nonsense.length - 10} more signals were ignored.`);
    expect(notes.every((note) => note.length <= 1_000)).toBe(true);
    expect(await handle.query('status', ...nonsense[0]![1])).toMatchObject({ step: 'approval' });
    await approve(handle);
    expect((await ending(handle)).outcome).toBe('migrated');
  });
});

test.each([...nonsense.slice(0, 4), nonsense[8]!])(
  'ends a start whose input is %s as refused',
  async (_what, args) => {
    await withStubbedRun(server, makeStubs(), async (running) => {
      const { taskQueue } = await running.describe();
      const handle = await server.client.workflow.start(WORKFLOW_TYPE, {
        taskQueue,
        workflowId: `undecodable-${randomUUID()}`,
        args,
        memo: { said: raw('binary/encrypted', 'xyz') },
      });
      await expect(handle.result()).rejects.toMatchObject({
        cause: {
          type: 'refused',
          message: expect.stringMatching(
            /^The workflow's input is unusable \(.*Expected \{"plan"/,
          ) as unknown,
        },
      });
      expect(await statusOf(handle)).toMatchObject({ outcome: 'refused', plan: '' });
      const watching = await server.client.workflow.start('monitorProduction', {
        taskQueue,
        workflowId: `undecodable-${randomUUID()}`,
        args,
      });
      await expect(watching.result()).rejects.toMatchObject({ cause: { type: 'refused' } });
      await running.terminate();
    });
  },
);

test('refuses what is too long or not seen, and says how long it may be', async () => {
  const smoke = [{ name: 'Login', kind: 'manual' as const }];
  await withStubbedRun(server, makeStubs({ smoke }), async (handle) => {
    const { backup } = await untilStatus(handle, waitsForApproval);
    const fingerprint = backup?.fingerprint;
    const said = async (name: string, payload: object) => {
      const error = (await handle.executeUpdate(name, { args: [payload] }).then(
        () => null,
        (thrown: unknown) => thrown,
      )) as { cause?: { message: string } } | null;
      return error?.cause?.message ?? 'accepted';
    };
    expect(await said('approve', { by: 'b'.repeat(201), fingerprint })).toContain(
      'by: at most 200 characters',
    );
    expect(await said('approve', { by: 'bo\u200bb', fingerprint })).toContain('by: holds control characters');
    expect(await said('approve', { by: 'bob', fingerprint, note: 'n'.repeat(501) })).toContain(
      'note: at most 500 characters',
    );
    expect(await said('approve', { by: 'bob', fingerprint: 'f'.repeat(101) })).toContain(
      'fingerprint: at most 100 characters',
    );
    expect(await said('approve', { by: 'bob', fingerprint: 'a\u001b[2Jb' })).toContain('"a [2Jb"');
    expect(await said('approve', { by: 'bob', fingerprint, note: 'n'.repeat(500) })).toBe('accepted');
    await untilStatus(handle, (status) => status.waitingFor?.includes('"Login"') ?? false);
    expect(await said('confirm', { by: 'bob', check: 'c'.repeat(201), passed: true })).toContain(
      'check: at most 200 characters',
    );
    expect(await said('confirm', { by: 'bob', check: 'Login', passed: true })).toBe('accepted');
    expect((await ending(handle)).outcome).toBe('migrated');
  });
});

test('cleans a note before it is kept or quoted', async () => {
  await withStubbedRun(server, makeStubs(), async (handle) => {
    const { backup } = await untilStatus(handle, waitsForApproval);
    const note = 'red \u001b[31m\u009b\u202etxt\u200b\ud800\nnext';
    await handle.executeUpdate('reject', {
      args: [{ by: ' bob ', fingerprint: backup?.fingerprint, note }],
    });
    const clean = 'red  [31m txt\ufffd next';
    expect((await ending(handle)).notes).toContain(`bob rejected the reset: ${clean}.`);
    expect((await reportOf(handle)).decisions).toMatchObject([{ by: 'bob', what: 'reject', note: clean }]);
  });
});

test('status and report stay small whatever megabytes are said, and the run ends well', async () => {
  const stubs = makeStubs();
  stubs.failures['deploy manager'] = [failure(`disk full ${'x'.repeat(20_000)}`, 'NeedsOperator')];
  await withStubbedRun(
    server,
    stubs,
    async (handle) => {
      await untilStatus(handle, waitsForApproval);
      for (const payload of [
        { by: long, fingerprint: 'f' },
        { by: 'bob', fingerprint: long },
        { by: 'bob', note: long },
      ])
        await handle.signal('approve', payload);
      await handle.signal('confirm', { by: 'bob', check: long, passed: true });
      await handle.signal('retry', { by: 'bob', [long]: 1 });
      await untilStatus(handle, ({ notes }) => notes.length === 5);
      await expectSmall(handle, 20_000);
      await approve(handle);
      await untilStatus(handle, ({ parked }) => parked);
      await expectSmall(handle, 60_000);
      await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
      expect((await ending(handle)).outcome).toBe('migrated');
      await expectSmall(handle, 60_000);
    },
    { checklist: ['y'.repeat(500)] },
  );
  expect(stubs.calls.filter((call) => call === 'writeReport')).not.toEqual([]);
});

test('a start with megabytes in its fields, or half a million items, is refused', async () => {
  const checklist = Array.from({ length: 500_000 }, () => 1);
  for (const input of [{ plan: long }, { requestedBy: long }, { checklist }, { checklist: [long] }]) {
    await withStubbedRun(
      server,
      makeStubs(),
      async (handle) => {
        const status = await ending(handle);
        expect(status.outcome).toBe('refused');
        expect(status.notes[0]).toMatch(
          /unusable \((plan|requestedBy|checklist(\.0)?): at most \d+ (items|characters)\)/,
        );
        await expectSmall(handle, 20_000);
      },
      input as never,
    );
  }
});

test('counts a thousand ignored signals in one note', async () => {
  await withStubbedRun(server, makeStubs(), async (handle) => {
    await untilStatus(handle, waitsForApproval);
    for (let sent = 0; sent < 1_000; sent += 100) {
      const signals = Array.from({ length: 100 }, (_, index) =>
        handle.signal('approve', { by: 'mallory', fingerprint: `guess ${sent + index}` }),
      );
      await Promise.all(signals);
    }
    const { notes } = await untilStatus(handle, (status) => status.notes.at(-1)?.includes(' 990 ') ?? false);
    expect(notes).toHaveLength(11);
    expect(notes.at(-1)).toBe('… and 990 more signals were ignored.');
    await expectSmall(handle, 20_000);
    await approve(handle);
    expect((await ending(handle)).outcome).toBe('migrated');
  });
});

test('cleans and cuts: control characters, no width, turned direction, halves of characters', () => {
  const dirty = 'a\u0000b\u001b[0m\u0085c\u200b\u200d\u2066\u202e\ufeff\u2028d\ud83dé\u{1f600}\tü\n';
  expect(oneLine(dirty, 100)).toBe('a b [0m c d\ufffdé\u{1f600} ü ');
  expect(lines('one\u0007\r\ntwo', 100)).toBe('one  \ntwo');
  expect([isPlain('田中 Taro'), isPlain('bo\u200bb'), isPlain('a\nb'), isPlain('\udc00')]).toEqual([
    true,
    false,
    false,
    false,
  ]);
  expect(oneLine('abcdef', 6)).toBe('abcdef');
  expect(oneLine('abcdefg', 6)).toBe('abcde…');
  expect(oneLine('abcd\u{1f600}fg', 6)).toBe('abcd…');
});

test('a long list keeps its beginning and its end, by number and by size', () => {
  const numbers = Array.from({ length: 10 }, (_, index) => index);
  expect(fold(numbers, { count: 10, bytes: 100 })).toEqual({ first: numbers, leftOut: 0, last: [] });
  expect(fold(numbers, { count: 5, bytes: 100 })).toEqual({ first: [0, 1, 2], leftOut: 5, last: [8, 9] });
  expect(fold(numbers, { count: 10, bytes: 8 })).toEqual({ first: [0, 1], leftOut: 6, last: [8, 9] });
  const [huge] = fold(['x'.repeat(50), 'y'], { count: 9, bytes: 20 }).last;
  expect(huge).toBe('y');
});

test('ten thousand notes of any size stay below 200 KB, the last one among them', () => {
  const notes = new Notes();
  for (let index = 0; index < 10_000; index += 1) notes.add(`${index} ${'€'.repeat(5_000)}`);
  notes.add('To lift the fence:\npsql');
  const list = notes.list();
  expect(Buffer.byteLength(JSON.stringify(list))).toBeLessThan(210_000);
  expect(list.at(-1)).toBe('To lift the fence:\npsql');
  expect(list.find((note) => note.includes('left out'))).toMatch(/^… \d+ notes are left out here …$/);
});

test("an activity's failure is cut, after its secrets are gone", () => {
  const redact = (text: string) => text.replaceAll('secret', '***');
  const { message } = toFailure(new Error(`${'x'.repeat(3_996)}secret\u001b[31m${long}`), redact);
  expect(message).toHaveLength(4_000);
  expect(message.slice(3_990)).toBe('xxxxxx***…');
});

function waitsForApproval(status: { step: string; waitingFor: string | null }): boolean {
  return status.step === 'approval' && status.waitingFor !== null;
}

function reportOf(handle: WorkflowHandle): Promise<Report> {
  return handle.query<Report>('report');
}

// What a query answers is what Temporal has to carry.
async function expectSmall(handle: WorkflowHandle, bytes: number): Promise<void> {
  expect(Buffer.byteLength(JSON.stringify(await statusOf(handle)))).toBeLessThan(bytes);
  expect(Buffer.byteLength(JSON.stringify(await reportOf(handle)))).toBeLessThan(bytes);
}
