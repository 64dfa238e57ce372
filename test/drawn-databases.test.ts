/** Drawn databases: whatever check lets pass comes back as it was from a run that fails after the reset (`npm run databases`). */
import { describeDraw, dropDrawnRoles, makeDrawnRoles, runDraw, type DrawResult } from './support/drawn-run';

const isCommand = process.env.KIRIKAE_DATABASES_DRAWS !== undefined;
const seed = Number(process.env.KIRIKAE_DATABASES_SEED ?? 1);
const draws = Number(process.env.KIRIKAE_DATABASES_DRAWS ?? 20);
const only = Number(process.env.KIRIKAE_DATABASES_ONLY ?? 0);
const numbers = only > 0 ? [only] : Array.from({ length: draws }, (_, index) => index + 1);

const results: DrawResult[] = [];
beforeAll(makeDrawnRoles);
afterAll(dropDrawnRoles);

test.each(numbers)(`what check lets pass comes back: draw %i of seed ${seed}`, async (draw) => {
  const result = await runDraw(seed, draw);
  results.push(result);
  const said = describeDraw(seed, result);
  if (isCommand) process.stdout.write(`${said}\n`);
  if (only > 0) process.stdout.write(`${result.leftOut.map((text) => `  left out: ${text}\n`).join('')}`);
  if (result.came === 'wrong') throw new Error(said);
});

test('few draws are refused, and few statements left out', () => {
  const refused = results.filter(({ came }) => came === 'refused');
  const leftOut = results.reduce((sum, result) => sum + result.leftOut.length, 0);
  const statements = results.reduce((sum, result) => sum + result.statements, 0);
  const said = `${results.length} draws of seed ${seed}, ${refused.length} refused, ${leftOut} of ${statements} statements left out`;
  if (isCommand) process.stdout.write(`${said}\n`);
  if (only > 0) return;
  // Of a few draws a third may be refused by chance.
  expect({ said, isOften: refused.length > results.length * (draws < 50 ? 0.35 : 0.25) }).toEqual({
    said,
    isOften: false,
  });
  expect({ said, isMuch: leftOut > statements * 0.15 }).toEqual({ said, isMuch: false });
});
