/** What must not be lost of the present database is copied aside before it is emptied: the phase `aside`. */
import { beginBackup } from '../backup/build';
import { isSealed, readBackup } from '../backup/manifest';
import { unlikeSealed } from '../backup/prove';
import { indexBackup, sealBackup } from '../backup/seal';
import type { PartPlan } from '../engine/parts';
import { KirikaeError } from '../errors';
import type { Claim } from '../ledger/claim';
import type { HeldRun, Moved } from '../ledger/held-run';
import { describeLateWrites, isUntouched, keepCounters, writtenSince } from '../ledger/late-writes';
import { isMarkedAs, proveMarker, readMarker } from '../ledger/marker';
import { hasReached } from '../ledger/phases';
import { intend, readIntent } from '../ledger/records';
import { inTransaction, withClient } from '../postgres/connect';
import { createDatabase, databaseExists, dropDatabase } from '../postgres/databases';
import type { Endpoint, Pair } from '../postgres/endpoint';
import { databaseOf, otherDatabase } from '../postgres/url';
import { endOtherSessions } from '../reset/fence';

const phases = ['returning', 'aside'] as const;

/** What the names of databases that are set aside beside a backup begin with: PostgreSQL takes names of 63 bytes. */
export function asidePrefix(backup: string): string {
  let cut = '';
  for (const letter of backup) {
    if (Buffer.byteLength(cut + letter) > 30) break;
    cut += letter;
  }
  return `${cut}_abandoned_`;
}

/** The database that a run copies the present one into, of this window; it stays until people remove it. */
export function asideUrl(run: HeldRun, claim: Claim): string {
  const name = `${asidePrefix(claim.backup)}${claim.id}_${claim.window}`;
  return otherDatabase(run.url('backup'), name);
}

/** Makes sure that the copy is this run's own, for whoever opens sessions of it. @throws KirikaeError NeedsOperator */
export async function proveAside(run: HeldRun, claim: Claim): Promise<void> {
  const url = asideUrl(run, claim);
  await withClient(url, `${run.label} aside`, (client) =>
    proveMarker({ title: 'the copy set aside', url, client }, claim.id, 'aside'),
  );
}

/**
 * Makes the copy ready for its rows, where anything was written since `verified` or that can't be told; an earlier copy that isn't
 * of the present rows any more is made anew.
 * @returns the plan of its parts, and its database; null where nothing has to be kept
 */
export async function beginAside(run: HeldRun): Promise<PartPlan & { database: string | null }> {
  return run.hold({ roles: [], phases }, async ({ production }, claim) => {
    const nothing = { groups: 0, parts: 0, bytes: 0, database: null };
    if (claim.from === null || !hasReached(claim.from, 'verified')) return nothing;
    await endOtherSessions(production.client);
    const url = asideUrl(run, claim);
    const name = databaseOf(url);
    const late = await writtenSince(production.client, run.schemas);
    if (isUntouched(late)) return nothing;
    await dropStale(run, url, claim);
    await intend(production.client, name, { kind: 'creating', role: 'aside' });
    const created = await createDatabase(url, production.client, 'backup create');
    return withAside(run, { production, claim, isNew: true }, async (pair) => {
      const owner = { claim: claim.id, role: 'aside', run: run.identity, created } as const;
      return { ...(await beginBackup(pair, { schemas: run.schemas, owner })), database: name };
    });
  });
}

/** Seals and verifies the copy; then the run is at `aside`. @returns rows kept, and in which database; null where none are */
export async function sealAside(
  run: HeldRun,
): Promise<{ rows: number; database: string | null; moved: Moved }> {
  return run.hold({ roles: [], phases }, async ({ production }, claim) => {
    const url = asideUrl(run, claim);
    const isMade = (await readIntent(production.client, databaseOf(url)))?.kind === 'creating';
    const rows = isMade ? await withAside(run, { production, claim }, (pair) => seal(run, pair)) : 0;
    const moved =
      claim.phase === 'aside'
        ? await run.mirrored(production.client)
        : await run.move(production.client, 'aside');
    return { rows, database: isMade ? databaseOf(url) : null, moved };
  });
}

/**
 * Where the counters can't tell any more whether production is as it was copied aside (a crash, a reset of statistics): reads it whole,
 * holds it against the copy's manifest, and counts from here on. Leaves everything as it is where it differs, or where there is no copy.
 */
export async function countAnew(run: HeldRun, production: Endpoint, claim: Claim): Promise<void> {
  if (claim.phase !== 'aside' || (await writtenSince(production.client, run.schemas)).isKnown) return;
  const url = asideUrl(run, claim);
  const isMade = (await readIntent(production.client, databaseOf(url)))?.kind === 'creating';
  if (!isMade || !(await databaseExists(url, `${run.label} aside`))) return;
  const { manifest } = await withAside(run, { production, claim }, ({ backup }) => readBackup(backup.client));
  if (!manifest) return;
  await inTransaction(production.client, async () => {
    // Before the reading: what is written from here on is found, by the reading or by the counters.
    await keepCounters(production.client, run.schemas);
    const problems = await unlikeSealed(production, { manifest, untouched: new Set() }, run.work());
    if (problems.length > 0) throw new KirikaeError('NeedsOperator', writtenAfterAside(problems));
  });
}

/**
 * Makes sure that everything in production is in the copy set aside, or is as it was when nothing had to be copied. For who has locked
 * its tables; what was emptied before has nothing to lose.
 * @throws KirikaeError NeedsOperator when rows came since; Uncounted when that can't be told
 */
export async function mustBeAsCopied(
  run: HeldRun,
  production: Endpoint['client'],
  { phase, from }: Claim,
): Promise<void> {
  if (phase === 'emptied' || !hasReached(from, 'verified')) return;
  const late = await writtenSince(production, run.schemas);
  if (isUntouched(late)) return;
  if (late.tables.length > 0)
    throw new KirikaeError('NeedsOperator', writtenAfterAside(describeLateWrites(late)));
  throw new KirikaeError(
    'Uncounted',
    "Whether production was written to since it was looked at can't be told: its server started again or its statistics were reset. Nothing was emptied. Find out what restarts it, then send retry: it is copied aside first.",
  );
}

// The sentence for a production that isn't as it was copied aside, with what is known of it.
function writtenAfterAside(clauses: readonly string[]): string {
  return `Production was written to after it was copied aside: ${clauses.join(' ')} Nothing was emptied. Find out whether anything goes round the fence and stop it; then send retry: it is copied aside again.`;
}

async function seal(run: HeldRun, pair: Pair): Promise<number> {
  const { name, hash } = run.plan;
  // Before it is compared: what is written from here on is found, by the comparison or by the counters.
  if (!(await readBackup(pair.backup.client)).manifest)
    await inTransaction(pair.production.client, () => keepCounters(pair.production.client, run.schemas));
  const { manifest } = await sealBackup(pair, { name, hash, schemas: run.schemas }, run.work());
  await indexBackup(pair.backup, run.work());
  return manifest.tables.reduce((sum, table) => sum + table.rows, 0);
}

// Once a copy is sealed, the counters are those of the copy: what was written after it isn't in it. So also of a way back that was
// taken back.
async function dropStale(run: HeldRun, url: string, claim: Claim): Promise<void> {
  if (!(await databaseExists(url, 'aside drop'))) return;
  const isStale = await withClient(
    url,
    `${run.label} aside`,
    async (client) =>
      isMarkedAs(await readMarker(client), claim.id, 'aside') &&
      (claim.phase === 'aside' || (await isSealed(client))),
  );
  if (isStale) await dropDatabase(url, 'aside drop');
}

interface Aside {
  production: Endpoint;
  claim: Claim;
  /** True where the database may just have been created, so that it has no marker yet. */
  isNew?: boolean;
}

// The copy set aside is a backup of its own.
function withAside<T>(
  run: HeldRun,
  { production, claim, isNew = false }: Aside,
  work: (pair: Pair) => Promise<T>,
): Promise<T> {
  const url = asideUrl(run, claim);
  return withClient(url, `${run.label} aside`, async (client) => {
    const backup = { title: 'the copy set aside', url, client };
    const isUnmarked = isNew && (await readMarker(client)).kind === 'none';
    if (!isUnmarked) await proveMarker(backup, claim.id, 'aside');
    return work({ production, backup });
  });
}
