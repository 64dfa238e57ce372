/** Our engine's phases as the activities run them, without Temporal between: each returns its seconds. */
import type { Client } from 'pg';
import { lanesOfHost } from '../../src/postgres/lanes';
import { beginBackup } from '../../src/backup/build';
import { sealedManifest } from '../../src/backup/manifest';
import { adoptClone, cloneDatabase } from '../../src/backup/clone';
import { createDatabase, dropDatabase } from '../../src/postgres/databases';
import { copyGroup } from '../../src/engine/copy';
import type { Phase } from '../../src/engine/parts';
import { removeLedger } from '../../src/ledger/remove';
import { beginMigrate, finishMigrate, MIGRATE_PHASE } from '../../src/migrate/plan';
import { withClient } from '../../src/postgres/connect';
import type { Pair, Place, Work } from '../../src/postgres/endpoint';
import { inLanes } from '../../src/postgres/lanes';
import { noChanges } from '../../src/postgres/outside';
import { databaseOf } from '../../src/postgres/url';
import { resetProduction } from '../../src/reset/reset';
import { beginRestore, compareWithManifest, finishRestore } from '../../src/restore/copy-back';
import { moveHome } from '../../src/reset/set-aside';
import { unlikeKept } from '../../src/reset/prove-kept';
import { compareWithLearnt, runSchemaStep } from '../../src/new-schema/deploy';
import { learnNewSchema, writeLearnt } from '../../src/new-schema/learnt';
import { printingsOf, dumpSchema } from '../../src/postgres/dump';
import { learntOf } from '../../activities/learnt';
import { BareRun } from '../bare-run';
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
const run = new BareRun('bench');

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
    await claim(bench, production);
    const times: BackupTimes = { rows: 0, verified: 0, indexes: 0, statistics: 0 };
    const start = process.hrtime.bigint();
    const created = await createDatabase(urls.backup, production, 'bench');
    await withClient(urls.backup, 'bench', async (backup) => {
      const schemas = schemasOf(bench);
      const pair = sides(bench, production, backup);
      const { groups } = await beginBackup(pair, { schemas, owner: run.owner(created) });
      await copyAll(bench, { name: 'backup', attempt: 1 }, groups);
      times.rows = Number(process.hrtime.bigint() - start) / 1e9;
      times.verified = await seconds(() =>
        sealBackup(pair, { name: plan.name, hash: plan.hash, schemas }, work),
      );
      times.indexes = await seconds(() => indexBackup(pair.backup, work));
      times.statistics = await seconds(() => analyzeBackup(pair.backup, schemas, work));
    });
    return times;
  });
}

/** A backup by clone up to its verification, removed again. */
export async function cloneUnverified(bench: Bench): Promise<number> {
  const backupUrl = bench.urls.backup;
  await ends(bench, (production) => claim(bench, production));
  const taken = await seconds(async () => {
    await cloneDatabase(places(bench), work);
    await ends(bench, (production) =>
      withClient(backupUrl, 'bench', (backup) =>
        adoptClone(sides(bench, production, backup).backup, run.owner(true)),
      ),
    );
  });
  await ends(bench, removeLedger);
  await dropDatabase(backupUrl, 'bench');
  return taken;
}

/** The reset with its comparisons, and the new schema. */
export async function resetAndDeploy(bench: Bench, mode: 'drop' | 'keep'): Promise<number> {
  const { plan, urls } = bench;
  return seconds(() =>
    both(bench, async (pair) => {
      const { client } = pair.production;
      await run.reach(client, 'approved');
      const manifest = await sealedManifest(pair.backup.client);
      const hooks = { isDone: run.isAt('reset'), note: run.advancing('reset'), mayWrite: run.mayWrite };
      await resetProduction(pair, { schemas: schemasOf(bench), mode, manifest, ...hooks }, work);
      await runSchemaStep({ url: urls.production, client }, plan, { key: 'bench' });
      await compareWithLearnt(urls.production, await learntOf(client), schemasOf(bench));
      await run.reach(client, 'built');
    }),
  );
}

/** Rows through the mapping with keys and indexes back, then the verification: seconds of each, and the rows. */
export async function migrate(bench: Bench): Promise<{ migrate: number; verify: number; rows: number }> {
  const { plan } = bench;
  return both(bench, async (pair) => {
    const manifest = await sealedManifest(pair.backup.client);
    const learnt = await learntOf(pair.production.client);
    const { mayWrite } = run;
    const migrated = await seconds(async () => {
      const { groups } = await beginMigrate(pair, { plan, learnt, mayWrite });
      await copyAll(bench, MIGRATE_PHASE, groups);
      await finishMigrate(pair.production, { plan, learnt, manifest, mayWrite }, work);
    });
    let rows = 0;
    const verified = await seconds(async () => {
      rows = (await verifyMigration(pair, { plan, manifest, learnt }, work)).rows;
    });
    await run.reach(pair.production.client, 'verified');
    return { migrate: migrated, verify: verified, rows };
  });
}

/** The way back, from empty and verified. */
export async function restore(bench: Bench): Promise<number> {
  const phase: Phase = { name: 'restore', attempt: 1 };
  const schemas = schemasOf(bench);
  return seconds(() =>
    both(bench, async (pair) => {
      await run.goBack(pair.production.client);
      const what = {
        schemas,
        isInPlace: true,
        phase,
        mayWrite: run.mayWrite,
        note: run.advancing('emptied'),
      };
      const { groups } = await beginRestore(pair, what);
      await copyAll(bench, phase, groups);
      await finishRestore(pair, what, work);
      const manifest = await sealedManifest(pair.backup.client);
      await compareWithManifest(pair, { schemas, manifest }, work);
    }),
  );
}

/** The way back of old tables that were kept, proved and moved home; production is then as before, the ledger gone. */
export async function moveKeptHome(bench: Bench): Promise<number> {
  await ends(bench, async (production) => {
    await removeLedger(production);
    await claim(bench, production);
  });
  await resetAndDeploy(bench, 'keep');
  const taken = await seconds(() =>
    both(bench, async (pair) => {
      const { client } = pair.production;
      await run.goBack(client);
      const mayEmpty = async () => {
        const problems = await unlikeKept(pair.production, await sealedManifest(pair.backup.client), work);
        if (problems.length > 0) throw new Error(`What was kept has changed: ${problems.join('; ')}.`);
      };
      const note = run.advancing('emptied');
      await moveHome(client, schemasOf(bench), { mayEmpty, note, mayWrite: run.mayWrite });
    }),
  );
  await ends(bench, removeLedger);
  return taken;
}

// With what preflight would have learnt of the shadow.
async function claim(bench: Bench, production: Client): Promise<void> {
  const { plan, urls } = bench;
  const definition = await dumpSchema(urls.production, schemasOf(bench), { owners: true });
  const fresh = await withClient(urls.shadow, 'bench', (client) =>
    learnNewSchema({ client, url: urls.shadow }, schemasOf(bench)),
  );
  const learnt = {
    ...fresh,
    newSchemaAgain: {},
    outside: { changes: noChanges, tables: [] },
    production: { ...printingsOf(definition), settings: [] },
  };
  await run.claim(production, {
    planHash: plan.hash,
    backup: databaseOf(urls.backup),
    learn: (client) => writeLearnt(client, learnt),
  });
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
          mayWrite: phase.name === 'backup' ? () => Promise.resolve() : run.mayWrite,
          signal,
        });
      }),
  );
}

function ends<T>({ urls }: Bench, act: (production: Client) => Promise<T>): Promise<T> {
  return withClient(urls.production, 'bench', act);
}

function both<T>(bench: Bench, act: (pair: Pair) => Promise<T>): Promise<T> {
  return ends(bench, (production) =>
    withClient(bench.urls.backup, 'bench', (backup) => act(sides(bench, production, backup))),
  );
}

function places({ urls }: Bench): Pair<Place> {
  return {
    production: { title: 'production', url: urls.production },
    backup: { title: 'the backup', url: urls.backup },
  };
}

function sides(bench: Bench, production: Client, backup: Client): Pair {
  const named = places(bench);
  return {
    production: { ...named.production, client: production },
    backup: { ...named.backup, client: backup },
  };
}

function schemasOf({ plan }: Bench): string[] {
  return plan.databases.production.schemas;
}
