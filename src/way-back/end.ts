/** The end of a run in production: its backup where it isn't needed, and `over`, after which the ledger goes. */
import type { Client } from 'pg';
import { isOwnClone } from '../backup/clone';
import { removeBackup } from '../backup/manifest';
import { KirikaeError } from '../errors';
import { isSameWorkflow, readClaim, type Claim } from '../ledger/claim';
import type { HeldRun, Moved } from '../ledger/held-run';
import { isMarkedAs, readMarker } from '../ledger/marker';
import { intend, readIntent } from '../ledger/records';
import { removeLedger } from '../ledger/remove';
import { describeScratch } from '../ledger/scratch';
import { inTransaction, withClient } from '../postgres/connect';
import { databaseExists, dropDatabase } from '../postgres/databases';
import { databaseOf } from '../postgres/url';
import { dropKept } from '../reset/set-aside';

/** Removes this run's backup, sealed or not; one that isn't there (any more) is no error, another's is left alone. */
export async function removeOwnBackup(run: HeldRun): Promise<boolean> {
  const url = run.url('backup');
  const name = databaseOf(url);
  const phases = ['live', 'home'] as const;
  const { claim, wasCreating } = await run.hold({ roles: [], phases }, async ({ production }, held) => {
    const before = await readIntent(production.client, name);
    await inTransaction(production.client, async () => {
      await intend(production.client, name, { kind: 'dropping', role: 'backup' });
      await run.stillMay(phases)(production.client);
    });
    return { claim: held, wasCreating: before !== null };
  });
  if (!wasCreating || !(await databaseExists(url, 'backup drop'))) return false;
  const state = await withClient(url, `${run.label} backup`, async (client) => {
    const kind = await whoseBackup(client, claim);
    if (kind === 'ours') await removeBackup({ ...run.place('backup'), client }, run.schemas);
    return kind;
  });
  if (state === 'unmarked' && run.plan.databases.backup.create) await dropDatabase(url, 'backup drop');
  return state !== 'others';
}

// A clone has production's marker until it is adopted; a database that was just created has none.
async function whoseBackup(client: Client, claim: Claim): Promise<'ours' | 'unmarked' | 'others'> {
  const found = await readMarker(client);
  if (isMarkedAs(found, claim.id, 'backup')) return 'ours';
  const isNew = found.kind === 'none' && (await describeScratch(client)).kind === 'empty';
  return isNew || (await isOwnClone(client, claim.id)) ? 'unmarked' : 'others';
}

/**
 * The last act of a run in production: `over`, in the ledger and in its mirror; then kept tables and the ledger go. A ledger is
 * removed only from `live` or `home`: production is whole there, and users may come in.
 * @returns sentences about what went; no standing where the ledger was gone already
 */
export async function finishRun(run: HeldRun): Promise<Partial<Moved> & { notes: string[] }> {
  return run.sessions(['production'], async ({ production: { client } }) => {
    const claim = await readClaim(client);
    if (!claim || !isSameWorkflow(claim, run.identity)) return { notes: [] };
    if (claim.fenceOn)
      throw new KirikaeError('Overtaken', 'The fence stands yet, so the ledger is not removed.');
    const moved = await run.move(client, 'over');
    const notes = await inTransaction(client, async () => {
      const dropped = await dropKept(client);
      return [
        ...dropped.map(
          (schema) => `The old objects were dropped from production for good (schema ${schema}).`,
        ),
        ...(await removeLedger(client)),
      ];
    });
    return { ...moved, notes: [...moved.notes, ...notes] };
  });
}
