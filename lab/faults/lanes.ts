/** Cells worked off by lanes beside each other. */
import { sentence } from '../../src/errors';
import type { Cell, CellResult } from './cells';
import { runCell, takeReference } from './cell';
import type { Lane } from './stage';

/** Runs every cell, each lane taking the next. @throws when the run that nothing disturbs doesn't migrate */
export async function workOff(
  lanes: readonly Lane[],
  cells: readonly Cell[],
  done: (result: CellResult) => void,
): Promise<void> {
  const [first] = lanes;
  if (!first || cells.length === 0) return;
  const reference = await takeReference(first).catch((error: unknown) => {
    throw new Error(`No reference: ${sentence(error)}`, { cause: error });
  });
  const waiting = [...cells];
  await Promise.all(
    lanes.map(async (lane) => {
      for (let cell = waiting.shift(); cell; cell = waiting.shift())
        done(await runCell(lane, cell, reference));
    }),
  );
}
