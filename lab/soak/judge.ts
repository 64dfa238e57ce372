/** The judgement of a run that was undone: everything as it was, and nothing of the run left. */
import { leftovers, stateOf, type DatabaseState, type Verdict } from '../database-state';
import type { Stage } from './stage';

/** A restored production against what it was before. */
export async function judgeRestored(stage: Stage, before: DatabaseState): Promise<Verdict> {
  const after = await stateOf(stage.urls.production);
  const names = new Set([...Object.keys(before.rows), ...Object.keys(after.rows)]);
  const problems = [...names]
    .filter((name) => before.rows[name] !== after.rows[name])
    .map((name) => `${name} was ${before.rows[name] ?? 'not there'} and is ${after.rows[name] ?? 'gone'}.`);
  if (before.definition.join('\n') !== after.definition.join('\n'))
    problems.push('The definition of the database has changed.');
  // A table's portrait begins with its row count; a sequence's has two words.
  const rowsJudged = Object.values(after.rows)
    .map((content) => content.split(' '))
    .reduce((sum, words) => sum + (words.length === 3 || words.length === 1 ? Number(words[0]) : 0), 0);
  return { rowsJudged, problems: [...problems, ...(await leftovers(stage))] };
}
