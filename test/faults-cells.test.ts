/** Twelve cells of the table of faults, other ones each time: each phase of the ledger may be met by each fault. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { sampleCells, titleOf, type Cell, type CellResult } from '../lab/faults/cells';
import { workOff } from '../lab/faults/lanes';
import { buildLane, type Lane } from '../lab/faults/stage';
import { lineOf } from '../lab/faults/table';
import { openNamespace, type TestNamespace } from './support/namespace';
import { testTemporal } from './support/environment';
import { workerLogFile } from './support/test-log';
import { sourceWorkerCommand } from './support/worker-process';

const seed = Number(process.env.KIRIKAE_FAULTS_SEED ?? Date.now() % 100_000);
jest.setTimeout(900_000);

// What was wrong once. Recover's lanes ended each other's sessions as soon as there was more than one group to copy.
// A crash takes the counters: production was said to be written to after it was copied aside.
const wrongOnce: Cell[] = [
  { phase: 'returning', fault: 'recover', delayMs: 0 },
  { phase: 'aside', fault: 'crash', delayMs: 0 },
];

let servers: TestNamespace[];
let folders: string[];
let lanes: Lane[];

beforeAll(async () => {
  folders = ['a', 'b'].map((name) => mkdtempSync(path.join(os.tmpdir(), `kirikae-cells-${name}-`)));
  servers = await Promise.all([openNamespace('cells-a'), openNamespace('cells-b')]);
  lanes = await Promise.all(
    servers.map(({ namespace, client }, index) =>
      buildLane({
        name: index === 0 ? 'a' : 'b',
        folder: folders[index] ?? '',
        users: 20,
        temporal: { address: testTemporal().address, namespace, client },
        workerCommand: sourceWorkerCommand,
        workerLog: workerLogFile(),
      }),
    ),
  );
});
afterAll(async () => {
  await Promise.all((lanes ?? []).map((lane) => lane.tearDown()));
  await Promise.all(servers.map((server) => server.close()));
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

test(`twelve phases met by a fault each leave production completely old or completely new (seed ${seed})`, async () => {
  const known = wrongOnce.map(titleOf);
  const others = sampleCells(seed, 12).filter((cell) => !known.includes(titleOf(cell)));
  const cells = [...wrongOnce, ...others].slice(0, 12);
  const results: CellResult[] = [];
  await workOff(lanes, cells, (result) => results.push(result));
  console.info([`seed ${seed}`, ...results.map(lineOf)].join('\n'));
  expect(results.map(({ title }) => title).sort()).toEqual(cells.map(titleOf).sort());
  expect(results.filter(({ problems }) => problems.length > 0).map(lineOf)).toEqual([]);
});
