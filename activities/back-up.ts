/** The backup: built, verified and sealed, indexed. */
import { beginBackup } from '../src/backup/build';
import { adoptClone, cloneDatabase } from '../src/backup/clone';
import { sealedManifest } from '../src/backup/manifest';
import { analyzeBackup, indexBackup, sealBackup } from '../src/backup/seal';
import type { BackupStatus, Dropped } from '../src/contract';
import { ownClaim } from '../src/ledger/claim';
import { countNewRows } from '../src/migrate/new-rows';
import { compilePlan } from '../src/migrate/plan';
import { countDrops } from '../src/migrate/verify';
import { createDatabase } from '../src/postgres/databases';
import { databaseOf } from '../src/postgres/url';
import type { Settings } from '../src/settings/read';
import { ActivityRun, type RunRef } from './context';
import { withRoom, type GroupPlan } from './copy-rows';

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
      const { method, create } = run.plan.databases.backup;
      if (method === 'clone') return clone(run);
      const created = await run.sessions(['production'], async ({ production: { client } }) => {
        await ownClaim(client, run.identity);
        return create ? createDatabase(run.url('backup'), client, 'backup create') : false;
      });
      return run.sessions(['production', 'backup'], async (pair) => {
        const claim = await ownClaim(pair.production.client, run.identity);
        const plan = await beginBackup(pair, { schemas: run.schemas, run: run.identity, claim, created });
        return withRoom(plan, pair);
      });
    },

    /** Verifies the backup by reading both sides, seals it and counts what the mapping will drop. */
    async sealBackup({ run: ref }: { run: RunRef }): Promise<SealedBackup> {
      const run = open(ref);
      const { name, hash } = run.plan;
      return run.sessions(['production', 'backup', 'shadow'], async ({ production, backup, shadow }) => {
        await ownClaim(production.client, run.identity);
        const { manifest, manifestHash } = await sealBackup(
          { production, backup },
          { name, hash, schemas: run.schemas },
          run.work(),
        );
        const compiled = await compilePlan(run.plan, backup.client, shadow.client);
        return {
          manifestHash,
          database: databaseOf(backup.url),
          tables: manifest.tables.length,
          rows: manifest.tables.reduce((sum, table) => sum + table.rows, 0),
          bytes: manifest.bytes,
          dropped: await countDrops(backup.client, compiled, run.schemas),
        };
      });
    },

    /** Indexes, keys and statistics of the backup, while the approval is awaited. @returns rows of the new tables to come */
    async indexBackup({ run: ref }: { run: RunRef }): Promise<{ newRows: number }> {
      const run = open(ref);
      await run.sessions(['production'], ({ production }) => ownClaim(production.client, run.identity));
      return run.sessions(['backup', 'shadow'], async ({ backup, shadow }) => {
        await indexBackup(backup, run.work());
        await analyzeBackup(backup, run.schemas, run.work());
        const compiled = await compilePlan(run.plan, backup.client, shadow.client);
        const manifest = await sealedManifest(backup.client);
        return { newRows: await countNewRows(backup.client, compiled, manifest, run.schemas) };
      });
    },
  };
}

// No session of this run may be in production meanwhile.
async function clone(run: ActivityRun): Promise<GroupPlan> {
  await run.sessions(['production'], ({ production }) => ownClaim(production.client, run.identity));
  await cloneDatabase(run.places, run.work());
  return run.sessions(['production', 'backup'], async (pair) =>
    adoptClone(pair, run.identity, await ownClaim(pair.production.client, run.identity)),
  );
}
