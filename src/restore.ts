/** The way back: the managed schemas rebuilt from the sealed backup, from empty, and verified against its manifest. */
import type { Client } from 'pg';
import { differences, hashJob, plainCopy, readBackup, sameMajor, type Manifest } from './backup';
import { applyDdl, emptySchemas } from './database';
import { hashTables } from './engine/compare';
import { planParts, type PartPlan, type Phase } from './engine/parts';
import { readSequences, readTables, writeSequences } from './engine/tables';
import { KirikaeError } from './errors';
import { bringHome, keptSchemas } from './keep';
import { noteStage, ownClaim, stageDone, checkpointDdl, type RunIdentity } from './ledger';
import { all, inTransaction } from './postgres/connect';
import { dumpHash, dumpSchema } from './postgres/dump';
import { qualified } from './postgres/sql';

export interface RestoreEnds {
  production: Client;
  productionUrl: string;
  backup: Client;
  schemas: readonly string[];
  run: RunIdentity;
  phase: Phase;
}

/**
 * Empties the managed schemas, applies the stored definition and plans the copy; once per attempt. Old objects that were kept
 * are moved home instead, and nothing is left to copy; an attempt after that finds none and copies.
 * @throws KirikaeError when the ledger has no mark `reset`, or has `live` without an accepted loss: then nothing restores
 */
export async function beginRestore(ends: RestoreEnds): Promise<PartPlan> {
  const { production, backup, schemas, phase } = ends;
  const sealed = await sealedManifest(backup);
  await mayRestore(ends);
  await production.query('set client_min_messages = warning');
  await production.query(checkpointDdl);
  if (!(await stageDone(production, phase.name, phase.attempt, 'schema'))) {
    const { ddlPre } = await readBackup(backup);
    await inTransaction(production, async () => {
      await mayRestore(ends);
      if ((await keptSchemas(production)).length > 0) {
        await bringHome(production, schemas);
        for (const stage of ['schema', 'home']) await noteStage(production, phase.name, phase.attempt, stage);
        return;
      }
      await emptySchemas(production, schemas);
      await applyDdl(production, ddlPre, 'stored schema of the backup');
      await noteStage(production, phase.name, phase.attempt, 'schema');
    });
  }
  const home = await stageDone(production, phase.name, phase.attempt, 'home');
  const tables = home ? [] : await readTables(backup, sealed.schemas);
  return planParts(production, phase, tables.map(plainCopy), await sameMajor(production, backup));
}

/** Sequences, indexes, keys, materialized views, ANALYZE; then everything is compared with the manifest. */
export async function finishRestore(
  ends: RestoreEnds,
  reading: { lanes: number; signal: AbortSignal; onTable: (rows: number) => void },
): Promise<void> {
  const { production, backup, schemas, phase } = ends;
  await mayRestore(ends);
  const sealed = await sealedManifest(backup);
  // What was moved home has its keys, its sequences and its statistics.
  const home = await stageDone(production, phase.name, phase.attempt, 'home');
  if (!home && !(await stageDone(production, phase.name, phase.attempt, 'keys'))) {
    const { ddlPost } = await readBackup(backup);
    await inTransaction(production, async () => {
      await applyDdl(production, ddlPost, 'stored indexes and keys of the backup');
      await writeSequences(production, sealed.sequences);
      await refreshViews(production, schemas);
      await noteStage(production, phase.name, phase.attempt, 'keys');
    });
  }
  await compareWithManifest(ends, sealed, reading);
  if (home) return;
  for (const table of await readTables(production, schemas))
    await production.query(`analyze ${qualified(table)}`);
}

/** Refreshes the materialized views of the schemas in the order they were made, so that views on views are filled too. */
export async function refreshViews(client: Client, schemas: readonly string[]): Promise<void> {
  const views = await all<{ schema: string; name: string }>(
    client,
    `select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any($1) and c.relkind = 'm' order by c.oid`,
    [schemas],
  );
  for (const view of views) await client.query(`refresh materialized view ${qualified(view)}`);
}

async function compareWithManifest(
  ends: RestoreEnds,
  manifest: Manifest,
  reading: { lanes: number; signal: AbortSignal; onTable: (rows: number) => void },
): Promise<void> {
  const { production, schemas } = ends;
  const tables = await readTables(production, schemas);
  const now = await hashTables(tables.map(hashJob), {
    ...reading,
    url: ends.productionUrl,
    label: 'restore',
    method: manifest.hashMethod,
  });
  const problems = differences(
    new Map(manifest.tables.map((table) => [qualified(table), table])),
    now,
    'the backup',
    'production',
  );
  const after = new Map((await readSequences(production, schemas)).map((s) => [qualified(s), s]));
  for (const sequence of manifest.sequences) {
    const found = after.get(qualified(sequence));
    if (found?.lastValue !== sequence.lastValue || found.isCalled !== sequence.isCalled) {
      problems.push(`sequence ${qualified(sequence)} is not where the backup has it`);
    }
  }
  const ddlHash = dumpHash(await dumpSchema(ends.productionUrl, schemas, { owners: true }));
  if (ddlHash !== manifest.ddlHash)
    problems.push('the definition of the schemas is not the one of the backup');
  if (problems.length > 0) {
    throw new KirikaeError(
      'DataDiffer',
      `The restored database is not what the backup holds: ${problems.slice(0, 10).join('; ')}. The maintenance page stays on. Find out what changed it, then send retry: the restore starts from empty again.`,
    );
  }
}

async function mayRestore({ production, run }: RestoreEnds): Promise<void> {
  const claim = await ownClaim(production, run);
  if (!claim.resetAt) {
    throw new KirikaeError(
      'StepFailed',
      'The ledger has no mark "reset": production still holds its own rows, so nothing is restored.',
    );
  }
  if (claim.liveAt && !claim.lossAcceptedAt) {
    throw new KirikaeError(
      'StepFailed',
      'The ledger has the mark "live": users may have written since, so nothing restores without rollBack with acceptLoss.',
    );
  }
}

async function sealedManifest(backup: Client): Promise<Manifest> {
  const { manifest } = await readBackup(backup);
  if (!manifest)
    throw new KirikaeError('StepFailed', 'The backup is not sealed, so it is not restored from.');
  return manifest;
}
