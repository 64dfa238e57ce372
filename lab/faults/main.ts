/** `npm run faults`: every phase of a run met by every fault, two cells at a time, and a table of how each ended. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import { runProgram, wholeNumber } from '../program';
import { packageRoot } from '../../tools/provide';
import { startTemporal } from '../../tools/temporal';
import { openNamespaceAt } from '../namespace';
import { build } from '../stage';
import { allCells, titleOf } from './cells';
import { workOff } from './lanes';
import { buildLane } from './stage';
import { lineOf, Results, tableOf } from './table';

interface Options {
  seed: number;
  only: string;
  resume?: boolean;
}

async function main({ seed, only, resume }: Options): Promise<number> {
  const say = (text: string) => void process.stdout.write(`${text}\n`);
  const results = new Results(
    path.join(packageRoot, '.tools', 'faults', `${seed}.json`),
    // One cell that is done again leaves the others as they were.
    resume || only !== '' ? 'kept' : 'anew',
  );
  const cells = allCells(seed).filter(
    (cell) => titleOf(cell).includes(only) && !(resume && results.has(titleOf(cell))),
  );
  say(`seed ${seed}, ${cells.length} cells; PostgreSQL, Temporal and workers are being started …`);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-faults-'));
  const stage = await build(async (later) => {
    const temporal = await startTemporal();
    later(() => temporal.stop());
    const lanes = await Promise.all(
      ['a', 'b'].slice(0, cells.length).map(async (name) => {
        const own = path.join(folder, name);
        mkdirSync(own);
        const server = await openNamespaceAt(temporal.address, `faults-${name}`);
        later(() => server.close());
        const lane = await buildLane({
          name,
          folder: own,
          users: 20,
          temporal: { address: temporal.address, namespace: server.namespace, client: server.client },
        });
        later(() => lane.tearDown());
        return lane;
      }),
    );
    return { lanes };
  });
  try {
    await workOff(stage.lanes, cells, (result) => {
      results.keep(result);
      say(lineOf(result));
    });
  } finally {
    await stage.tearDown();
  }
  const wrong = results.all().filter(({ problems }) => problems.length > 0);
  if (wrong.length === 0) rmSync(folder, { recursive: true, force: true });
  else say(`Settings and workers' logs are in ${folder}.`);
  say(`\n${tableOf(results.all())}\n`);
  say(`cells: ${results.all().length}, wrong: ${wrong.length}`);
  return wrong.length === 0 ? 0 : 1;
}

runProgram(
  new Command('faults')
    .description('Lets runs come to each phase, does each fault to them there, and judges how they end.')
    .option('--seed <n>', 'repeats the order of the cells and the moments', wholeNumber, 1)
    .option('--only <phase/fault>', 'only the cells whose name holds this', '')
    .option('--resume', 'skips the cells that are finished'),
  main,
);
