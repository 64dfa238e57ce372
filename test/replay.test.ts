/** Recorded histories replayed against the present workflows: a change that would break runs under way fails here. */
import os from 'node:os';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils';
import { Worker } from '@temporalio/worker';
import { packageRoot } from '../tools/provide';
import { workflowBundlePath } from './support/environment';
import {
  readGoldens,
  recordHistories,
  recordedRuns,
  workflowIdOf,
  type RecordedRun,
} from './support/record-histories';

// KIRIKAE_RECORD=1 makes the recordings again: only for a version that no run under way will be continued by.
beforeAll(async () => {
  if (process.env.KIRIKAE_RECORD === '1') await recordHistories();
}, 600_000);

async function replay(name: RecordedRun, text: string): Promise<void> {
  const history = historyFromJSON(JSON.parse(text) as Parameters<typeof historyFromJSON>[0]);
  await Worker.runReplayHistory(
    { workflowBundle: { codePath: workflowBundlePath() } },
    history,
    workflowIdOf(name),
  );
}

function golden(name: RecordedRun): string {
  const found = readGoldens().find((recorded) => recorded.name === name);
  if (!found) throw new Error(`There is no recording ${name}.`);
  return found.text;
}

test.each(recordedRuns)('continues a run that was recorded as %s', async (name) => {
  await replay(name, golden(name));
});

test.each(['copyGroup', 'deploySchema', 'goLive'])(
  'notices that the activity %s has another name now',
  async (activity) => {
    const renamed = golden('migrated').replaceAll(`"name": "${activity}"`, `"name": "${activity}Before"`);
    expect(renamed).not.toBe(golden('migrated'));
    await expect(replay('migrated', renamed)).rejects.toThrow(/nondetermini|TMPRL1100/i);
  },
);

test('the recordings hold nothing of the machine they were made on, and no secret', () => {
  for (const { text } of readGoldens()) {
    const payloads = [...text.matchAll(/"data": "([A-Za-z0-9+/=]+)"/g)].map(([, data]) =>
      Buffer.from(data ?? '', 'base64').toString('utf8'),
    );
    for (const part of [text, ...payloads]) {
      expect(part).not.toMatch(/postgres(ql)?:\/\/|\/tmp\/|\/home\/|\/root\//);
      expect(part).not.toContain(os.hostname());
      expect(part).not.toContain(packageRoot);
    }
  }
});
