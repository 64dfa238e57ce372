/** The backup database: built from production's definition, its parts planned for the copy engine. */
import type { Client } from 'pg';
import { planParts, type CopyJob, type PartPlan } from '../engine/parts';
import { readStoredTables, type StoredTable } from '../engine/tables';
import { noteStage, stageDone } from '../ledger/checkpoints';
import { mirrorClaim, type Claim, type RunIdentity } from '../ledger/claim';
import { inTransaction } from '../postgres/connect';
import { createDatabase, prepareLike } from '../postgres/databases';
import { applyDdl } from '../postgres/ddl';
import { dumpSchema, dumpSql, type DumpEntry } from '../postgres/dump';
import { identifiers, qualified } from '../postgres/sql';
import { majorVersion, sameMajor } from '../postgres/versions';
import { BACKUP_PHASE, markBackup, type Ends } from './manifest';

/** Creates the backup's database if the plan says so. @returns true when it was created now */
export async function openBackupDatabase(url: string, production: Client, create: boolean): Promise<boolean> {
  return create ? createDatabase(url, production, 'backup create') : false;
}

/**
 * Builds the empty backup and plans its parts; goes on where an earlier attempt of the same run stopped.
 * @throws KirikaeError when the database holds another run's backup or foreign tables
 */
export async function beginBackup(
  ends: Ends,
  run: RunIdentity,
  claim: Claim,
  created: boolean,
): Promise<PartPlan> {
  await markBackup(ends, run, created);
  await mirrorClaim(ends.backup, claim);
  if (!(await stageDone(ends.backup, 'backup', 1, 'schema'))) {
    await prepareLike(ends.backup, { client: ends.production, url: ends.productionUrl }, ends.schemas, false);
    const plain = await dumpSchema(ends.productionUrl, ends.schemas, { owners: false });
    const [from, to] = [await majorVersion(ends.production), await majorVersion(ends.backup)];
    const version = Math.min(from, to);
    // From PostgreSQL 17 on an index's functions are called without a search_path, which older ones may need.
    const pathless = from < 17 && to >= 17;
    await inTransaction(ends.backup, async () => {
      await applyDdl(ends.backup, dumpSql(plain, plain.pre, version), "production's schema");
      const serving = plain.post.filter(servesReading);
      const post = dumpSql(plain, pathless ? withoutComputed(serving) : serving, version);
      await ends.backup.query('update kirikae.backup set ddl_post_plain = $1', [post]);
      await noteStage(ends.backup, 'backup', 1, 'schema');
    });
  }
  const tables = await readStoredTables(ends.production, ends.schemas);
  return planParts(
    ends.backup,
    BACKUP_PHASE,
    tables.map(plainCopy),
    await sameMajor(ends.production, ends.backup),
  );
}

// The backup is only read. Its row security could hide rows from their reader, and policies name roles that its server may lack.
function servesReading({ type, name }: DumpEntry): boolean {
  const guards = /^(TRIGGER|RULE|POLICY|ROW SECURITY)\b/;
  return !guards.test(type) && !(type === 'COMMENT' && guards.test(name));
}

// Without the indexes of expressions or with a condition, and without what is said about them.
function withoutComputed(entries: readonly DumpEntry[]): DumpEntry[] {
  const computes = ({ type, sql }: DumpEntry) =>
    type === 'INDEX' && /\bUSING "?\w+"? \(.*(\(|\) WHERE )/s.test(sql);
  const names = entries.filter(computes).map(({ schema, name }) => qualified({ schema, name }));
  return entries.filter((entry) => !computes(entry) && !names.some((name) => entry.sql.includes(name)));
}

/** A table copied as it is, into the table of the same name. */
export function plainCopy(table: StoredTable): CopyJob {
  const list = table.columns.map((column) => column.name);
  return {
    source: table,
    target: table,
    columns: table.columns,
    select: (range) =>
      `select ${identifiers(list)} from only ${qualified(table)} as source${range ? ` where ${range}` : ''}`,
  };
}
