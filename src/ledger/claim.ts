/** The ledger: schema `kirikae` in production and its mirror in the backup. What a run did stands here, not in memory. */
import type { Client } from 'pg';
import { KirikaeError } from '../errors';
import { all, inTransaction, one } from '../postgres/connect';
import { claimDdl } from './tables';

/** Who acts: one Temporal run. `chain` is the first run of the workflow, the same after a Temporal reset. */
export interface RunIdentity {
  namespace: string;
  workflowId: string;
  chain: string;
  runId: string;
  plan: string;
}

/** The claim of production, with the marks that decide the way back. Times are ISO 8601, null until it happened. */
export interface Claim extends RunIdentity {
  claimedAt: string;
  pageOn: boolean;
  fenceOn: boolean;
  /** The database's own default_transaction_read_only before the fence; null when it had none. */
  fenceBefore: string | null;
  backupDatabase: string | null;
  resetAt: string | null;
  verifiedAt: string | null;
  liveAt: string | null;
  lossAcceptedAt: string | null;
}

const claimColumns = `namespace, workflow_id as "workflowId", chain, run_id as "runId", plan, claimed_at as "claimedAt",
  page_on as "pageOn", fence_on as "fenceOn", fence_before as "fenceBefore", backup_database as "backupDatabase",
  reset_at as "resetAt", verified_at as "verifiedAt", live_at as "liveAt", loss_accepted_at as "lossAcceptedAt"`;

/** The claim in a database, whoever's it is; null when there is none. */
export async function readClaim(client: Client): Promise<Claim | null> {
  const { there } = await one<{ there: boolean }>(
    client,
    `select to_regclass('kirikae.claim') is not null as there`,
  );
  if (!there) return null;
  const [row] = await all<Claim>(client, `select ${claimColumns} from kirikae.claim`);
  return row ? isoTimes(row) : null;
}

/** True when the claim was made by this workflow, before or after a Temporal reset of it. */
export function isSameWorkflow(claim: Claim, run: RunIdentity): boolean {
  return (
    claim.namespace === run.namespace && claim.workflowId === run.workflowId && claim.chain === run.chain
  );
}

/**
 * Claims production for a run, atomically; harmless when this very run holds it already.
 * @throws KirikaeError StepFailed naming the holder, Overtaken when a Temporal reset made this run
 */
export async function claimProduction(
  client: Client,
  run: RunIdentity,
  backupDatabase: string,
): Promise<Claim> {
  await inTransaction(client, async () => {
    // Two runs that create the schema at once would collide in the catalogue instead of in the claim.
    await client.query(`select pg_advisory_xact_lock(hashtextextended('kirikae claim', 0))`);
    const before = await readClaim(client);
    if (before) return;
    await client.query(claimDdl);
    await client.query(
      `insert into kirikae.claim (namespace, workflow_id, chain, run_id, plan, backup_database)
       values ($1, $2, $3, $4, $5, $6) on conflict do nothing`,
      [run.namespace, run.workflowId, run.chain, run.runId, run.plan, backupDatabase],
    );
  });
  const claim = await readClaim(client);
  if (claim && !isSameWorkflow(claim, run)) throw new KirikaeError('StepFailed', claimedByAnother(claim));
  return ownClaim(client, run);
}

/** The sentence for a run that finds production claimed by another. */
export function claimedByAnother(claim: Claim): string {
  return `Production is claimed by workflow "${claim.workflowId}" (plan "${claim.plan}", namespace ${claim.namespace}) since ${claim.claimedAt}, which has not ended. This run changed nothing of it. Let that run end (kirikae status ${claim.workflowId}); if it was terminated, bring production to a safe end first: kirikae recover ${claim.plan} (until that command exists: docs/if-it-stops.md, "By hand").`;
}

/**
 * The claim of this run, read before anything destructive.
 * @throws KirikaeError Overtaken when the claim is gone, another's, or was taken by another Temporal run of this workflow
 */
export async function ownClaim(client: Client, run: RunIdentity): Promise<Claim> {
  const claim = await readClaim(client);
  if (!claim) {
    throw new KirikaeError(
      'Overtaken',
      `Production's ledger holds no claim of this run: it has ended already, or was recovered by hand. Nothing was changed. Send retry to close this run, or settle.`,
    );
  }
  if (isSameWorkflow(claim, run) && claim.runId === run.runId) return claim;
  if (!isSameWorkflow(claim, run)) {
    throw new KirikaeError(
      'Overtaken',
      `Production is claimed by another run (workflow "${claim.workflowId}"). This run touches nothing of it. Send retry or settle to close this run.`,
    );
  }
  throw new KirikaeError(
    'Overtaken',
    `The ledger in production was written by the Temporal run ${claim.runId} of this workflow and is further on (${describeMarks(claim)}) than this run's history knows, as after a Temporal reset. No backup was taken and nothing dropped. Send retry to go the way back that the ledger calls for, or settle.`,
  );
}

/** Gives this workflow's claim to this Temporal run; null when the workflow has no claim (any more). */
export async function takeOverClaim(client: Client, run: RunIdentity): Promise<Claim | null> {
  const claim = await readClaim(client);
  if (!claim || !isSameWorkflow(claim, run)) return null;
  await client.query('update kirikae.claim set run_id = $1', [run.runId]);
  return { ...claim, runId: run.runId };
}

type Mark = 'reset_at' | 'verified_at' | 'live_at' | 'loss_accepted_at';

/** Writes a mark once; a mark that stands keeps its time. Inside the caller's transaction if there is one. */
export async function setMark(client: Client, mark: Mark): Promise<void> {
  await client.query(`update kirikae.claim set ${mark} = coalesce(${mark}, now())`);
}

export async function notePage(client: Client, { on }: { on: boolean }): Promise<void> {
  await client.query('update kirikae.claim set page_on = $1', [on]);
}

/** @param fence.before the database's own setting before it */
export async function noteFence(
  client: Client,
  { on, before }: { on: boolean; before: string | null },
): Promise<void> {
  await client.query('update kirikae.claim set fence_on = $1, fence_before = $2', [on, before]);
}

/** Copies the claim into the backup, so that the backup alone tells how far the run got. */
export async function mirrorClaim(backup: Client, claim: Claim): Promise<void> {
  await backup.query(claimDdl);
  await inTransaction(backup, async () => {
    await backup.query('delete from kirikae.claim');
    await backup.query(
      `insert into kirikae.claim (namespace, workflow_id, chain, run_id, plan, claimed_at, page_on, fence_on, fence_before,
         backup_database, reset_at, verified_at, live_at, loss_accepted_at)
       values ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14)`,
      [
        claim.namespace,
        claim.workflowId,
        claim.chain,
        claim.runId,
        claim.plan,
        claim.claimedAt,
        claim.pageOn,
        claim.fenceOn,
        claim.fenceBefore,
        claim.backupDatabase,
        claim.resetAt,
        claim.verifiedAt,
        claim.liveAt,
        claim.lossAcceptedAt,
      ],
    );
  });
}

/** Removes the ledger: the last thing a run does in production. */
export async function removeLedger(client: Client): Promise<void> {
  await client.query('set client_min_messages = warning; drop schema if exists kirikae cascade');
}

function describeMarks(claim: Claim): string {
  if (claim.liveAt) return 'production is live since ' + claim.liveAt;
  if (claim.resetAt) return 'production was reset at ' + claim.resetAt;
  if (claim.fenceOn) return 'production is fenced';
  return claim.pageOn ? 'the maintenance page is on' : 'production is claimed';
}

function isoTimes(row: Claim): Claim {
  const iso = (value: unknown) => (value instanceof Date ? value.toISOString() : (value as string | null));
  return {
    ...row,
    claimedAt: iso(row.claimedAt) ?? '',
    resetAt: iso(row.resetAt),
    verifiedAt: iso(row.verifiedAt),
    liveAt: iso(row.liveAt),
    lossAcceptedAt: iso(row.lossAcceptedAt),
  };
}
