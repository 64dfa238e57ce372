/** The claim of production: one row that says whose it is and how far the run has come. Memory and history only say what was asked. */
import type { Client } from 'pg';
import type { Phase } from '../contract';
import { KirikaeError } from '../errors';
import { all, inTransaction, one } from '../postgres/connect';
import { describeMarked, isAtHome, readMarker, writeMarker } from './marker';
import { mayGo, type Standing } from './phases';
import { claimDdl } from './tables';

/** Who acts: one Temporal run. */
export interface RunIdentity {
  namespace: string;
  workflowId: string;
  /** Of the workflow's first run; the same after a Temporal reset, another after a new start under the same id. */
  firstRunId: string;
  /** The Temporal run, or `recover HOST TIME`. */
  runId: string;
  plan: string;
}

/** The claim. Times are ISO 8601. */
export interface Claim extends Standing {
  id: string;
  namespace: string;
  workflowId: string;
  firstRunId: string;
  plan: string;
  /** The Temporal run that may act, or `recover HOST TIME`. */
  holder: string;
  claimedAt: string;
  /** Of what people approve; a changed one only goes back. */
  planHash: string;
  /** The backup's database. */
  backup: string;
  fenceOn: boolean;
  /** The database's own default_transaction_read_only before the fence; null when it had none. */
  fenceBefore: string | null;
  manifestHash: string | null;
  /** What the approvals that count carry. */
  fingerprint: string | null;
  /** Address and timeline of the server at the last transition. */
  server: string | null;
  timeline: string | null;
}

const claimColumns = `id, namespace, workflow_id as "workflowId", first_run_id as "firstRunId", plan, holder,
  to_char(claimed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as "claimedAt", phase, seq, window_no as "window",
  goes_back_from as "from", plan_hash as "planHash", backup, fence_on as "fenceOn", fence_before as "fenceBefore",
  manifest_hash as "manifestHash", fingerprint, server, timeline`;

/**
 * The claim in production, whoever's it is; null when there is none.
 * @throws KirikaeError NeedsOperator where the schema `kirikae` is not production's own ledger
 */
export async function readClaim(client: Client): Promise<Claim | null> {
  const found = await readMarker(client);
  if (found.kind === 'none') return null;
  if (found.kind === 'foreign' || found.marker.role !== 'production' || !isAtHome(found.marker)) {
    throw new KirikaeError('NeedsOperator', notProductions(client.database ?? '', describeMarked(found)));
  }
  const [row] = await all<Claim>(client, `select ${claimColumns} from kirikae.claim where id = $1`, [
    found.marker.claim,
  ]);
  return row ?? null;
}

function notProductions(database: string, found: string): string {
  return `The database ${database} can't be used as production: ${found}. Expected no schema kirikae, or the ledger of a run of this very database. Nothing was read or written there. Name the right database; a ledger that came with a copy is removed by: kirikae recover PLAN`;
}

/** True when the claim was made by this workflow, before or after a Temporal reset of it. */
export function isSameWorkflow(
  claim: Pick<Claim, 'namespace' | 'workflowId' | 'firstRunId'>,
  run: RunIdentity,
): boolean {
  return (
    claim.namespace === run.namespace &&
    claim.workflowId === run.workflowId &&
    claim.firstRunId === run.firstRunId
  );
}

export interface NewClaim {
  id: string;
  planHash: string;
  backup: string;
  /** Writes what preflight learnt, in the claim's transaction. */
  learn: (client: Client) => Promise<void>;
}

/**
 * Claims production for a run: schema, marker and claim in one transaction; harmless when this very run holds it already.
 * @throws KirikaeError StepFailed naming the holder, Overtaken when a Temporal reset made this run
 */
export async function claimProduction(client: Client, run: RunIdentity, fresh: NewClaim): Promise<Claim> {
  await inTransaction(client, async () => {
    // Two runs that create the schema at once would collide in the catalogue instead of in the claim.
    await client.query(`select pg_advisory_xact_lock(hashtextextended('kirikae claim', 0))`);
    if (await readClaim(client)) return;
    if (run.runId !== run.firstRunId) {
      throw new KirikaeError(
        'Overtaken',
        'This run was made by a Temporal reset, and such a run claims nothing. Production has no claim. Nothing was changed. Start a new run.',
      );
    }
    await insertClaim(client, { ...run, ...fresh, phase: 'claimed' }, run.runId);
    await client.query(`update kirikae.claim set (server, timeline) = (select ${serverIdentity})`);
    await fresh.learn(client);
    await noteEvent(client, { kind: 'claimed', who: run.runId, text: `plan ${run.plan}` });
  });
  const claim = await readClaim(client);
  if (claim && !isSameWorkflow(claim, run)) throw new KirikaeError('StepFailed', claimedByAnother(claim));
  return ownClaim(client, run);
}

/** What a claim is made of, or made anew from. */
type ClaimSeed = Pick<
  Claim,
  'id' | 'namespace' | 'workflowId' | 'firstRunId' | 'plan' | 'phase' | 'planHash' | 'backup'
> &
  Partial<Pick<Claim, 'fenceOn' | 'fenceBefore' | 'manifestHash'>>;

// The marker, the ledger's tables and the claim. In the caller's transaction.
async function insertClaim(client: Client, seed: ClaimSeed, holder: string): Promise<void> {
  await writeMarker(client, seed.id, 'production');
  await client.query(claimDdl);
  const { id, namespace, workflowId, firstRunId, plan, phase, planHash, backup } = seed;
  const { fenceOn = false, fenceBefore = null, manifestHash = null } = seed;
  await client.query(
    `insert into kirikae.claim (id, namespace, workflow_id, first_run_id, plan, holder, phase, plan_hash, backup,
       fence_on, fence_before, manifest_hash)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
    [
      ...[id, namespace, workflowId, firstRunId, plan, holder, phase, planHash, backup],
      ...[fenceOn, fenceBefore, manifestHash],
    ],
  );
}

/**
 * Writes into production's ledger what another witness knows, and becomes its holder; a claim that is gone is made anew from its
 * mirror. In the caller's transaction.
 */
export async function adoptStanding(
  client: Client,
  { run, furthest, mirror }: { run: RunIdentity; furthest: Standing; mirror: Claim | null },
): Promise<void> {
  if (mirror) await insertClaim(client, mirror, run.runId);
  const seq = furthest.seq + 1;
  await client.query(
    `update kirikae.claim set phase = $1, seq = $2, window_no = $3, goes_back_from = $4, holder = $5`,
    [furthest.phase, seq, furthest.window, furthest.from, run.runId],
  );
  const text = `${furthest.phase}, known by the furthest of ledger, mirror and history`;
  await noteEvent(client, { kind: 'adopted', who: run.runId, text, seq });
}

/** The sentence for a run that finds production claimed by another. */
export function claimedByAnother(claim: Claim): string {
  return `Production is claimed by workflow "${claim.workflowId}" (plan "${claim.plan}", namespace ${claim.namespace}) since ${claim.claimedAt}, which has not ended (phase ${claim.phase}). This run changed nothing of it. Let that run end (kirikae status ${claim.workflowId}); if it was terminated, bring production to a safe end first: kirikae recover ${claim.plan}`;
}

/**
 * The claim of this run, looked at before anything is done.
 * @param phases those in which what is to be done may be done; all when left out
 * @throws KirikaeError Overtaken when the claim is gone, another's, held by another Temporal run, or at another phase
 */
export async function ownClaim(client: Client, run: RunIdentity, phases?: readonly Phase[]): Promise<Claim> {
  const claim = await readClaim(client);
  if (!claim) {
    throw new KirikaeError(
      'Overtaken',
      'Production holds no claim of this run (any more). Nothing was changed. Send retry to do what the backup and the history call for, or settle.',
    );
  }
  if (!isSameWorkflow(claim, run)) {
    throw new KirikaeError(
      'Overtaken',
      `Production is claimed by another run (workflow "${claim.workflowId}"). This run touches nothing of it. Send retry or settle to close this run.`,
    );
  }
  if (claim.holder !== run.runId) {
    throw new KirikaeError('Overtaken', heldByAnother(claim));
  }
  if (phases && !phases.includes(claim.phase)) throw new KirikaeError('Overtaken', wrongPhase(claim, phases));
  return claim;
}

/** The sentence for a run whose workflow's claim is held by another of its Temporal runs, by `recover`, or by hand. */
export function heldByAnother(claim: Claim): string {
  return `The ledger in production is held by ${describeHolder(claim)} and is at phase ${claim.phase}, as after a Temporal reset or kirikae recover. This run took no backup and dropped nothing. Send retry to become the holder and go the way that the phase calls for, or settle.`;
}

function describeHolder({ holder }: Claim): string {
  if (holder === 'by hand') return 'somebody who goes back by hand';
  if (holder.startsWith('recover ')) return holder.replace('recover', 'kirikae recover on');
  return `the Temporal run ${holder}`;
}

function wrongPhase({ phase }: Claim, phases: readonly Phase[]): string {
  return `The ledger is at phase ${phase}, where this must not be done (it belongs to ${phases.join(', ')}). Nothing was changed. Send retry to go the way that the phase calls for, or settle.`;
}

/**
 * Makes sure, as the last statement before COMMIT, that this run may still write: a way back, or another holder, waits for it.
 * @throws KirikaeError Overtaken
 */
export async function stillMay(client: Client, run: RunIdentity, phases: readonly Phase[]): Promise<void> {
  const rows = await all(
    client,
    'select 1 from kirikae.claim where holder = $1 and phase = any($2) for share',
    [run.runId, phases],
  );
  if (rows.length > 0) return;
  await ownClaim(client, run, phases);
  throw new KirikaeError('Overtaken', 'Production has no claim of this run any more; nothing was written.');
}

/**
 * A transition of the ledger, in the caller's transaction and as its last statement. One that was made before is harmless.
 * @throws KirikaeError Overtaken when the ledger doesn't allow it
 */
export async function advance(client: Client, run: RunIdentity, to: Phase): Promise<Claim> {
  const claim = await ownClaim(client, run);
  if (claim.phase === to) return claim;
  if (!mayGo(claim, to)) throw new KirikaeError('Overtaken', wrongPhase(claim, [to]));
  const next = standingAt(claim, to);
  const [moved] = await all<Claim>(
    client,
    `update kirikae.claim set phase = $1, seq = $2, window_no = $3, goes_back_from = $4, (server, timeline) = (select ${serverIdentity})
     where phase = $5 and seq = $6 and holder = $7 returning ${claimColumns}`,
    [next.phase, next.seq, next.window, next.from, claim.phase, claim.seq, run.runId],
  );
  if (!moved) {
    throw new KirikaeError('Outage', `The ledger moved on from ${claim.phase} meanwhile; looking again.`);
  }
  await noteEvent(client, { kind: to, who: run.runId, text: `from ${claim.phase}`, seq: next.seq });
  return moved;
}

/** Where a claim stands. */
export function standingOf({ phase, seq, window, from }: Standing): Standing {
  return { phase, seq, window, from };
}

/** Where a ledger stands after a transition. */
export function standingAt(before: Standing, to: Phase): Standing {
  const { phase, seq, window, from } = before;
  const next = { phase: to, seq: seq + 1 };
  // People come in at `live`: going back from there shuts them out a second time.
  if (to === 'returning') return { ...next, window: phase === 'live' ? window + 1 : window, from: phase };
  // Taken back: the run is again where it was.
  if (to === from && (phase === 'returning' || phase === 'aside')) return { ...next, window, from: null };
  return { ...next, window, from };
}

/** Gives this workflow's claim to this Temporal run, or to `recover`. In the caller's transaction. */
export async function becomeHolder(client: Client, run: RunIdentity): Promise<void> {
  await client.query('update kirikae.claim set holder = $1 where holder <> $1', [run.runId]);
  await noteEvent(client, { kind: 'holder', who: run.runId, text: 'became the holder' });
}

/** Sets fields of the claim that aren't its phase. In the caller's transaction, before the phase. */
export async function noteInClaim(
  client: Client,
  fields: Partial<Pick<Claim, 'manifestHash' | 'fingerprint' | 'fenceOn' | 'fenceBefore'>>,
): Promise<void> {
  const columns = {
    manifestHash: 'manifest_hash',
    fingerprint: 'fingerprint',
    fenceOn: 'fence_on',
    fenceBefore: 'fence_before',
  };
  for (const [name, value] of Object.entries(fields))
    await client.query(`update kirikae.claim set ${columns[name as keyof typeof columns]} = $1`, [value]);
}

export interface Event {
  kind: string;
  who: string;
  text: string;
  seq?: number;
}

/** Appends to the ledger's list of events. */
export async function noteEvent(client: Client, { kind, who, text, seq }: Event): Promise<void> {
  await client.query('insert into kirikae.event (kind, who, text, seq) values ($1, $2, $3, $4)', [
    kind,
    who,
    text,
    seq ?? null,
  ]);
}

/** True when the server answers from another address or timeline than at the last transition, as one restored or forked does. */
export async function serverHasMoved(client: Client, claim: Claim): Promise<boolean> {
  const now = await one<{ server: string | null; timeline: string | null }>(
    client,
    `select s as server, t as timeline from (select ${serverIdentity}) as x(s, t)`,
  );
  return now.server !== claim.server || now.timeline !== claim.timeline;
}

// The address that the server itself answers on; over a socket of its host there is none. A WAL file's first eight digits are
// the timeline; a standby can't tell its own.
const serverIdentity = `concat_ws(':', host(inet_server_addr()), inet_server_port()),
  case when not pg_is_in_recovery() then substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end`;
