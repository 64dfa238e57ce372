/** The backup: built, verified and sealed, indexed; and the approval of what follows it. */
import { createHash } from 'node:crypto';
import { beginBackup } from '../src/backup/build';
import { adoptClone, cloneDatabase } from '../src/backup/clone';
import { sealedManifest } from '../src/backup/manifest';
import { analyzeBackup, indexBackup, sealBackup } from '../src/backup/seal';
import type { BackupStatus, Decision, Dropped } from '../src/contract';
import { KirikaeError } from '../src/errors';
import { noteInClaim, stillMay } from '../src/ledger/claim';
import type { HeldRun } from '../src/ledger/held-run';
import { noteLargeObjects } from '../src/ledger/large-objects';
import { approvers, intend, noteApprovals } from '../src/ledger/records';
import { countNewRows } from '../src/migrate/new-rows';
import { compilePlan } from '../src/migrate/plan';
import { countDrops } from '../src/migrate/verify';
import { hashOfNewSchema, lookAgain } from '../src/new-schema/learnt';
import { inTransaction } from '../src/postgres/connect';
import { createDatabase } from '../src/postgres/databases';
import { readOwnSettings } from '../src/postgres/own-settings';
import { databaseOf } from '../src/postgres/url';
import { mustHaveRights } from '../src/preflight/rights';
import type { Settings } from '../src/settings/read';
import { openRun, type Moved, type RunRef } from './context';
import { withRoom, type GroupPlan } from './copy-rows';
import { learntOf } from './learnt';
import { droppedInShort } from '../src/text';
import { room } from './prepare';

export interface SealedBackup extends Omit<BackupStatus, 'fingerprint'> {
  moved: Moved;
  dropped: Dropped[];
}

export function backUpActivities(settings: Settings) {
  const open = (ref: RunRef) => openRun(settings, ref);

  return {
    /** Creates the backup database, its schema and the plan of its parts. */
    async beginBackup({ run: ref }: { run: RunRef }): Promise<GroupPlan> {
      const run = await open(ref);
      const { method, create } = run.plan.databases.backup;
      const { claim, created } = await run.hold(
        { roles: [], phases: ['fenced'] },
        async ({ production }, held) => {
          await intend(production.client, databaseOf(run.url('backup')), {
            kind: 'creating',
            role: 'backup',
          });
          if (method === 'clone') return { claim: held, created: true };
          const isNew =
            create && (await createDatabase(run.url('backup'), production.client, 'backup create'));
          return { claim: held, created: isNew };
        },
      );
      // No session of this run may be in production while it is cloned.
      if (method === 'clone') await cloneDatabase(run.places, run.work());
      return run.sessions(['production', 'backup'], async (pair) => {
        await run.stillMay(['fenced'])(pair.production.client);
        const owner = { claim: claim.id, role: 'backup', run: run.identity, created } as const;
        const plan =
          method === 'clone'
            ? await adoptClone(pair.backup, owner)
            : await beginBackup(pair, { schemas: run.schemas, owner });
        return withRoom(plan, pair);
      });
    },

    /** Verifies the backup by reading both sides, seals it and counts what the mapping will drop; then it is `sealed`. */
    async sealBackup({ run: ref }: { run: RunRef }): Promise<SealedBackup> {
      const run = await open(ref);
      const { name, hash } = run.plan;
      return run.hold(
        { roles: ['backup'], phases: ['fenced', 'sealed'] },
        async ({ production, backup }, claim) => {
          const learnt = await learntOf(production.client);
          if (claim.phase === 'fenced') {
            await lookAgain(production, learnt, run.plan);
            await mustHaveRights(production.url, run.schemas);
          }
          const { manifest, manifestHash } = await sealBackup(
            { production, backup },
            { name, hash, schemas: run.schemas, again: learnt.production.again },
            run.work(),
          );
          const compiled = await compilePlan(run.plan, backup.client, learnt.catalog);
          const dropped = await countDrops(backup.client, compiled, {
            schemas: run.schemas,
            own: await readOwnSettings(production.client),
          });
          const moved =
            claim.phase === 'sealed'
              ? await run.mirrored(production.client)
              : await run.move(production.client, 'sealed', async (client) => {
                  await noteInClaim(client, { manifestHash });
                  await noteLargeObjects(client);
                });
          return {
            moved,
            database: databaseOf(backup.url),
            tables: manifest.tables.length,
            rows: manifest.tables.reduce((sum, table) => sum + table.rows, 0),
            bytes: manifest.bytes,
            dropped: droppedInShort(dropped, room.dropped),
          };
        },
      );
    },

    /** Indexes, keys and statistics of the backup, while the approval is awaited. @returns rows of the new tables to come */
    async indexBackup({ run: ref }: { run: RunRef }): Promise<{ newRows: number }> {
      const run = await open(ref);
      return run.hold(
        { roles: ['backup'], phases: ['sealed', 'approved'] },
        async ({ production, backup }) => {
          await indexBackup(backup, run.work());
          await analyzeBackup(backup, run.schemas, run.work());
          const compiled = await compilePlan(
            run.plan,
            backup.client,
            (await learntOf(production.client)).catalog,
          );
          const manifest = await sealedManifest(backup.client);
          return {
            newRows: await countNewRows(backup.client, compiled, manifest, {
              schemas: run.schemas,
              own: await readOwnSettings(production.client),
            }),
          };
        },
      );
    },

    /**
     * What an approval must carry to count: this backup, this plan and the schema it gave the shadow, this claim, this Temporal
     * run. One that a Temporal reset applies again carries another run's.
     */
    async openApproval({ run: ref }: { run: RunRef }): Promise<{ fingerprint: string }> {
      const run = await open(ref);
      return run.hold({ roles: [], phases: ['sealed', 'approved'] }, async ({ production }, claim) => {
        const definition = await hashOfNewSchema(production.client);
        const parts = [claim.manifestHash, run.plan.hash, definition, claim.id, run.identity.runId];
        const fingerprint = createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 24);
        await inTransaction(production.client, async () => {
          await noteInClaim(production.client, { fingerprint });
          await stillMay(production.client, run.identity, ['sealed', 'approved']);
        });
        return { fingerprint };
      });
    },

    /** Writes the approvals down; with enough of them production is `approved`. @throws KirikaeError StepFailed when they don't suffice */
    async approve({
      run: ref,
      fingerprint,
      approvals,
    }: {
      run: RunRef;
      fingerprint: string;
      approvals: Pick<Decision, 'by' | 'at'>[];
    }): Promise<Moved> {
      const run = await open(ref);
      return run.hold({ roles: [], phases: ['sealed', 'approved'] }, async ({ production }, claim) => {
        if (claim.phase === 'approved') return run.mirrored(production.client);
        if (claim.fingerprint !== fingerprint)
          throw new KirikaeError(
            'StepFailed',
            'The approvals are for another backup, plan or run. Nothing was dropped.',
          );
        return run.move(production.client, 'approved', async (client) => {
          await noteApprovals(client, approvals, fingerprint);
          await mustBeApproved(run, client, fingerprint);
        });
      });
    },
  };
}

/** Counts the approvals in the ledger. @throws KirikaeError StepFailed when the plan asks for more */
export async function mustBeApproved(
  run: HeldRun,
  client: Parameters<typeof approvers>[0],
  fingerprint: string | null,
): Promise<void> {
  const { minimum } = run.plan.approval;
  const found = fingerprint === null ? 0 : (await approvers(client, fingerprint)).size;
  if (found >= minimum) return;
  throw new KirikaeError(
    'StepFailed',
    `The ledger holds ${found} approvals of this backup, plan and run; ${minimum} by different persons are needed. Nothing was dropped.`,
  );
}
