/** Our engine's phases as the activities run them, without Temporal between: each returns its seconds. */
import type { Client } from 'pg';
import { lanesOfHost } from '../../src/postgres/lanes';
import { beginBackup } from '../../src/backup/build';
import { sealedManifest } from '../../src/backup/manifest';
import { adoptClone, cloneDatabase } from '../../src/backup/clone';
import { createDatabase, dropDatabase } from '../../src/postgres/databases';
import { copyGroup } from '../../src/engine/copy';
import type { Phase } from '../../src/engine/parts';
import { claimProduction, ownClaim, removeLedger, type RunIdentity } from '../../src/ledger/claim';
import { beginMigrate, finishMigrate, MIGRATE_PHASE } from '../../src/migrate/plan';
import { withClient } from '../../src/postgres/connect';
import type { Pair, Place, Work } from '../../src/postgres/endpoint';
import { inLanes } from '../../src/postgres/lanes';
import { databaseOf } from '../../src/postgres/url';
import { resetProduction } from '../../src/reset/reset';
import { beginRestore, finishRestore } from '../../src/restore/copy-back';
import { runSchemaStep } from '../../src/new-schema/deploy';
import type { Plan } from '../../src/settings/read';
import { verifyMigration } from '../../src/migrate/verify';
import { analyzeBackup, indexBackup, sealBackup } from '../../src/backup/seal';

interface Urls {
  production: string;
  backup: string;
  shadow: string;
}

export interface Bench {
  plan: Plan;
  urls: Urls;
}

const signal = new AbortController().signal;
const work: Work = { label: 'bench', lanes: lanesOfHost(), signal };
const identity: RunIdentity = {
  namespace: 'bench',
  workflowId: 'bench',
  chain: 'bench',
  runId: 'bench',
  plan: 'tumiki',
};

/** Seconds that `act` takes. */
export async function seconds(act: () => Promise<unknown>): Promise<number> {
  const from = process.hrtime.bigint();
  await act();
  return Number(process.hrtime.bigint() - from) / 1e9;
}

export interface BackupTimes {
  rows: number;
  verified: number;
  indexes: number;
  /** The planner's, which pg_restore doesn't make: apart. */
  statistics: number;
}

/** A backup into a database that doesn't exist yet: rows, verification and seal, indexes and keys. */
export async function backUp(bench: Bench): Promise<BackupTimes> {
  const { plan, urls } = bench;
  return ends(bench, async (production) => {
    const claim = await claimProduction(production, identity, databaseOf(urls.backup));
    const times: BackupTimes = { rows: 0, verified: 0, indexes: 0, statistics: 0 };
    const start = process.hrtime.bigint();
    const created = await createDatabase(urls.backup, production, 'bench');
    await withClient(urls.backup, 'bench', async (backup) => {
      const schemas = schemasOf(bench);
      const both = sides(bench, production, backup);
      const { groups } = await beginBackup(both, { schemas, run: identity, claim, created });
      await copyAll(bench, { name: 'backup', attempt: 1 }, groups);
      times.rows = Number(process.hrtime.bigint() - start) / 1e9;
      times.verified = await seconds(() =>
        sealBackup(both, { name: plan.name, hash: plan.hash, schemas }, work),
      );
      times.indexes = await seconds(() => indexBackup(both.backup, work));
      times.statistics = await seconds(() => analyzeBackup(both.backup, schemas, work));
    });
    return times;
  });
}

/** A backup by clone up to its verification, removed again. */
export async function cloneUnverified(bench: Bench): Promise<number> {
  const backupUrl = bench.urls.backup;
  const claim = await ends(bench, (production) =>
    claimProduction(production, identity, databaseOf(backupUrl)),
  );
  const taken = await seconds(async () => {
    await cloneDatabase(places(bench), work);
    await ends(bench, (production) =>
      withClient(backupUrl, 'bench', (backup) =>
        adoptClone(sides(bench, production, backup), identity, claim),
      ),
    );
  });
  await ends(bench, removeLedger);
  await dropDatabase(backupUrl, 'bench');
  return taken;
}

/** The reset with its comparisons, and the new schema. */
export async function resetAndDeploy(bench: Bench): Promise<number> {
  const { plan, urls } = bench;
  return seconds(() =>
    ends(bench, (production) =>
      withClient(urls.backup, 'bench', async (backup) => {
        const manifest = await sealedManifest(backup);
        const reset = { schemas: schemasOf(bench), mode: 'drop', manifest, run: identity } as const;
        await resetProduction(sides(bench, production, backup), reset, work);
        await runSchemaStep({ url: urls.production, client: production }, plan, { key: 'bench' });
      }),
    ),
  );
}

/** Rows through the mapping with keys and indexes back, then the verification: seconds of each, and the rows. */
export async function migrate(bench: Bench): Promise<{ migrate: number; verify: number; rows: number }> {
  const { plan, urls } = bench;
  return ends(bench, (production) =>
    withClient(urls.backup, 'bench', async (backup) => {
      const both = sides(bench, production, backup);
      const databases = { ...both, shadow: { title: 'the shadow', url: urls.shadow } };
      const manifest = await sealedManifest(backup);
      const migrated = await seconds(async () => {
        const { groups } = await beginMigrate(both, { plan, run: identity });
        await copyAll(bench, MIGRATE_PHASE, groups);
        await finishMigrate(databases, { plan, run: identity, manifest }, work);
      });
      let rows = 0;
      const verified = await seconds(async () => {
        rows = (await verifyMigration(databases, { plan, manifest }, work)).rows;
      });
      return { migrate: migrated, verify: verified, rows };
    }),
  );
}

/** The way back, from empty and verified. */
export async function restore(bench: Bench): Promise<number> {
  const phase: Phase = { name: 'restore', attempt: 1 };
  return seconds(() =>
    ends(bench, (production) =>
      withClient(bench.urls.backup, 'bench', async (backup) => {
        const both = sides(bench, production, backup);
        const what = { schemas: schemasOf(bench), run: identity, phase };
        const { groups } = await beginRestore(both, what);
        await copyAll(bench, phase, groups);
        await finishRestore(both, what, work);
      }),
    ),
  );
}

async function copyAll({ urls, plan }: Bench, phase: Phase, groups: number): Promise<void> {
  const [sourceUrl, targetUrl] =
    phase.name === 'backup' ? [urls.production, urls.backup] : [urls.backup, urls.production];
  await inLanes(
    Array.from({ length: groups }, (_, group) => group),
    work,
    (eachItem) =>
      eachItem(async (group) => {
        await copyGroup({
          sourceUrl,
          targetUrl,
          phase,
          group,
          searchPath: phase.name === 'migrate' ? plan.databases.production.schemas : [],
          targetPath: plan.databases.production.schemas,
          label: `bench ${group}`,
          mayWrite: async (target: Client) => {
            if (phase.name !== 'backup') await ownClaim(target, identity);
          },
          signal,
        });
      }),
  );
}

function ends<T>({ urls }: Bench, act: (production: Client) => Promise<T>): Promise<T> {
  return withClient(urls.production, 'bench', act);
}

function places({ urls }: Bench): Pair<Place> {
  return {
    production: { title: 'production', url: urls.production },
    backup: { title: 'the backup', url: urls.backup },
  };
}

function sides(bench: Bench, production: Client, backup: Client): Pair {
  const both = places(bench);
  return {
    production: { ...both.production, client: production },
    backup: { ...both.backup, client: backup },
  };
}

function schemasOf({ plan }: Bench): string[] {
  return plan.databases.production.schemas;
}
