/** The way back: the managed schemas rebuilt from the sealed backup, from empty, and verified against its manifest. */
import type { Client } from 'pg';
import { plainCopy } from '../backup/build';
import { readBackup, type Manifest, sealedManifest } from '../backup/manifest';
import { hashTables } from '../engine/compare';
import { describeDifferences, hashJob, maxProblems, narrowStored } from '../engine/differences';
import { planParts, type PartPlan, type Phase } from '../engine/parts';
import { analyzeTables, applyPostData } from '../engine/post-data';
import { readSequenceStates, readStoredTables, writeSequences } from '../engine/tables';
import { KirikaeError } from '../errors';
import { noteStage, stageDone } from '../ledger/checkpoints';
import { ownClaim, type Claim, type RunIdentity } from '../ledger/claim';
import { checkpointDdl } from '../ledger/tables';
import { all, inTransaction, one } from '../postgres/connect';
import { applyDdl } from '../postgres/ddl';
import { withoutDefaultPrivileges } from '../postgres/default-privileges';
import { dumpHash, dumpSchema } from '../postgres/dump';
import { emptySchemas } from '../postgres/managed-schemas';
import { qualified } from '../postgres/sql';
import { sameMajor } from '../postgres/versions';
import { refreshViews } from '../postgres/views';
import { bringHome, keptSchemas } from '../reset/set-aside';

/** Stages of this phase stand in the backup, where other phases of the way back stand in production. */
const RESTORED = 'restored';

export interface RestoreEnds {
  production: Client;
  productionUrl: string;
  backup: Client;
  backupUrl: string;
  schemas: readonly string[];
  run: RunIdentity;
  phase: Phase;
}

/**
 * Empties the managed schemas, applies the stored definition and plans the copy; once per attempt. Old objects that were kept
 * are moved home instead, and nothing is left to copy; an attempt after that finds none and copies. Nothing is left to copy
 * either where a clone of the backup has taken production's place.
 * @throws what `mayRestore` throws
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
        return noteWhole(production, phase.attempt);
      }
      await emptySchemas(production, schemas);
      await withoutDefaultPrivileges(production, () =>
        applyDdl(production, ddlPre, 'stored schema of the backup'),
      );
      await noteStage(production, phase.name, phase.attempt, 'schema');
    });
  }
  const whole = await stageDone(production, phase.name, phase.attempt, 'whole');
  const tables = whole ? [] : await readStoredTables(backup, sealed.schemas);
  return planParts(production, phase, tables.map(plainCopy), await sameMajor(production, backup));
}

/** Sequences, indexes, keys, materialized views, ANALYZE; then everything is compared with the manifest. */
export async function finishRestore(
  ends: RestoreEnds,
  work: { label: string; lanes: number; signal: AbortSignal; onTable: (rows: number) => void },
): Promise<void> {
  const { production, backup, schemas, phase } = ends;
  await mayRestore(ends);
  const sealed = await sealedManifest(backup);
  // What was moved home or cloned has its keys, its sequences and its statistics.
  const whole = await stageDone(production, phase.name, phase.attempt, 'whole');
  if (!whole && !(await stageDone(production, phase.name, phase.attempt, 'keys'))) {
    const { ddlPost } = await readBackup(backup);
    await applyPostData({
      ...work,
      client: production,
      url: ends.productionUrl,
      phase,
      sql: ddlPost,
      what: 'stored indexes and keys of the backup',
      mayWrite: async (client) => void (await ownClaim(client, ends.run)),
      around: withoutDefaultPrivileges,
      finish: async (client) => {
        await writeSequences(client, sealed.sequences);
        await refreshViews(client, schemas, sealed.filledViews);
        await noteStage(client, phase.name, phase.attempt, 'keys');
      },
    });
  }
  await compareWithManifest(ends, sealed, work);
  if (!whole) await analyzeTables(production, schemas, { ...work, url: ends.productionUrl });
  // Production's ledger goes at the end of the run; the backup, which is kept, then says that its rows are home.
  await noteStage(backup, RESTORED, phase.attempt, 'proved');
}

/** True when production was restored from this backup and proved identical to it. */
export async function wasRestored(backup: Client): Promise<boolean> {
  // A clone whose worker died before it became a backup has no stages.
  const { there } = await one<{ there: boolean }>(
    backup,
    `select to_regclass('kirikae.stage') is not null as there`,
  );
  if (!there) return false;
  const rows = await all(backup, 'select 1 from kirikae.stage where phase = $1', [RESTORED]);
  return rows.length > 0;
}

async function compareWithManifest(
  ends: RestoreEnds,
  manifest: Manifest,
  reading: { lanes: number; signal: AbortSignal; onTable: (rows: number) => void },
): Promise<void> {
  const { production, schemas } = ends;
  const tables = await readStoredTables(production, schemas);
  const common = { ...reading, label: 'restore', method: manifest.hashMethod };
  const now = await hashTables(tables.map(hashJob), { ...common, url: ends.productionUrl });
  const problems = await describeDifferences(
    [new Map(manifest.tables.map((table) => [qualified(table), table])), now],
    ['the backup', 'production'],
    narrowStored(
      {
        url: ends.backupUrl,
        client: ends.backup,
        title: 'the backup',
        tables: await readStoredTables(ends.backup, manifest.schemas),
      },
      { url: ends.productionUrl, client: production, title: 'production', tables },
      common,
    ),
  );
  const after = new Map((await readSequenceStates(production, schemas)).map((s) => [qualified(s), s]));
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
      `The restored database is not what the backup holds: ${problems.slice(0, maxProblems).join('; ')}. The maintenance page stays on. Find out what changed it, then send retry: the restore starts from empty again.`,
    );
  }
}

/**
 * @returns this run's claim
 * @throws KirikaeError when the ledger has no mark `reset`, or has `live` without an accepted loss: then nothing restores
 */
export async function mayRestore({
  production,
  run,
}: Pick<RestoreEnds, 'production' | 'run'>): Promise<Claim> {
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
  return claim;
}

/** Notes that an attempt left nothing to copy or to build: the old objects came as a whole. */
export async function noteWhole(client: Client, attempt: number): Promise<void> {
  for (const stage of ['schema', 'whole']) await noteStage(client, 'restore', attempt, stage);
}
