/** The fence: production is read-only for everyone but this run, and other sessions end. */
import type { Client } from 'pg';
import { KirikaeError, failureType } from '../errors';
import { noteInClaim, type Claim } from '../ledger/claim';
import { APPLICATION, all, one } from '../postgres/connect';
import { endUntilGone } from '../postgres/sessions';
import { identifier, literal } from '../postgres/sql';

/**
 * Makes production read-only by default; the ledger notes the former setting in the same transaction. In the caller's
 * transaction; harmless when the fence stands already. The caller ends other sessions after it.
 */
export async function setFence(client: Client, claim: Claim): Promise<void> {
  if (!claim.fenceOn)
    await noteInClaim(client, { fenceOn: true, fenceBefore: await databaseSetting(client) });
  await client.query(`alter database ${await databaseName(client)} set default_transaction_read_only = on`);
}

/**
 * Puts the setting back to what it was before the fence; does nothing when the ledger knows no fence. In the caller's
 * transaction. The caller ends other sessions after it: those opened under the fence stay read-only for life.
 */
export async function unsetFence(client: Client, claim: Claim): Promise<void> {
  if (!claim.fenceOn) return;
  const database = await databaseName(client);
  await client.query(
    claim.fenceBefore === null
      ? `alter database ${database} reset default_transaction_read_only`
      : `alter database ${database} set default_transaction_read_only = ${literal(claim.fenceBefore)}`,
  );
  await noteInClaim(client, { fenceOn: false, fenceBefore: null });
}

/** Ends the sessions that were opened under the fence. One that can't be ended (a superuser's) is no reason to keep production shut. */
export async function endFencedSessions(client: Client): Promise<void> {
  await endOtherSessions(client).catch((error: unknown) => {
    if (failureType(error) !== 'StepFailed') throw error;
  });
}

/**
 * Ends every client session of this database that was there at this moment and isn't one of this program's, and waits
 * until they are gone. Sessions that come after a fence are read-only and may stay. Type and start of a session that this
 * user may not look at are null (preflight asks for pg_read_all_stats): it counts as a session of before.
 */
export async function endOtherSessions(client: Client): Promise<void> {
  const { now } = await one<{ now: string }>(client, 'select clock_timestamp()::text as now');
  const others = {
    where: `datname = current_database() and coalesce(backend_type, 'client backend') = 'client backend'
      and usesysid is not null and application_name not like $1 and coalesce(backend_start < $2::timestamptz, true)`,
    values: [`${APPLICATION} %`, now],
  };
  const { found } = await endUntilGone(client, others, 30_000);
  if (found.length === 0) return;
  throw new KirikaeError(
    'StepFailed',
    `Sessions of others in production do not end: ${found.slice(0, 5).join(', ')}. End them, then start again.`,
  );
}

/** The default_transaction_read_only set for this database itself (all roles); null when none is. */
export async function databaseSetting(client: Client): Promise<string | null> {
  const rows = await all<{ value: string }>(
    client,
    `select split_part(setting, '=', 2) as value
     from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase, unnest(s.setconfig) as setting
     where d.datname = current_database() and s.setrole = 0 and setting like 'default_transaction_read_only=%'`,
  );
  return rows[0]?.value ?? null;
}

async function databaseName(client: Client): Promise<string> {
  const { name } = await one<{ name: string }>(client, 'select current_database() as name');
  return identifier(name);
}
