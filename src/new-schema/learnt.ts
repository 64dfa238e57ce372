/** What preflight learns on the shadow, and of production as it was then: it belongs to the claim, and the shadow goes. */
import { createHash } from 'node:crypto';
import type { Client } from 'pg';
import { KirikaeError } from '../errors';
import { learntDdl } from '../ledger/tables';
import { readCatalog, type Catalog } from '../postgres/catalog';
import { all, hasRelation } from '../postgres/connect';
import {
  compareDigests,
  digestsOf,
  dumpSchema,
  type Digests,
  type Printings,
  type SchemaDump,
} from '../postgres/dump';
import type { Endpoint } from '../postgres/endpoint';
import { readSettings } from '../postgres/outside';
import type { TableName } from '../postgres/sql';
import { filledViews } from '../postgres/views';
import type { Plan } from '../settings/read';
import type { OutsideOfStep } from './undo-outside';

/** Plain data; several MB for hundreds of tables, so that it stays in databases. */
export interface Learnt {
  /** The new schema's definition, as the shadow got it. */
  newSchema: SchemaDump;
  /** How it is printed once its keys, indexes and the like were taken away and applied again. */
  newSchemaAgain: Digests;
  /** The new schema's tables, for compiling the mapping. */
  catalog: Catalog;
  /** Materialized views of the new schema that hold rows, in the order in which they can be refreshed. */
  filledViews: TableName[];
  /** What the schema step did outside the managed schemas. */
  outside: OutsideOfStep;
  /** Production's definition, owners and grants included, and its settings, as preflight saw them. */
  production: Printings & { settings: string[] };
}

/** Looks at the shadow, which has the new schema. */
export async function learnNewSchema(
  { url, client }: Pick<Endpoint, 'client' | 'url'>,
  schemas: readonly string[],
): Promise<Pick<Learnt, 'newSchema' | 'catalog' | 'filledViews'>> {
  return {
    newSchema: await dumpSchema(url, schemas, { owners: false }),
    catalog: await readCatalog(client, schemas),
    filledViews: await filledViews(client, schemas),
  };
}

/** Writes it into schema `kirikae` of the shadow, or of production in the claim's transaction; in place of earlier ones. */
export async function writeLearnt(client: Client, learnt: Learnt): Promise<void> {
  await client.query(`set client_min_messages = warning;${learntDdl}`);
  await client.query(
    `insert into kirikae.learnt (content) values ($1) on conflict (singleton) do update set content = excluded.content`,
    [JSON.stringify(learnt)],
  );
}

/** Null where nothing was learnt. */
export async function readLearnt(client: Client): Promise<Learnt | null> {
  if (!(await hasRelation(client, 'kirikae.learnt'))) return null;
  const [row] = await all<{ content: string }>(client, 'select content from kirikae.learnt');
  return row ? (JSON.parse(row.content) as Learnt) : null;
}

/** A hash of the definition that the schema step gave the shadow, whatever made it. */
export async function hashOfNewSchema(client: Client): Promise<string> {
  const learnt = await readLearnt(client);
  return createHash('sha256')
    .update(JSON.stringify(learnt?.newSchema ?? null))
    .digest('hex');
}

const maxDifferences = 5;

/**
 * Looks under the fence at what preflight proved: production's definition, owners, grants and settings.
 * @throws KirikaeError StepFailed naming what has changed since
 */
export async function lookAgain(
  { url, client }: Endpoint,
  { production: before }: Learnt,
  plan: Plan,
): Promise<void> {
  const { schemas } = plan.databases.production;
  const definition = digestsOf(await dumpSchema(url, schemas, { owners: true }));
  const settings = await settingsOf(client);
  const differences = [
    ...compareDigests(definition, before.first),
    ...settings.filter((setting) => !before.settings.includes(setting)).map((s) => `the setting ${s} is new`),
    ...before.settings
      .filter((setting) => !settings.includes(setting))
      .map((s) => `the setting ${s} is gone`),
  ];
  if (differences.length === 0) return;
  const more = differences.length > maxDifferences ? `; and ${differences.length - maxDifferences} more` : '';
  throw new KirikaeError(
    'StepFailed',
    `Production is not what preflight looked at: ${differences.slice(0, maxDifferences).join('; ')}${more}. Nothing was dropped. Find out who changes it, and start again: preflight then looks at what it is now.`,
  );
}

/** What is set for the database, and for roles in it, a line each; the fence's own setting aside. */
export async function settingsOf(client: Client): Promise<string[]> {
  const settings = await readSettings(client);
  return settings.map(({ role, setting }) => (role === null ? setting : `${role}: ${setting}`));
}
