/** The way back: the managed schemas rebuilt from the sealed backup, from empty, and held against its manifest. */
import type { Client } from 'pg';
import { plainCopy } from '../backup/build';
import { rowsUnlikeManifest, sequencesUnlikeManifest } from '../backup/held-against';
import { readBackup, sealedManifest, type Manifest } from '../backup/manifest';
import { maxProblems, storedSide } from '../engine/differences';
import { planParts, type PartPlan, type Phase } from '../engine/parts';
import { analyzeTables, applyPostData } from '../engine/post-data';
import { readSequenceStates, readStoredTables, writeSequences } from '../engine/tables';
import { KirikaeError } from '../errors';
import { noteStage, stageDone } from '../ledger/checkpoints';
import { checkpointDdl } from '../ledger/tables';
import { all, inTransaction, one } from '../postgres/connect';
import { namingBlockers } from '../postgres/blockers';
import { applyDdl } from '../postgres/ddl';
import { withoutDefaultPrivileges } from '../postgres/default-privileges';
import { dumpHash, dumpSchema } from '../postgres/dump';
import type { MayWrite, Note, Pair, Work } from '../postgres/endpoint';
import { emptySchemas } from '../postgres/managed-schemas';
import { qualified } from '../postgres/sql';
import { sameMajor } from '../postgres/versions';
import { refreshViews } from '../postgres/views';
import { unlikeKept } from '../reset/prove-kept';
import { dropKept, keptSchemas, moveHome } from '../reset/set-aside';

/** Stages of this phase stand in the backup, where other phases of the way back stand in production. */
const RESTORED = 'restored';

/** Which restore: each attempt starts from empty, and goes on where it stopped. */
export interface Restore {
  schemas: readonly string[];
  phase: Phase;
  mayWrite: MayWrite;
  /** Called in the transaction that empties, when everything in it is locked: throws when it must not be emptied. */
  mayEmpty?: (target: Client) => Promise<void>;
  /** Writes into the ledger that it is emptied, in that transaction. */
  note?: Note;
}

/**
 * Empties the managed schemas, applies the stored definition and plans the copy; once per attempt. Old objects that were kept
 * and are proved to be what was sealed are moved back instead, and nothing is left to copy; others are dropped.
 * @returns the parts, and `notes` that say why what was kept is not what is brought back
 * @throws what the hook throws, and KirikaeError DataDiffer when the backup's manifest or definitions were altered
 */
export async function beginRestore(
  pair: Pair,
  { schemas, phase, mayWrite, mayEmpty, note }: Restore,
  work: Work,
): Promise<PartPlan & { notes: string[] }> {
  const [production, backup] = [pair.production.client, pair.backup.client];
  const manifest = await sealedManifest(backup);
  await mayWrite(production);
  await production.query('set client_min_messages = warning');
  await production.query(checkpointDdl);
  const notes: string[] = [];
  if (!(await stageDone(production, phase, 'schema'))) {
    const isKept = (await keptSchemas(production)).length > 0;
    const problems = isKept ? await unlikeKept(pair.production, manifest, work) : [];
    if (problems.length > 0)
      notes.push(
        `The old objects that were kept are not what was sealed, so the backup's rows are copied back: ${problems.slice(0, maxProblems).join('; ')}.`,
      );
    if (isKept && problems.length === 0)
      await moveHome(production, schemas, { note: (client) => noteWhole(client, phase), mayWrite });
    else await rebuild(pair, { schemas, phase, mayWrite, mayEmpty, note });
  }
  const whole = await stageDone(production, phase, 'whole');
  const tables = whole ? [] : await readStoredTables(backup, manifest.schemas);
  const plan = await planParts(production, phase, {
    jobs: tables.map(plainCopy),
    sameMajor: await sameMajor(production, backup),
  });
  return { ...plan, notes };
}

async function rebuild(pair: Pair, { schemas, phase, mayWrite, mayEmpty, note }: Restore): Promise<void> {
  const production = pair.production.client;
  const { definitions } = await readBackup(pair.backup.client);
  const anew = async () => {
    if (await stageDone(production, phase, 'schema')) return;
    await production.query(`set local lock_timeout = '20s'`);
    for (const table of await readStoredTables(production, schemas))
      await production.query(`lock table only ${qualified(table)} in access exclusive mode`);
    await mayEmpty?.(production);
    await dropKept(production);
    await emptySchemas(production, schemas);
    await withoutDefaultPrivileges(production, () =>
      applyDdl(production, definitions.ddl_pre ?? '', 'stored schema of the backup'),
    );
    await noteStage(production, phase, 'schema');
    await note?.(production);
    await mayWrite(production);
  };
  await namingBlockers(production, schemas, () => inTransaction(production, anew));
}

/** Sequences, indexes, keys, materialized views and ANALYZE; nothing where the old objects came as a whole. */
export async function finishRestore(
  pair: Pair,
  { schemas, phase, mayWrite }: Restore,
  work: Work,
): Promise<void> {
  const [production, backup] = [pair.production.client, pair.backup.client];
  await mayWrite(production);
  const manifest = await sealedManifest(backup);
  if (await stageDone(production, phase, 'whole')) return;
  if (!(await stageDone(production, phase, 'keys'))) {
    const { definitions } = await readBackup(backup);
    await applyPostData({
      ...work,
      target: pair.production,
      phase,
      sql: definitions.ddl_post ?? '',
      what: 'stored indexes and keys of the backup',
      mayWrite,
      around: withoutDefaultPrivileges,
      finish: async (client) => {
        await writeSequences(client, manifest.sequences);
        await refreshViews(client, schemas, manifest.filledViews);
        await noteStage(client, phase, 'keys');
      },
    });
  }
  await analyzeTables(pair.production, { schemas }, work);
}

/**
 * Holds production against the backup's manifest: rows, sequences, definition with owners and grants.
 * @throws KirikaeError DataDiffer naming what differs, rows by primary key
 */
export async function compareWithManifest(
  pair: Pair,
  what: { schemas: readonly string[]; manifest: Manifest },
  work: Work,
): Promise<void> {
  const problems = await unlikeManifest(pair, what, work);
  if (problems.length === 0) return;
  throw new KirikaeError(
    'DataDiffer',
    `The restored database is not what the backup holds: ${problems.slice(0, maxProblems).join('; ')}. The maintenance page stays on. Find out what changed it, then send retry: the restore starts from empty again.`,
  );
}

/** As `compareWithManifest`. @returns a clause for each problem */
export async function unlikeManifest(
  pair: Pair,
  { schemas, manifest }: { schemas: readonly string[]; manifest: Manifest },
  work: Work,
): Promise<string[]> {
  const backup = await storedSide(pair.backup, manifest.schemas);
  const production = await storedSide(pair.production, schemas);
  const problems = await rowsUnlikeManifest(production, backup, { manifest, work });
  problems.push(...sequencesUnlikeManifest(await readSequenceStates(production.client, schemas), manifest));
  const ddlHash = dumpHash(await dumpSchema(production.url, schemas, { owners: true }));
  if (ddlHash !== manifest.ddlHash)
    problems.push('the definition of the schemas is not the one of the backup');
  return problems;
}

/** Notes in the backup that production was restored from it and proved: production's ledger goes at the end of the run. */
export async function noteRestored(backup: Client, { attempt }: Phase): Promise<void> {
  await noteStage(backup, { name: RESTORED, attempt }, 'proved');
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

// The attempt left nothing to copy or to build: the old objects came as a whole.
async function noteWhole(client: Client, phase: Phase): Promise<void> {
  for (const stage of ['schema', 'whole']) await noteStage(client, phase, stage);
}
