/** Rows from the backup through the mapping into the new schema: planning, and what follows the rows. */
import type { Client } from 'pg';
import type { Manifest } from '../backup/manifest';
import { planParts, type CopyJob, type PartPlan, type Phase } from '../engine/parts';
import { analyzeTables, applyPostData } from '../engine/post-data';
import { readStoredTables, type StoredTable } from '../engine/tables';
import { KirikaeError } from '../errors';
import { noteStage, stageDone } from '../ledger/checkpoints';
import { checkpointDdl } from '../ledger/tables';
import { compileMapping } from '../mapping/compile';
import { selectSql, type CompiledMapping, type CompiledTable } from '../mapping/compiled';
import { parseMapping } from '../mapping/file';
import { volatileFunctionNames } from '../mapping/scan';
import type { Learnt } from '../new-schema/learnt';
import { readCatalog, type Catalog } from '../postgres/catalog';
import { inTransaction } from '../postgres/connect';
import { dumpSql } from '../postgres/dump';
import type { Endpoint, Pair, Work } from '../postgres/endpoint';
import { qualified } from '../postgres/sql';
import { majorVersion, sameMajor } from '../postgres/versions';
import { refreshViews } from '../postgres/views';
import type { Plan } from '../settings/read';
import { advanceSequences } from './sequences';
import { stripPostData, strippedEntries } from './strip';

export const MIGRATE_PHASE: Phase = { name: 'migrate', attempt: 1 };

/**
 * Compiles a plan's mapping: the old schema in `source`, the new one in `target`, a database or what was learnt of one.
 * @throws UsageError when the mapping file is broken; what it leaves unexplained is in `findings`
 */
export async function compilePlan(
  plan: Plan,
  source: Client,
  target: Client | Catalog,
): Promise<CompiledMapping> {
  const { schemas } = plan.databases.production;
  return compileMapping({
    mapping: parseMapping(plan.mappingText, plan.mapping),
    source: await readCatalog(source, schemas),
    target: 'tables' in target ? target : await readCatalog(target, schemas),
    schemas,
    volatileFunctions: await volatileFunctionNames(source),
  });
}

/** Compiles the mapping of a run under way. @throws KirikaeError when it leaves anything unexplained */
export async function compileForRun(
  plan: Plan,
  backup: Client,
  production: Client,
): Promise<CompiledMapping> {
  const compiled = await compilePlan(plan, backup, production);
  if (compiled.findings.length > 0) {
    throw new KirikaeError(
      'StepFailed',
      `The mapping no longer fits the schemas: ${compiled.findings.slice(0, 5).join(' ')}`,
    );
  }
  return compiled;
}

export interface Migration {
  plan: Plan;
  /** Called as the last statement before each COMMIT in production: throws when this run may no longer write. */
  mayWrite: (client: Client) => Promise<void>;
}

/** Takes keys, indexes and triggers away and plans the parts; goes on where an earlier attempt stopped. */
export async function beginMigrate(
  pair: Pair,
  { plan, learnt, mayWrite }: Migration & { learnt: Learnt },
): Promise<PartPlan> {
  const [production, backup] = [pair.production.client, pair.backup.client];
  const { schemas } = plan.databases.production;
  await production.query('set client_min_messages = warning');
  await production.query(checkpointDdl);
  if (!(await stageDone(production, MIGRATE_PHASE, 'stripped'))) {
    await inTransaction(production, async () => {
      await stripPostData(production, schemas, learnt.newSchema);
      await noteStage(production, MIGRATE_PHASE, 'stripped');
      await mayWrite(production);
    });
  }
  const compiled = await compileForRun(plan, backup, production);
  const sources = new Map((await readStoredTables(backup, schemas)).map((table) => [table.oid, table]));
  const targets = new Map(
    (await readStoredTables(production, schemas)).map((table) => [qualified(table), table]),
  );
  const jobs = compiled.tables.flatMap((table) =>
    copyJobs(table, sources, targets.get(qualified(table.target))),
  );
  return planParts(production, MIGRATE_PHASE, { jobs, sameMajor: await sameMajor(production, backup) });
}

/** The columns a mapping fills in one target table, with their exact types. */
export function filledColumns(table: CompiledTable): { name: string; type: string }[] {
  return table.columns.map((name, index) => ({ name, type: table.types[index] ?? 'unknown' }));
}

function copyJobs(
  table: CompiledTable,
  stored: ReadonlyMap<number, StoredTable>,
  target: StoredTable | undefined,
): CopyJob[] {
  const isEnum = new Map(target?.columns.map((column) => [column.name, column.isEnum === true]));
  const columns = filledColumns(table).map((column) => ({
    ...column,
    isEnum: isEnum.get(column.name) === true,
  }));
  return table.sources.map((source) => {
    const storage = stored.get(source.tableOid);
    if (!storage)
      throw new KirikaeError(
        'StepFailed',
        `The backup has no table ${qualified(source.table)}, which the mapping reads.`,
      );
    return {
      source: storage,
      target: table.target,
      columns,
      select: (range) => selectSql(source, table.columns, range),
    };
  });
}

/** Keys, indexes and triggers back, as the shadow had them; sequences; materialized views; ANALYZE. */
export async function finishMigrate(
  target: Endpoint,
  { plan, learnt, manifest, mayWrite }: Migration & { learnt: Learnt; manifest: Manifest },
  work: Work,
): Promise<void> {
  const { schemas } = plan.databases.production;
  const { client: production } = target;
  const phase = MIGRATE_PHASE;
  if (!(await stageDone(production, phase, 'keys'))) {
    const dump = learnt.newSchema;
    const entries = await strippedEntries(production, schemas, dump);
    await applyPostData({
      ...work,
      target,
      phase,
      sql: dumpSql(dump, entries, await majorVersion(production)),
      what: "new schema's keys, indexes and triggers",
      mayWrite,
      finish: async (client) => {
        await advanceSequences(client, schemas, manifest);
        await refreshViews(client, schemas, learnt.filledViews);
        await noteStage(client, phase, 'keys');
      },
    });
  }
  await analyzeTables(target, { schemas }, work);
}
