/** One drawn database: checked, run forward to some phase after the reset, brought back, and compared with what it was. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { definitionOf } from '../../lab/database-state';
import { seededRandom } from '../../lab/soak/random';
import { withDatabase } from '../../lab/stage';
import { sentence } from '../../src/errors';
import { withClient } from '../../src/postgres/connect';
import { dumpSchema, dumpSql } from '../../src/postgres/dump';
import { pinOptions } from '../../src/postgres/pinned-settings';
import { identifier } from '../../src/postgres/sql';
import { withOptions } from '../../src/postgres/url';
import { majorVersion } from '../../src/postgres/versions';
import { BareMigration } from './bare-migration';
import { drawDatabase, type DrawnDatabase } from './drawn-database';
import { drawnUser, owners, readers, stranger } from './drawn-sketch';
import { onServer } from './environment';
import type { Migration } from './migration';
import { layOutOther, passwordOfUsers, printedAgain } from './other-database';
import { dropRoles, leftBy, portraitOf } from './profiles';

export interface DrawResult {
  draw: number;
  /** `refused`: check found something, and nothing was run. */
  came: 'back' | 'refused' | 'wrong';
  /** The phase from which it went back. */
  from: string;
  findings: string[];
  problems: string[];
  /** Statements of the drawing that this server refused, with why, of how many. */
  leftOut: string[];
  statements: number;
}

const roles: Record<string, string> = {
  ...Object.fromEntries([...owners, ...readers, stranger].map((name) => [identifier(name), ''])),
  [drawnUser]: `login createdb password '${passwordOfUsers}' in role pg_signal_backend, pg_read_all_stats`,
};

/** Roles that all drawn databases of a cluster share. */
export async function makeDrawnRoles(): Promise<void> {
  await dropDrawnRoles();
  for (const [name, attributes] of Object.entries(roles)) await onServer(`create role ${name} ${attributes}`);
  await onServer(`grant ${owners.map(identifier).join(', ')} to ${drawnUser}`);
}

export async function dropDrawnRoles(): Promise<void> {
  await dropRoles(Object.keys(roles));
}

/** Draws, checks, runs and judges. @param draw its number under that seed, from 1 */
export async function runDraw(seed: number, draw: number): Promise<DrawResult> {
  const drawn = drawDatabase(seed, draw);
  const migration = await layOutOther({
    before: '',
    after: 'select 1',
    user: drawnUser,
    change: (plan) => {
      Object.assign(plan, { deploy: [], smoke: [], rollbackSmoke: [] });
      (plan.databases as { production: { schemas?: string[] } }).production.schemas = drawn.schemas;
    },
  });
  try {
    const leftOut = await build(migration, drawn);
    await deploysTheSame(migration, drawn);
    const from = seededRandom(seed + draw).pick(['reset', 'built', 'migrated', 'verified'] as const);
    const statements = drawn.statements.length;
    return { draw, from, leftOut, statements, ...(await thereAndBack(migration, from)) };
  } finally {
    await migration.drop();
  }
}

async function build(migration: Migration, { statements }: DrawnDatabase): Promise<string[]> {
  const leftOut: string[] = [];
  await withDatabase(migration.production.url, async (client) => {
    for (const sql of statements)
      await client.query(sql).catch((error: unknown) => leftOut.push(`${sql}: ${sentence(error)}`));
    await client.query('analyze').catch(() => undefined);
  });
  return leftOut;
}

// The new schema is the old one, without owners and grants: with an empty mapping all rows go into it.
async function deploysTheSame(
  { production: { url }, folder }: Migration,
  { schemas }: DrawnDatabase,
): Promise<void> {
  const dump = await dumpSchema(url, schemas, { owners: false });
  const entries = [...dump.pre, ...dump.post].filter(({ type }) => !type.startsWith('PUBLICATION'));
  const version = await withClient(url, 'test', majorVersion);
  writeFileSync(path.join(folder, 'new', '01.sql'), dumpSql(dump, entries, version));
}

async function thereAndBack(
  migration: Migration,
  from: 'reset' | 'built' | 'migrated' | 'verified',
): Promise<Pick<DrawResult, 'came' | 'findings' | 'problems'>> {
  const before = await portraitOf(migration);
  const lines = await definitionOf(pinned(migration), []);
  const run = new BareMigration(migration);
  const findings = await run.check();
  const problems: string[] = [];
  if (findings.length === 0) {
    await run
      .goTo(from)
      .catch((error: unknown) =>
        problems.push(
          `check let it pass, and after ${run.phase ?? 'no phase'} it failed: ${sentence(error)}`,
        ),
      );
    await run.goBack().catch((error: unknown) => problems.push(`the way back: ${sentence(error)}`));
  }
  problems.push(...(await unlike(migration, before, lines)), ...(await leftBy(migration)));
  const came = problems.length > 0 ? 'wrong' : findings.length > 0 ? 'refused' : 'back';
  return { came, findings, problems };
}

// Production's own settings print otherwise what another database is to print alike.
const pinned = ({ production }: Migration) => withOptions(production.url, pinOptions());

type Portrait = Awaited<ReturnType<typeof portraitOf>>;

/** How production differs from what it was. @param lines its definition, which PostgreSQL may print otherwise once it has read it */
async function unlike(migration: Migration, before: Portrait, lines: string[]): Promise<string[]> {
  const after = await portraitOf(migration);
  const names = new Set([...Object.keys(before.contents), ...Object.keys(after.contents)]);
  const rows = [...names]
    .filter((name) => before.contents[name] !== after.contents[name])
    .map((name) => `${name} was ${before.contents[name]} and is ${after.contents[name]}`);
  const changed = differences(before.definition, after.definition);
  if (changed.length === 0) return rows;
  const again = await printedAgain(lines).catch((error: unknown) => [`not read again: ${sentence(error)}`]);
  const printed = await definitionOf(pinned(migration), []);
  const otherwise = differences(again, printed);
  return otherwise.length === 0
    ? rows
    : [...rows, ...changed, ...otherwise.map((line) => `read again, ${line}`)];
}

function differences(before: readonly string[], after: readonly string[]): string[] {
  const less = (from: readonly string[], those: readonly string[]) => {
    const left = [...from];
    for (const line of those) {
      const at = left.indexOf(line);
      if (at >= 0) left.splice(at, 1);
    }
    return left;
  };
  return [
    ...less(before, after).map((line) => `gone: ${line}`),
    ...less(after, before).map((line) => `new: ${line}`),
  ].slice(0, 20);
}

/** A line for people, with how to have this draw alone. */
export function describeDraw(
  seed: number,
  { draw, came, from, findings, problems, leftOut }: DrawResult,
): string {
  const alone = `npm run databases -- --seed ${seed} --only ${draw}`;
  const about = came === 'refused' ? findings : problems;
  const what = came === 'back' ? `back from ${from}` : came === 'wrong' ? `wrong, from ${from}` : 'refused';
  return [
    `draw ${draw} of seed ${seed}: ${what}, ${leftOut.length} statements left out (${alone})`,
    ...about,
  ].join('\n  ');
}
