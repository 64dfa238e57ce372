/** docs/if-it-stops.md, "By hand": what of it is made from the sources, and that each place of a ledger has its entry. */
import { PHASES } from '../src/contract';
import { byHandEntries, byHandPage } from '../tools/by-hand-page';
import { entriesOnPage, fits, page } from './support/by-hand';

test('the page is what the ways of the ledger say, and each place where it can stand is one entry', () => {
  expect(byHandPage(page())).toBe(page());
  const named = entriesOnPage();
  for (const { phase, from } of byHandEntries())
    expect({ phase, from, entries: named.filter((entry) => fits(entry, phase, from)).length }).toEqual({
      phase,
      from,
      entries: 1,
    });
  expect(PHASES.filter((phase) => !named.some(({ phases }) => phases.includes(phase)))).toEqual([]);
});
