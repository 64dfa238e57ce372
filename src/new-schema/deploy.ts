/** The new schema: deployed by SQL files or a command to an emptied database, and compared with the shadow's. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Client } from 'pg';
import { KirikaeError, failWith, sqlStateOf } from '../errors';
import { runCommand } from '../host/command';
import { pin } from '../postgres/connect';
import { dumpSchema, printingsOf, unlikePrintings } from '../postgres/dump';
import type { Endpoint } from '../postgres/endpoint';
import { optionsLike, readOwnSettings, settingOwn } from '../postgres/own-settings';
import { computing } from '../postgres/pinned-settings';
import { identifiers } from '../postgres/sql';
import { throughTheFence, withOptions } from '../postgres/url';
import { namedVariables } from '../settings/environment';
import { sqlFiles, type Plan } from '../settings/read';
import { milliseconds } from '../settings/schema';
import type { Learnt } from './learnt';

interface SchemaStep {
  /** The same for every attempt: a command that an earlier one left running is ended first. */
  key: string;
  signal?: AbortSignal;
  mayRun?: () => Promise<void>;
  /** Told the process id of a command. */
  onStart?: (pid: number) => Promise<void>;
  /** Production's session, whose settings a shadow is to be built under; without it the database is production. */
  like?: Client;
}

// How a new table is stored, where neither file nor command says it.
const making = ['default_table_access_method', 'default_toast_compression'];

/**
 * Runs the plan's schema step against a database whose managed schemas are empty.
 * @throws KirikaeError naming the file or command that failed
 */
export async function runSchemaStep(
  { url, client }: Omit<Endpoint, 'title'>,
  plan: Plan,
  { key, signal, mayRun, onStart, like = client }: SchemaStep,
): Promise<void> {
  if (plan.schema.kind === 'sql') {
    const own = settingOwn(await readOwnSettings(like, [...Object.keys(computing), ...making]));
    await client.query(`${own} set search_path = ${identifiers(plan.databases.production.schemas)}`);
    for (const file of sqlFiles(path.resolve(plan.folder, plan.schema.dir))) {
      const sql = textOf(file);
      try {
        // A file before may have said in which encoding it was once written.
        await client.query(`set client_encoding = 'UTF8'`);
        await client.query(sql);
      } catch (error) {
        const code = sqlStateOf(error);
        failWith(
          error,
          (why) =>
            `${path.basename(file)} of the schema folder failed: ${why}${code ? ` (SQLSTATE ${code})` : ''}. Correct the file.`,
        );
      }
    }
    await pin(client);
    return;
  }
  const target = throughTheFence(like === client ? url : withOptions(url, await optionsLike(like, client)));
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
    ...(onStart ? { onStart } : {}),
  });
}

function textOf(file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new KirikaeError(
      'StepFailed',
      `${path.basename(file)} of the schema folder is not in UTF-8. Write it in that encoding.`,
    );
  }
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
