/**
 * What preflight learns on the shadow once it has the new schema, by doing there what a run does later: keys and indexes away and back,
 * everything dropped, and production's own definition made again as a way back makes it.
 */
import type { Client } from 'pg';
import type { Phase } from '../engine/parts';
import { applyPostData } from '../engine/post-data';
import { failureType, sentence, sqlStateOf } from '../errors';
import { checkpointDdl } from '../ledger/tables';
import { stripPostData, strippedEntries } from '../migrate/strip';
import { attempt, inTransaction } from '../postgres/connect';
import { applyDdl } from '../postgres/ddl';
import { withoutDefaultPrivileges } from '../postgres/default-privileges';
import {
  digestsOf,
  dumpSchema,
  dumpSql,
  isOfSchema,
  printingsOf,
  unlikePrintings,
  type Digests,
  type DumpEntry,
  type SchemaDump,
} from '../postgres/dump';
import type { Endpoint, Work } from '../postgres/endpoint';
import { aroundRows } from '../postgres/around-rows';
import type { TableName } from '../postgres/sql';
import { majorVersion } from '../postgres/versions';
import { filledViews, refreshViews } from '../postgres/views';
import { learnNewSchema, settingsOf, type Learnt } from '../new-schema/learnt';
import { emptyAndUndo, type OutsideOfStep } from '../new-schema/undo-outside';

const maxFindings = 10;

/** A shadow, and how to work on it. */
interface Trial {
  shadow: Endpoint;
  schemas: readonly string[];
  /** Production's materialized views that hold rows. */
  filled: readonly TableName[];
  work: Work;
}

/**
 * Learns what a run needs to know, and leaves the shadow with production's definition, or a part of it.
 * @param definition production's, owners and grants included, as preflight has just looked at it
 * @returns findings: what a run could not do after the reset; with any, `learnt` isn't complete
 */
export async function learn(
  { production, shadow }: { production: Client; shadow: Endpoint },
  {
    definition,
    schemas,
    outside,
  }: { definition: SchemaDump; schemas: readonly string[]; outside: OutsideOfStep },
  work: Work,
): Promise<{ learnt: Learnt; findings: string[]; notes: string[] }> {
  const trial = { shadow, schemas, filled: await filledViews(production, schemas), work };
  const fresh = await learnNewSchema(shadow, schemas);
  await shadow.client.query(`set client_min_messages = warning;${checkpointDdl}`);
  const findings: string[] = [];
  const newSchemaAgain = await tryNewSchema(trial, fresh.newSchema, findings);
  const old = await tryRestore(trial, definition);
  findings.push(...old.findings);
  const learnt = {
    ...fresh,
    newSchemaAgain,
    outside,
    production: { ...printingsOf(definition, old.again), settings: await settingsOf(production) },
  };
  return { learnt, findings, notes: old.notes };
}

// As migrate does with its keys, indexes and triggers.
async function tryNewSchema(
  { shadow, schemas, work }: Trial,
  dump: SchemaDump,
  findings: string[],
): Promise<Digests> {
  const { client, url } = shadow;
  try {
    await inTransaction(client, () => stripPostData(client, schemas, dump));
    const entries = await strippedEntries(client, schemas, dump);
    await applyPostData({
      ...{ ...work, target: shadow, phase: { name: 'migrate', attempt: 1 } },
      sql: dumpSql(dump, entries, await majorVersion(client)),
      what: "new schema's keys, indexes and triggers",
      finish: () => Promise.resolve(),
    });
  } catch (error) {
    if (failureType(error) !== 'StepFailed') throw error;
    findings.push(
      `What the schema step made can't be taken away before the rows and applied again after them: ${sentence(error)} Correct the schema step.`,
    );
    return {};
  }
  return digestsOf(await dumpSchema(url, schemas, { owners: false }));
}

/** Production's definition read as a restore reads it, printed, and where that differs read once more. */
async function tryRestore(
  trial: Trial,
  definition: SchemaDump,
): Promise<{ again: Digests; findings: string[]; notes: string[] }> {
  const { shadow, schemas } = trial;
  const none = { again: {}, findings: [], notes: [] };
  const print = async () => whatLeaves(await dumpSchema(shadow.url, schemas, { owners: true }));
  const dump = whatLeaves(definition);
  try {
    await makeAgain(trial, dump, { name: 'restore', attempt: 1 });
  } catch (error) {
    if (failureType(error) !== 'StepFailed') throw error;
    const failing = await entriesThatFail(trial, dump);
    if (failing.every(({ isRole }) => isRole) && failing.length > 0)
      return {
        ...none,
        notes: [
          `The shadow's server lacks roles of production's (${failing[0]?.why}), so whether production's definition can be made again is not proved. Let databases.shadow out, and it lies on production's server.`,
        ],
      };
    const which = failing.slice(0, maxFindings).map(({ name, why }) => `${name}: ${why}`);
    return {
      ...none,
      findings: (which.length > 0 ? which : [sentence(error)]).map(
        (text) =>
          `A way back could not make production's definition again, as production's user. ${text.replace(/\.$/, '')}. Remove what hinders it, or grant what is missing.`,
      ),
    };
  }
  const again = await print();
  const first = unlikePrintings(again, printingsOf(dump));
  const findings = [
    ...first.missing.map((name) => `${name} is not made again by what pg_dump prints of production.`),
    ...first.added.map((name) => `${name} would be new after a way back.`),
  ];
  if (first.otherwise.length > 0) {
    await makeAgain(trial, again, { name: 'restore', attempt: 2 });
    const third = unlikePrintings(await print(), printingsOf(again));
    findings.push(
      ...third.otherwise.map(
        (name) => `${name} is printed otherwise each time that PostgreSQL reads it, so it can't be compared.`,
      ),
    );
  }
  return { again: digestsOf(again), findings: findings.slice(0, maxFindings), notes: [] };
}

// With the statements of a restore (src/restore/copy-back.ts).
async function makeAgain(
  { shadow, schemas, filled, work }: Trial,
  printed: SchemaDump,
  phase: Phase,
): Promise<void> {
  const { client } = shadow;
  const dump = aroundRows(printed);
  const version = await majorVersion(client);
  await inTransaction(client, async () => {
    await emptyAndUndo(client, schemas);
    await withoutDefaultPrivileges(client, () =>
      applyDdl(client, dumpSql(dump, dump.pre, version), "definition of production's"),
    );
  });
  await applyPostData({
    ...{ ...work, target: shadow, phase, around: withoutDefaultPrivileges },
    sql: dumpSql(dump, dump.post, version),
    what: "keys and indexes of production's definition",
    finish: (last) => refreshViews(last, schemas, filled),
  });
}

// The rest never leaves production.
function whatLeaves(dump: SchemaDump): SchemaDump {
  const leaves = (entry: DumpEntry) => !isOfSchema(entry);
  return { ...dump, pre: dump.pre.filter(leaves), post: dump.post.filter(leaves) };
}

interface FailingEntry {
  name: string;
  why: string;
  isRole: boolean;
}

// One by one, so that all are named.
async function entriesThatFail(
  { shadow: { client }, schemas }: Trial,
  dump: SchemaDump,
): Promise<FailingEntry[]> {
  const failing: FailingEntry[] = [];
  const version = await majorVersion(client);
  const tryThem = async () => {
    await emptyAndUndo(client, schemas);
    await client.query(dumpSql(dump, [], version));
    for (const entry of [...dump.pre, ...dump.post]) {
      const sql = dumpSql({ ...dump, prelude: '' }, [entry], version);
      const why = await attempt(client, () => client.query(sql));
      if (why) failing.push({ name: nameOf(entry), why: sentence(why), isRole: isMissingRole(why) });
    }
    throw new Tried();
  };
  await inTransaction(client, tryThem).catch((error: unknown) => {
    if (!(error instanceof Tried)) throw error;
  });
  return failing;
}

// Nothing of it is to stay.
class Tried extends Error {}

function nameOf({ type, schema, name }: DumpEntry): string {
  return `${type.toLowerCase()} ${schema === '-' ? '' : `${schema}.`}${name}`;
}

function isMissingRole(error: unknown): boolean {
  return sqlStateOf(error) === '42704' && /^role /.test(sentence(error));
}
