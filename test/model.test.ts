/** A run met by whatever may happen to it, in any order: the real workflow over a stubbed world, in this process and with a clock of its own. */
import fc from 'fast-check';
import { cases } from './support/model/events';
import { play } from './support/model/story';

const runs = Number(process.env.KIRIKAE_MODEL_RUNS ?? 300);
const seed = Number(process.env.KIRIKAE_MODEL_SEED ?? 1);
jest.setTimeout(runs > 300 ? 4 * 3_600_000 : 900_000);

test(`${runs} interleavings keep what must hold (seed ${seed})`, async () => {
  const outcomes: Record<string, number> = {};
  const fromMs = Date.now();
  await fc.assert(
    fc.asyncProperty(cases, async (told) => {
      const outcome = await play(told);
      outcomes[`${outcome}`] = (outcomes[`${outcome}`] ?? 0) + 1;
    }),
    {
      numRuns: runs,
      seed,
      ...(process.env.KIRIKAE_MODEL_PATH ? { path: process.env.KIRIKAE_MODEL_PATH } : {}),
    },
  );
  const took = ((Date.now() - fromMs) / 1_000).toFixed(1);
  process.stdout.write(`${runs} interleavings, seed ${seed}, ${took} s: ${JSON.stringify(outcomes)}\n`);
});
