/** The way back: the managed schemas rebuilt from the sealed backup, from empty, and verified against its manifest. */
import type { Client } from 'pg';
import { plainCopy } from '../backup/build';
import { rowsUnlikeManifest } from '../backup/held-against';
import { readBackup, type Manifest, sealedManifest } from '../backup/manifest';
import { maxProblems, storedSide } from '../engine/differences';
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
import type { Pair, Work } from '../postgres/endpoint';
import { emptySchemas } from '../postgres/managed-schemas';
import { qualified } from '../postgres/sql';
import { sameMajor } from '../postgres/versions';
import { refreshViews } from '../postgres/views';
import { moveBack, keptSchemas } from '../reset/set-aside';

/** Stages of this phase stand in the backup, where other phases of the way back stand in production. */
const RESTORED = 'restored';

/** Which restore: each attempt starts from empty. */
export interface Restore {
  schemas: readonly string[];
  run: RunIdentity;
  phase: Phase;
}

/**
 * Empties the managed schemas, applies the stored definition and plans the copy; once per attempt. Old objects that were kept
 * are moved back instead, and nothing is left to copy; an attempt after that finds none and copies. Nothing is left to copy
 * either where a clone of the backup has taken production's place.
 * @throws what `mayRestore` throws
 */
export async function beginRestore(pair: Pair, { schemas, run, phase }: Restore): Promise<PartPlan> {
  const [production, backup] = [pair.production.client, pair.backup.client];
  const sealed = await sealedManifest(backup);
  await mayRestore(production, run);
  await production.query('set client_min_messages = warning');
  await production.query(checkpointDdl);
  if (!(await stageDone(production, phase, 'schema'))) {
    const { ddlPre } = await readBackup(backup);
    await inTransaction(production, async () => {
      await mayRestore(production, run);
      if ((await keptSchemas(production)).length > 0) {
        await moveBack(production, schemas);
        return noteWhole(production, phase.attempt);
      }
      await emptySchemas(production, schemas);
      await withoutDefaultPrivileges(production, () =>
        applyDdl(production, ddlPre, 'stored schema of the backup'),
      );
      await noteStage(production, phase, 'schema');
    });
  }
  const whole = await stageDone(production, phase, 'whole');
  const tables = whole ? [] : await readStoredTables(backup, sealed.schemas);
  return planParts(production, phase, {
    jobs: tables.map(plainCopy),
    sameMajor: await sameMajor(production, backup),
  });
}

/** Sequences, indexes, keys, materialized views, ANALYZE; then everything is compared with the manifest. */
export async function finishRestore(pair: Pair, { schemas, run, phase }: Restore, work: Work): Promise<void> {
  const [production, backup] = [pair.production.client, pair.backup.client];
  await mayRestore(production, run);
  const sealed = await sealedManifest(backup);
  // What was moved back or cloned has its keys, its sequences and its statistics.
  const whole = await stageDone(production, phase, 'whole');
  if (!whole && !(await stageDone(production, phase, 'keys'))) {
    const { ddlPost } = await readBackup(backup);
    await applyPostData({
      ...work,
      target: pair.production,
      phase,
      sql: ddlPost,
      what: 'stored indexes and keys of the backup',
      mayWrite: async (client) => void (await ownClaim(client, run)),
      around: withoutDefaultPrivileges,
      finish: async (client) => {
        await writeSequences(client, sealed.sequences);
        await refreshViews(client, schemas, sealed.filledViews);
        await noteStage(client, phase, 'keys');
      },
    });
  }
  await compareWithManifest(pair, { schemas, manifest: sealed }, work);
  if (!whole) await analyzeTables(pair.production, { schemas }, work);
  // Production's ledger goes at the end of the run; the backup, which is kept, then says that its rows are home.
  await noteStage(pair.backup.client, { name: RESTORED, attempt: phase.attempt }, 'proved');
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
  pair: Pair,
  { schemas, manifest }: { schemas: readonly string[]; manifest: Manifest },
  work: Work,
): Promise<void> {
  const backup = await storedSide(pair.backup, manifest.schemas);
  const production = await storedSide(pair.production, schemas);
  const problems = await rowsUnlikeManifest(production, backup, { manifest, work });
  const after = new Map((await readSequenceStates(production.client, schemas)).map((s) => [qualified(s), s]));
  for (const sequence of manifest.sequences) {
    const found = after.get(qualified(sequence));
    if (found?.lastValue !== sequence.lastValue || found.isCalled !== sequence.isCalled) {
      problems.push(`sequence ${qualified(sequence)} is not where the backup has it`);
    }
  }
  const ddlHash = dumpHash(await dumpSchema(production.url, schemas, { owners: true }));
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
export async function mayRestore(production: Client, run: RunIdentity): Promise<Claim> {
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
  for (const stage of ['schema', 'whole']) await noteStage(client, { name: 'restore', attempt }, stage);
}
