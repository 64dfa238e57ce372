/** The judgement of a cell: production completely old or completely new, the page never off over anything else, nothing left. */
import { existsSync } from 'node:fs';
import { contentOf, definitionOf, leftovers } from '../database-state';
import { query, withDatabase } from '../stage';
import { checkTumikiMigration } from '../tumiki-checker';
import { shapeOf, type UserWatch } from '../users-watch';
import type { Lane } from './stage';

/** A production in short: its rows, what `pg_dump` says of it, and its shape. */
export interface Portrait {
  rows: string;
  definition: string;
  shape: string;
}

/** Production as it must be, before a run and after one that nothing disturbed. */
export interface Reference {
  old: Portrait;
  new: Portrait;
}

export type Whole = 'old' | 'new' | 'neither';

export async function portray({ urls }: Pick<Lane, 'urls'>): Promise<Portrait> {
  return {
    rows: JSON.stringify(await contentOf(urls.production)),
    definition: (await definitionOf(urls.production)).join('\n'),
    shape: await withDatabase(urls.production, shapeOf),
  };
}

export interface Judged {
  lane: Lane;
  users: UserWatch;
  reference: Reference;
  outcome: string;
  /** A row was written behind the page, of which the way back must have kept a copy. */
  hasWrittenBehind: boolean;
}

/** Judges a run that has ended; the watching must have been stopped. */
export async function judge(judged: Judged): Promise<{ production: Whole; problems: string[] }> {
  const { lane, users, reference, outcome } = judged;
  const problems = [...users.problems];
  if ((await users.takeBack()) === false) problems.push('What a user wrote when the page was down is gone.');
  const now = await portray(lane);
  const rowsDiffer = await newRowProblems(lane).catch((error: unknown) => [String(error)]);
  const isSettled = outcome === 'needs-operator';
  // A settled run's ledger stays, and is part of the definition.
  const isLike = (portrait: Portrait) =>
    isSettled ? now.shape === portrait.shape : now.definition === portrait.definition;
  const production: Whole =
    now.rows === reference.old.rows && isLike(reference.old)
      ? 'old'
      : rowsDiffer.length === 0 && isLike(reference.new)
        ? 'new'
        : 'neither';
  if (isSettled) {
    if (production === 'neither' && !existsSync(lane.flagFile))
      problems.push('The page is off over a production that is neither old nor new.');
    return { production, problems };
  }
  const expected = outcome === 'migrated' ? ['new'] : outcome === 'recovered' ? ['old', 'new'] : ['old'];
  if (!expected.includes(production)) {
    problems.push(`It ended as ${outcome}, and production is ${production}.`);
    problems.push(...differences(outcome === 'migrated' ? reference.new : reference.old, now));
    if (outcome === 'migrated') problems.push(...rowsDiffer);
  }
  problems.push(...(await leftovers(lane)));
  problems.push(...deployProblems(lane.deployed(), production));
  if (judged.hasWrittenBehind && production === 'old' && !(await keptAside(lane)))
    problems.push('What was written behind the page was kept nowhere.');
  return { production, problems };
}

// Enough to see what it is about.
function differences(expected: Portrait, now: Portrait): string[] {
  const [before, after] = [expected.definition.split('\n'), now.definition.split('\n')];
  return [
    ...before.filter((line) => !after.includes(line)).map((line) => `missing: ${line}`),
    ...after.filter((line) => !before.includes(line)).map((line) => `new: ${line}`),
  ].slice(0, 6);
}

// Against the template, so that a cell may lose its backup.
async function newRowProblems({ templateUrl, urls }: Lane): Promise<string[]> {
  const { rowsJudged, problems } = await withDatabase(templateUrl, (before) =>
    withDatabase(urls.production, (after) => checkTumikiMigration(before, after)),
  );
  return rowsJudged === 0 ? [...problems, 'No row was judged.'] : problems;
}

function deployProblems(said: string[], production: Whole): string[] {
  const last = said.at(-1) ?? 'old';
  return production === 'neither' || last === production
    ? []
    : [`Production is ${production} and the application that was deployed last is ${last}.`];
}

async function keptAside({ adminUrl }: Lane): Promise<boolean> {
  const rows = await query(
    adminUrl,
    `select 1 from pg_database where datname like 'tumiki\\_backup\\_abandoned%'`,
  );
  return rows.length > 0;
}
