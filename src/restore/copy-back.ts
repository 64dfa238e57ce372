/** The way back: the managed schemas rebuilt from the sealed backup, from empty, and held against its manifest. */
import type { Client } from 'pg';
import { plainCopy } from '../backup/build';
import { unlikeManifest } from '../backup/held-against';
import { readBackup, sealedManifest, type Manifest } from '../backup/manifest';
import { maxProblems, storedSide } from '../engine/differences';
import { planParts, type PartPlan, type Phase } from '../engine/parts';
import { analyzeTables, applyPostData } from '../engine/post-data';
import { readStoredTables, writeSequences } from '../engine/tables';
import { KirikaeError } from '../errors';
import { noteStage, stageDone } from '../ledger/checkpoints';
import { checkpointDdl } from '../ledger/tables';
import { emptyAndUndo } from '../new-schema/undo-outside';
import { inTransaction } from '../postgres/connect';
import { namingBlockers } from '../postgres/blockers';
import { applyDdl } from '../postgres/ddl';
import { withoutDefaultPrivileges } from '../postgres/default-privileges';
import { dumpSql, isOfSchema, parseDump, type DumpEntry } from '../postgres/dump';
import type { MayWrite, Note, Pair, Work } from '../postgres/endpoint';
import { emptySchemas, lockTables } from '../postgres/managed-schemas';
import { majorVersion, sameMajor } from '../postgres/versions';
import { refreshViews } from '../postgres/views';
import { dropKept } from '../reset/set-aside';

/** Which restore: each attempt starts from empty, and goes on where it stopped. */
export interface Restore {
  schemas: readonly string[];
  /** Into the database that it is of: what never left it is left alone there. */
  isInPlace: boolean;
  phase: Phase;
  mayWrite: MayWrite;
  /** Called in the transaction that empties, when everything in it is locked: throws when it must not be emptied. */
  mayEmpty?: (target: Client) => Promise<void>;
  /** Writes into the ledger that it is emptied, in that transaction. */
  note?: Note;
}

/**
 * Empties the managed schemas, applies the stored definition and plans the copy; once per attempt. Old objects that were kept go too.
 * @throws what the hooks throw, and KirikaeError DataDiffer when the backup's manifest or definitions were altered
 */
export async function beginRestore(pair: Pair, restore: Restore): Promise<PartPlan> {
  const { phase, mayWrite } = restore;
  const [production, backup] = [pair.production.client, pair.backup.client];
  const manifest = await sealedManifest(backup);
  await mayWrite(production);
  await production.query('set client_min_messages = warning');
  await production.query(checkpointDdl);
  if (!(await stageDone(production, phase, 'schema'))) await rebuild(pair, restore);
  return planParts(production, phase, {
    jobs: (await readStoredTables(backup, manifest.schemas)).map(plainCopy),
    sameMajor: await sameMajor(production, backup),
  });
}

async function rebuild(pair: Pair, restore: Restore): Promise<void> {
  const { schemas, phase, mayWrite, mayEmpty, note } = restore;
  const production = pair.production.client;
  const { definitions } = await readBackup(pair.backup.client);
  const sql = await toApply(production, definitions.ddl_pre, restore);
  const anew = async () => {
    if (await stageDone(production, phase, 'schema')) return;
    await production.query(`set local lock_timeout = '20s'`);
    await lockTables(production, await readStoredTables(production, schemas), 'access exclusive');
    await mayEmpty?.(production);
    await dropKept(production);
    await (restore.isInPlace ? emptyAndUndo : emptySchemas)(production, schemas);
    await withoutDefaultPrivileges(production, () =>
      applyDdl(production, sql, 'stored schema of the backup'),
    );
    await noteStage(production, phase, 'schema');
    await note?.(production);
    await mayWrite(production);
  };
  await namingBlockers(production, schemas, () => inTransaction(production, anew));
}

async function toApply(target: Client, text: string | null, { isInPlace }: Restore): Promise<string> {
  if (!isInPlace || text === null) return text ?? '';
  const { prelude, entries } = parseDump(text);
  const dropped = entries.filter((entry) => !isOfSchema(entry));
  return dumpSql({ prelude, pre: [], post: [] }, dropped, await majorVersion(target));
}

// Late: an owner may have revoked his own privileges, without which nothing can be written or referred to.
const isGrant = ({ type }: DumpEntry) => type === 'ACL';

/** Indexes, keys, sequences, grants, materialized views and ANALYZE. */
export async function finishRestore(pair: Pair, restore: Restore, work: Work): Promise<void> {
  const { schemas, phase, mayWrite } = restore;
  const [production, backup] = [pair.production.client, pair.backup.client];
  await mayWrite(production);
  const manifest = await sealedManifest(backup);
  if (!(await stageDone(production, phase, 'keys'))) {
    const { definitions } = await readBackup(backup);
    const { prelude, entries } = parseDump(await toApply(production, definitions.ddl_post, restore));
    const version = await majorVersion(production);
    const sqlOf = (wanted: (entry: DumpEntry) => boolean) =>
      dumpSql({ prelude, pre: [], post: [] }, entries.filter(wanted), version);
    await applyPostData({
      ...work,
      target: pair.production,
      phase,
      sql: sqlOf((entry) => !isGrant(entry)),
      what: 'stored indexes and keys of the backup',
      mayWrite,
      around: withoutDefaultPrivileges,
      finish: async (client) => {
        await writeSequences(client, manifest.sequences);
        await applyDdl(client, sqlOf(isGrant), 'stored grants of the backup');
        // As their owners, who may read by a grant.
        await refreshViews(client, schemas, manifest.filledViews);
        await noteStage(client, phase, 'keys');
      },
    });
  }
  await analyzeTables(pair.production, { schemas }, work);
}

/**
 * Holds production against the backup's manifest: rows, sequences, definition with owners and grants.
 * @returns notes on what is as it was, but printed otherwise
 * @throws KirikaeError DataDiffer naming what differs, rows by primary key
 */
export async function compareWithManifest(
  pair: Pair,
  { schemas, manifest }: { schemas: readonly string[]; manifest: Manifest },
  work: Work,
): Promise<string[]> {
  const production = await storedSide(pair.production, schemas);
  const { problems, notes } = await unlikeManifest(production, pair.backup, { manifest, schemas, work });
  if (problems.length === 0) return notes;
  throw new KirikaeError(
    'DataDiffer',
    `The restored database is not what the backup holds: ${problems.slice(0, maxProblems).join('; ')}. The maintenance page stays on. Find out what changed it, then send retry: the restore starts from empty again.`,
  );
}
