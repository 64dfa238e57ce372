/** A migration of a database that SQL draws, by a user who owns it and is nothing more, or by a role that is named. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { contentOf, definitionOf } from '../../lab/database-state';
import { withDatabase } from '../../lab/stage';
import { identifier } from '../../src/postgres/sql';
import { createDatabase, onServer } from './environment';
import { approve, changePlan, layOutMigration, type Migration, type PlanChange } from './migration';
import { checkHarmlessly } from './preflight';
import { runToEnd, type Scene } from './way-back';

export interface Drawing {
  /** Production's definition and rows, as its owner writes them. */
  before: string;
  /** What the schema step deploys. */
  after: string;
  /** By a superuser, before the owner comes, who is `current_owner` in it. */
  prepared?: string;
  /** Production's user: a role that is there, with `passwordOfUsers`. Without it one is made that owns the database, and dropped. */
  user?: string;
  change?: PlanChange;
}

export const passwordOfUsers = 'of the plain owner';

/** Lays it out; dropping it drops the owner too. */
export async function layOutOther(drawing: Drawing): Promise<Migration> {
  const { before, after, prepared = '', change } = drawing;
  const template = await createDatabase('other');
  const owner = drawing.user ?? `owner_${template.name}`;
  if (drawing.user === undefined)
    await onServer(
      `create role ${owner} login createdb password '${passwordOfUsers}' in role pg_signal_backend, pg_read_all_stats`,
    );
  let migration: Migration;
  try {
    migration = await layOutMigration(template.name);
  } finally {
    await template.drop();
  }
  const drop = async () => {
    await migration.drop();
    if (drawing.user === undefined) await onServer(`drop owned by ${owner}; drop role ${owner}`);
  };
  try {
    await onServer(`alter database "${migration.production.name}" owner to ${identifier(owner)}`);
    await withDatabase(migration.production.url, (client) =>
      client.query(prepared.replaceAll('current_owner', identifier(owner))),
    );
    for (const [name, url] of Object.entries(migration.env)) process.env[name] = asUser(url ?? '', owner);
    await withDatabase(asUser(migration.production.url, owner), (client) => client.query(before));
    const dir = path.join(migration.folder, 'new');
    mkdirSync(dir);
    writeFileSync(path.join(dir, '01.sql'), after);
    writeFileSync(path.join(migration.folder, 'same.yaml'), '{}\n');
    changePlan(migration, (plan) => {
      Object.assign(plan, { schema: { kind: 'sql', dir }, mapping: './same.yaml' });
      change?.(plan);
    });
    return { ...migration, drop };
  } catch (error) {
    await drop();
    throw error;
  }
}

/** A run of the plan fails in its last checks, so that everything is done and goes back. */
export const smokeFails: PlanChange = (plan) => {
  plan.smoke = [{ name: 'fails', kind: 'sql', sql: 'select 1 / 0' }];
  plan.rollbackSmoke = [];
};

/** Finds nothing in preflight, fails in smoke, and is then what it was before: rows, and definition as PostgreSQL prints it again. */
export async function expectBack(scene: Scene, migration: Migration): Promise<void> {
  const { url } = migration.production;
  expect((await checkHarmlessly(migration)).findings).toEqual([]);
  const content = await contentOf(url);
  const expected = await definitionReadAgain(url);
  const { status } = await runToEnd(scene, migration, approve);
  expect(status).toMatchObject({ outcome: 'rolled-back', parked: false });
  expect(status.steps.filter(({ state }) => state === 'failed').map(({ name }) => name)).toEqual(['smoke']);
  expect(status.notes.join()).not.toContain('otherwise than before');
  expect(await contentOf(url)).toEqual(content);
  expect((await definitionOf(url, [])).sort()).toEqual(expected.sort());
}

/** A URL of another user's. */
export function asUser(url: string, user: string): string {
  const place = new URL(url);
  [place.username, place.password] = [user, passwordOfUsers];
  return place.toString();
}

/** How PostgreSQL prints a database's definition once it has read what it printed: what comes back may be printed so. */
async function definitionReadAgain(url: string): Promise<string[]> {
  return printedAgain(await definitionOf(url, []));
}

/** The same, of a definition's lines. */
export async function printedAgain(lines: readonly string[]): Promise<string[]> {
  const again = await createDatabase('again');
  try {
    await withDatabase(again.url, (client) => client.query(lines.join('\n')));
    return await definitionOf(again.url, []);
  } finally {
    await again.drop();
  }
}
