/** The switch-over: the destructive reset, the new schema, its rows, the proof. */
import type { Client } from 'pg';
import { altered, hashOfManifest, sealedManifest, type Manifest } from '../src/backup/manifest';
import type { Dropped, TableReport } from '../src/contract';
import { ownClaim, type Claim } from '../src/ledger/claim';
import { keepCounters } from '../src/ledger/late-writes';
import { mustHaveLargeObjects } from '../src/ledger/large-objects';
import { hasReached } from '../src/ledger/phases';
import { beginMigrate, finishMigrate } from '../src/migrate/plan';
import { verifyMigration } from '../src/migrate/verify';
import { compareWithLearnt, runSchemaStep } from '../src/new-schema/deploy';
import { emptyAndUndo, noteChangesOutside, noteOutside } from '../src/new-schema/undo-outside';
import { inTransaction } from '../src/postgres/connect';
import { endFencedSessions, unsetFence } from '../src/reset/fence';
import { resetProduction } from '../src/reset/reset';
import type { Settings } from '../src/settings/read';
import { mustBeApproved } from './back-up';
import { openRun, type Moved, type RunRef } from './context';
import { withRoom, type GroupPlan } from './copy-rows';
import { countBothSides } from './guard';
import { learntOf } from './learnt';

export interface Verification {
  moved: Moved;
  tables: TableReport[];
  dropped: Dropped[];
  rows: number;
  assertions: string[];
}

/** The manifest that the claim noted. @throws KirikaeError DataDiffer when the backup has another */
async function sealedOf(backup: Client, { manifestHash }: Claim): Promise<Manifest> {
  const manifest = await sealedManifest(backup);
  if (manifestHash === hashOfManifest(manifest)) return manifest;
  throw altered(backup, ['its manifest is not the one that the run sealed']);
}

export function switchOverActivities(settings: Settings) {
  const open = (ref: RunRef) => openRun(settings, ref);

  return {
    /**
     * Counts the approvals, compares everything with the manifest under lock, writes the phase `reset` and drops: one transaction. A
     * retry that finds the phase is done.
     */
    async reset({ run: ref }: { run: RunRef }): Promise<Moved> {
      const run = await open(ref);
      const work = run.work(countBothSides('reset'));
      return run.hold({ roles: ['backup'], phases: ['approved', 'reset'] }, async (pair, claim) => {
        const production = pair.production.client;
        if (claim.phase === 'reset') return run.mirrored(production);
        await resetProduction(
          pair,
          {
            schemas: run.schemas,
            mode: run.plan.reset?.mode ?? 'drop',
            manifest: await sealedOf(pair.backup.client, claim),
            isDone: async (client) => {
              const now = await ownClaim(client, run.identity, ['approved', 'reset']);
              await mustBeApproved(run, client, now.fingerprint);
              return now.phase === 'reset';
            },
            note: run.advancing('reset'),
            mayWrite: run.stillMay(['reset']),
          },
          work,
        );
        return run.mirrored(production);
      });
    },

    /** The new schema into emptied production, compared with what the shadow got; every attempt starts from empty. */
    async deploySchema({ run: ref }: { run: RunRef }): Promise<Moved> {
      const run = await open(ref);
      return run.hold(
        { roles: [], phases: ['reset', 'built'] },
        async ({ production: { client, url } }, claim) => {
          if (claim.phase === 'built') return run.mirrored(client);
          const learnt = await learntOf(client);
          await inTransaction(client, async () => {
            await emptyAndUndo(client, run.schemas);
            await noteOutside(client, run.schemas, learnt.outside);
            await run.stillMay(['reset'])(client);
          });
          await runSchemaStep({ url, client }, run.plan, {
            key: run.commandKey,
            signal: run.signal,
            mayRun: () => run.lookAgain(['reset']),
          });
          const notes = await noteChangesOutside(client, run.schemas);
          await compareWithLearnt(url, learnt, run.schemas);
          const moved = await run.move(client, 'built');
          return { ...moved, notes: [...notes, ...moved.notes] };
        },
      );
    },

    /** Strips keys and indexes off the new schema and plans the parts. */
    async beginMigrate({ run: ref }: { run: RunRef }): Promise<GroupPlan> {
      const run = await open(ref);
      return run.hold({ roles: ['backup'], phases: ['built', 'migrated'] }, async (pair) => {
        const learnt = await learntOf(pair.production.client);
        const order = { plan: run.plan, learnt, mayWrite: run.stillMay(['built', 'migrated']) };
        return withRoom(await beginMigrate(pair, order), pair);
      });
    },

    /** Keys, indexes and triggers back, sequences, statistics; then it is `migrated`. */
    async finishMigrate({ run: ref }: { run: RunRef }): Promise<Moved> {
      const run = await open(ref);
      return run.hold(
        { roles: ['backup'], phases: ['built', 'migrated'] },
        async ({ production, backup }, claim) => {
          if (claim.phase === 'migrated') return run.mirrored(production.client);
          const order = {
            plan: run.plan,
            learnt: await learntOf(production.client),
            manifest: await sealedManifest(backup.client),
            mayWrite: run.stillMay(['built']),
          };
          await finishMigrate(production, order, run.work());
          return run.move(production.client, 'migrated');
        },
      );
    },

    /**
     * Conservation, content, schema, assertions; then, in one transaction, `verified`, the counters of later writes and the fence's
     * former setting.
     */
    async verify({ run: ref }: { run: RunRef }): Promise<Verification> {
      const run = await open(ref);
      const work = run.work(countBothSides('verify'));
      return run.hold({ roles: ['backup'], phases: ['migrated', 'verified'] }, async (pair, claim) => {
        const production = pair.production.client;
        const learnt = await learntOf(production);
        const manifest = await sealedManifest(pair.backup.client);
        const verified = await verifyMigration(pair, { plan: run.plan, manifest, learnt }, work);
        const notes: string[] = [];
        const moved = hasReached(claim.phase, 'verified')
          ? await run.mirrored(production)
          : await run.move(production, 'verified', async (client) => {
              notes.push(...(await mustHaveLargeObjects(client)));
              await keepCounters(client, run.schemas);
              await unsetFence(client, claim);
            });
        await endFencedSessions(production);
        return { ...verified, moved: { ...moved, notes: [...notes, ...moved.notes] } };
      });
    },
  };
}
