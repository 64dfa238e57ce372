/** The new schema: deployed by SQL files or a command to an emptied database, and compared with the shadow's. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { KirikaeError, failWith, sqlStateOf } from '../errors';
import { runCommand } from '../host/command';
import { dumpSchema, printingsOf, unlikePrintings } from '../postgres/dump';
import type { Endpoint } from '../postgres/endpoint';
import { identifiers } from '../postgres/sql';
import { throughTheFence } from '../postgres/url';
import { namedVariables } from '../settings/environment';
import { sqlFiles, type Plan } from '../settings/read';
import { milliseconds } from '../settings/schema';
import type { Learnt } from './learnt';

/**
 * Runs the plan's schema step against a database whose managed schemas are empty.
 * @param attempt.key the same for every attempt: a command that an earlier one left running is ended first
 * @throws KirikaeError naming the file or command that failed
 */
export async function runSchemaStep(
  { url, client }: Omit<Endpoint, 'title'>,
  plan: Plan,
  { key, signal, mayRun }: { key: string; signal?: AbortSignal; mayRun?: () => Promise<void> },
): Promise<void> {
  if (plan.schema.kind === 'sql') {
    await client.query(
      `set client_min_messages = warning; set search_path = ${identifiers(plan.databases.production.schemas)}`,
    );
    for (const file of sqlFiles(path.resolve(plan.folder, plan.schema.dir))) {
      try {
        await client.query(readFileSync(file, 'utf8'));
      } catch (error) {
        const code = sqlStateOf(error);
        failWith(
          error,
          (why) =>
            `${path.basename(file)} of the schema folder failed: ${why}${code ? ` (SQLSTATE ${code})` : ''}. Correct the file.`,
        );
      }
    }
    await client.query(`set search_path = ''; set default_transaction_read_only = off`);
    return;
  }
  const target = throughTheFence(url);
  await runCommand({
    run: plan.schema.run,
    cwd: path.resolve(plan.folder, plan.schema.cwd ?? '.'),
    env: {
      ...namedVariables(plan.schema.env),
      ...Object.fromEntries(plan.schema.urlEnv.map((name) => [name, target])),
    },
    timeoutMs: milliseconds(plan.schema.timeout),
    key,
    ...(signal ? { signal } : {}),
    ...(mayRun ? { mayRun } : {}),
  });
}

/** Throws when production's definition isn't what the shadow got: DataDiffer naming what is missing, extra or different. */
export async function compareWithLearnt(
  productionUrl: string,
  { newSchema, newSchemaAgain }: Pick<Learnt, 'newSchema' | 'newSchemaAgain'>,
  schemas: readonly string[],
): Promise<void> {
  const found = await dumpSchema(productionUrl, schemas, { owners: false });
  const { missing, added, otherwise } = unlikePrintings(found, printingsOf(newSchema, newSchemaAgain));
  const problems = [
    ...missing.map((name) => `${name} is missing`),
    ...otherwise.map((name) => `${name} differs`),
    ...added.map((name) => `${name} is there but not expected`),
  ];
  if (problems.length > 0) {
    throw new KirikaeError(
      'DataDiffer',
      `Production's schema is not the one the shadow database got from the same step: ${problems.slice(0, 10).join('; ')}. The schema step must give the same result every time.`,
    );
  }
}
