/** The backup: built, verified and sealed, indexed. */
import { beginBackup, openBackupDatabase } from '../src/backup/build';
import { adoptClone, cloneDatabase } from '../src/backup/clone';
import { sealedManifest } from '../src/backup/manifest';
import { analyzeBackup, indexBackup, sealBackup } from '../src/backup/seal';
import type { BackupStatus, Dropped } from '../src/contract';
import { ownClaim } from '../src/ledger/claim';
import { countNewRows } from '../src/migrate/new-rows';
import { compilePlan } from '../src/migrate/plan';
import { countDrops } from '../src/migrate/verify';
import { databaseOf } from '../src/postgres/url';
import type { Settings } from '../src/settings/read';
import { ActivityRun, cancellation, quietly, type RunRef } from './context';
import type { GroupPlan } from './copy-rows';

export interface SealedBackup extends Omit<BackupStatus, 'fingerprint'> {
  manifestHash: string;
  dropped: Dropped[];
}

export function backUpActivities(settings: Settings) {
  const open = (ref: RunRef) => new ActivityRun(settings, ref);

  return {
    /** Creates the backup database, its schema and the plan of its parts. */
    async beginBackup({ run: ref }: { run: RunRef }): Promise<GroupPlan> {
      const run = open(ref);
      if (run.plan.databases.backup.method === 'clone') return clone(run);
      const created = await run.sessions(['production'], async (production) => {
        await ownClaim(production, run.identity);
        return openBackupDatabase(run.url('backup'), production, run.plan.databases.backup.create);
      });
      return run.sessions(['production', 'backup'], async (production, backup) => {
        const claim = await ownClaim(production, run.identity);
        return beginBackup(run.ends(production, backup), run.identity, claim, created);
      });
    },

    /** Verifies the backup by reading both sides, seals it and counts what the mapping will drop. */
    async sealBackup({ run: ref }: { run: RunRef }): Promise<SealedBackup> {
      const run = open(ref);
      return run.sessions(['production', 'backup', 'shadow'], async (production, backup, shadow) => {
        await ownClaim(production, run.identity);
        const { manifest, manifestHash } = await sealBackup(
          run.ends(production, backup),
          run.plan,
          quietly(),
        );
        const compiled = await compilePlan(run.plan, backup, shadow);
        return {
          manifestHash,
          database: databaseOf(run.url('backup')),
          tables: manifest.tables.length,
          rows: manifest.tables.reduce((sum, table) => sum + table.rows, 0),
          bytes: manifest.bytes,
          dropped: await countDrops(backup, compiled, run.schemas),
        };
      });
    },

    /** Indexes, keys and statistics of the backup, while the approval is awaited. @returns rows of the new tables to come */
    async indexBackup({ run: ref }: { run: RunRef }): Promise<{ newRows: number }> {
      const run = open(ref);
      const work = { ...quietly(), label: run.label };
      return run.sessions(['backup', 'shadow'], async (backup, shadow) => {
        await indexBackup(backup, run.url('backup'), work);
        await analyzeBackup(backup, run.url('backup'), run.schemas, work);
        const compiled = await compilePlan(run.plan, backup, shadow);
        return { newRows: await countNewRows(backup, compiled, await sealedManifest(backup), run.schemas) };
      });
    },
  };
}

// No session of this run may be in production meanwhile.
async function clone(run: ActivityRun): Promise<GroupPlan> {
  await run.sessions(['production'], (production) => ownClaim(production, run.identity));
  await cloneDatabase({
    productionUrl: run.url('production'),
    backupUrl: run.url('backup'),
    label: run.label,
    signal: cancellation(),
  });
  return run.sessions(['production', 'backup'], async (production, backup) =>
    adoptClone(run.ends(production, backup), run.identity, await ownClaim(production, run.identity)),
  );
}
