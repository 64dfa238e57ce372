/** `npm run soak`: kills again and again, judges every row, and says how many problems there were. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { Command } from 'commander';
import { runProgram, wholeNumber } from '../program';
import { startTemporal } from '../../tools/temporal';
import { soak } from './soak';
import { buildStage } from './stage';

async function main(options: { kills: number; seed: number; users: number }): Promise<number> {
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-soak-'));
  say(`seed ${options.seed}, ${options.kills} kills; PostgreSQL, Temporal and a worker are being started …`);
  const temporal = await startTemporal();
  try {
    const stage = await buildStage({
      folder,
      users: options.users,
      temporal,
    });
    const connection = await Connection.connect({ address: temporal.address });
    try {
      const client = new Client({ connection, namespace: temporal.namespace });
      const result = await soak(stage, client, { ...options, say });
      const worked = result.problems.length === 0;
      if (worked) rmSync(folder, { recursive: true });
      else say(`The worker's log is ${stage.workerLog}.`);
      say(
        `kills: ${result.kills}, rows judged: ${result.rowsJudged}, runs: ${result.runs}, problems: ${result.problems.length}`,
      );
      return worked ? 0 : 1;
    } finally {
      await connection.close();
      await stage.tearDown();
    }
  } finally {
    await temporal.stop();
  }
}

runProgram(
  new Command('soak')
    .description('Runs migrations while workers, sessions and servers are killed, and judges every row.')
    .option('--kills <n>', 'how many kills', wholeNumber, 200)
    .option('--seed <n>', 'repeats the choice of moments and victims', wholeNumber, 1)
    .option('--users <n>', 'users of the Tumiki database; about 75 rows each', wholeNumber, 60),
  main,
);
