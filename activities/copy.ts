/** Activities that move rows: backup, migrate, restore, and the copy set aside before a late roll back. */
import type { Client } from 'pg';
import { beginBackup, openBackupDatabase } from '../src/backup/build';
import { BACKUP_PHASE, readBackup } from '../src/backup/manifest';
import { adoptClone, cloneDatabase } from '../src/backup/clone';
import type { BackupStatus, Dropped, TableReport } from '../src/contract';
import { copyGroup, type Copied } from '../src/engine/copy';
import type { Phase } from '../src/engine/parts';
import { KirikaeError } from '../src/errors';
import { ownClaim, setMark } from '../src/ledger/claim';
import { beginMigrate, compilePlan, finishMigrate } from '../src/migrate/plan';
import { withClient } from '../src/postgres/connect';
import { databaseOf, otherDatabase } from '../src/postgres/url';
import { beginRestore, finishRestore, sealedManifest } from '../src/restore/copy-back';
import { swapInClone } from '../src/restore/swap-clone';
import type { Settings } from '../src/settings/read';
import { countDrops, verifyMigration } from '../src/migrate/verify';
import { Run, cancellation, type RunRef } from './context';
import { lanes } from './plan';
import { lastAttempt } from '../src/ledger/checkpoints';
import { keepCounters } from '../src/ledger/late-writes';
import { analyzeBackup, indexBackup, sealBackup } from '../src/backup/seal';
import { countProgress } from './guard';

export interface GroupPlan {
  groups: number;
  bytes: number;
}

export interface SealedBackup extends Omit<BackupStatus, 'fingerprint'> {
  manifestHash: string;
  dropped: Dropped[];
}

const stepOf = { backup: 'backup', migrate: 'migrate', restore: 'reset', aside: 'backup' } as const;

export function copyActivities(settings: Settings) {
  const open = (ref: RunRef) => new Run(settings, ref);
  const quiet = () => ({ lanes: lanes(), signal: cancellation(), onTable: () => undefined });
  const reading = (step: 'verify') => ({
    lanes: lanes(),
    signal: cancellation(),
    onTable: countProgress(step),
  });

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
        return beginBackup(ends(run, production, backup), run.identity, claim, created);
      });
    },

    /** Copies one group of parts of a phase; what an earlier attempt committed is not copied again. */
    async copyGroup({
      run: ref,
      phase,
      group,
    }: {
      run: RunRef;
      phase: Phase;
      group: number;
    }): Promise<Copied> {
      const run = open(ref);
      const onProgress = countProgress(stepOf[phase.name]);
      const { sourceUrl, targetUrl } = direction(run, phase);
      const claimant = run.identity;
      const inProduction = phase.name === 'migrate' || phase.name === 'restore';
      return copyGroup({
        sourceUrl,
        targetUrl,
        // The copy set aside is a backup of its own, with its own checkpoints.
        phase: phase.name === 'aside' ? BACKUP_PHASE : phase,
        group,
        searchPath: phase.name === 'migrate' ? run.schemas : [],
        targetPath: run.schemas,
        label: `${run.label} ${phase.name} ${group}`,
        mayWrite: async (target: Client) => {
          if (inProduction) await ownClaim(target, claimant);
        },
        onProgress,
        signal: cancellation(),
      });
    },

    /** Verifies the backup by reading both sides, seals it and counts what the mapping will drop. */
    async sealBackup({ run: ref }: { run: RunRef }): Promise<SealedBackup> {
      const run = open(ref);
      return run.sessions(['production', 'backup', 'shadow'], async (production, backup, shadow) => {
        await ownClaim(production, run.identity);
        const { manifest, manifestHash } = await sealBackup(ends(run, production, backup), run.plan, quiet());
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

    /** Indexes, keys and statistics of the backup, while the approval is awaited. */
    async indexBackup({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      const work = { ...quiet(), label: run.label };
      await run.sessions(['backup'], async (backup) => {
        await indexBackup(backup, run.url('backup'), work);
        await analyzeBackup(backup, run.url('backup'), run.schemas, work);
      });
    },

    /** Strips keys and indexes off the new schema and plans the parts. */
    async beginMigrate({ run: ref }: { run: RunRef }): Promise<GroupPlan> {
      const run = open(ref);
      return run.sessions(['production', 'backup'], (production, backup) =>
        beginMigrate({ plan: run.plan, production, backup, run: run.identity }),
      );
    },

    async finishMigrate({ run: ref }: { run: RunRef }): Promise<void> {
      const run = open(ref);
      await run.sessions(['production', 'backup'], async (production, backup) => {
        const { manifest } = await readBackup(backup);
        if (!manifest) throw new KirikaeError('StepFailed', 'The backup is not sealed.');
        await finishMigrate(
          { plan: run.plan, production, backup, run: run.identity },
          { production: run.url('production'), shadow: run.url('shadow') },
          manifest,
          { ...quiet(), label: run.label },
        );
      });
    },

    /** Conservation, content, schema, assertions; then the mark `verified` and the counters of later writes. */
    async verify({
      run: ref,
    }: {
      run: RunRef;
    }): Promise<{ tables: TableReport[]; dropped: Dropped[]; rows: number; assertions: string[] }> {
      const run = open(ref);
      const count = reading('verify');
      return run.sessions(['production', 'backup'], async (production, backup) => {
        await ownClaim(production, run.identity);
        const { manifest } = await readBackup(backup);
        if (!manifest) throw new KirikaeError('StepFailed', 'The backup is not sealed.');
        const verified = await verifyMigration(
          { plan: run.plan, production, backup, run: run.identity },
          manifest,
          { production: run.url('production'), backup: run.url('backup'), shadow: run.url('shadow') },
          count,
        );
        await keepCounters(production, run.schemas);
        await setMark(production, 'verified_at');
        return verified;
      });
    },

    /** Number of the next restore: each starts from empty, also after one of an earlier Temporal run. */
    async nextRestore({ run: ref }: { run: RunRef }): Promise<number> {
      const run = open(ref);
      return run.sessions(['production'], async (production) => {
        await ownClaim(production, run.identity);
        return lastAttempt(production, 'restore').then((last) => last + 1);
      });
    },

    /**
     * Empties the managed schemas, applies the stored definition and plans the parts of a restore; none are left where a clone
     * of the backup has taken production's place. `notes` say why it has not, where the plan's method is clone.
     */
    async beginRestore({
      run: ref,
      attempt,
    }: {
      run: RunRef;
      attempt: number;
    }): Promise<GroupPlan & { notes?: string[] }> {
      const run = open(ref);
      const notes = run.plan.databases.backup.method === 'clone' ? await swap(run, attempt) : [];
      const plan = await run.sessions(['production', 'backup'], (production, backup) =>
        beginRestore({
          ...ends(run, production, backup),
          run: run.identity,
          phase: { name: 'restore', attempt },
        }),
      );
      return { ...plan, notes };
    },

    /** Keys, indexes, sequences; then everything is compared with the manifest. */
    async finishRestore({ run: ref, attempt }: { run: RunRef; attempt: number }): Promise<void> {
      const run = open(ref);
      const count = { ...quiet(), label: run.label };
      await run.sessions(['production', 'backup'], (production, backup) =>
        finishRestore(
          { ...ends(run, production, backup), run: run.identity, phase: { name: 'restore', attempt } },
          count,
        ),
      );
    },

    /** Before a roll back after `live`: the present database is copied to `…_abandoned` on the backup's server. */
    async beginAside({ run: ref }: { run: RunRef }): Promise<GroupPlan & { database: string }> {
      const run = open(ref);
      const asideUrl = abandonedUrl(run);
      const created = await run.sessions(['production'], async (production) => {
        await ownClaim(production, run.identity);
        return openBackupDatabase(asideUrl, production, true);
      });
      return run.sessions(['production'], (production) =>
        withClient(asideUrl, `${run.label} aside`, async (aside) => {
          const claim = await ownClaim(production, run.identity);
          const target = { ...ends(run, production, aside), backupUrl: asideUrl };
          const plan = await beginBackup(target, run.identity, claim, created);
          return { ...plan, database: databaseOf(asideUrl) };
        }),
      );
    },

    async sealAside({ run: ref }: { run: RunRef }): Promise<{ rows: number }> {
      const run = open(ref);
      const asideUrl = abandonedUrl(run);
      return run.sessions(['production'], (production) =>
        withClient(asideUrl, `${run.label} aside`, async (aside) => {
          await ownClaim(production, run.identity);
          const target = { ...ends(run, production, aside), backupUrl: asideUrl };
          const { manifest } = await sealBackup(target, run.plan, quiet());
          await indexBackup(aside, asideUrl, { ...quiet(), label: run.label });
          return { rows: manifest.tables.reduce((sum, table) => sum + table.rows, 0) };
        }),
      );
    },
  };
}

// No session of this run may be in production meanwhile.
async function clone(run: Run): Promise<GroupPlan> {
  await run.sessions(['production'], (production) => ownClaim(production, run.identity));
  await cloneDatabase({
    productionUrl: run.url('production'),
    backupUrl: run.url('backup'),
    label: run.label,
    signal: cancellation(),
  });
  return run.sessions(['production', 'backup'], async (production, backup) =>
    adoptClone(ends(run, production, backup), run.identity, await ownClaim(production, run.identity)),
  );
}

// Nor here. The clone is of a sealed backup, as every restore is.
async function swap(run: Run, attempt: number): Promise<string[]> {
  await run.sessions(['backup'], sealedManifest);
  return swapInClone({
    productionUrl: run.url('production'),
    backupUrl: run.url('backup'),
    run: run.identity,
    attempt,
    schemas: run.schemas,
    label: run.label,
    workflowSessions: run.workflowSessions,
    signal: cancellation(),
  });
}

function ends(run: Run, production: Client, backup: Client) {
  return {
    production,
    productionUrl: run.url('production'),
    backup,
    backupUrl: run.url('backup'),
    schemas: run.schemas,
  };
}

function abandonedUrl(run: Run): string {
  return otherDatabase(run.url('backup'), `${databaseOf(run.url('production'))}_abandoned`);
}

function direction(run: Run, phase: Phase): { sourceUrl: string; targetUrl: string } {
  const [production, backup] = [run.url('production'), run.url('backup')];
  switch (phase.name) {
    case 'backup':
      return { sourceUrl: production, targetUrl: backup };
    case 'aside':
      return { sourceUrl: production, targetUrl: abandonedUrl(run) };
    case 'migrate':
    case 'restore':
      return { sourceUrl: backup, targetUrl: production };
  }
}
