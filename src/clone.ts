/** `backup.method: clone`: the server itself copies production's files into the backup database. */
import type { Client } from 'pg';
import { storeDefinition } from './backup';
import { BACKUP_PHASE, markBackup, type Ends } from './manifest';
import { databaseExists, describeScratch } from './database';
import { planParts, type PartPlan } from './engine/parts';
import { KirikaeError, codeOf } from './errors';
import { isSameWorkflow, mirrorClaim, noteStage, readClaim, stageDone } from './ledger';
import type { Claim, RunIdentity } from './ledger';
import { APPLICATION, all, connect, disconnect, inTransaction, one } from './postgres/connect';
import { majorVersion } from './postgres/dump';
import { identifier } from './postgres/sql';
import { databaseOf, dropCommand, otherDatabase, placeOf } from './postgres/url';

export interface Cloning {
  productionUrl: string;
  backupUrl: string;
  /** Who clones, in application_name; the same for every attempt. */
  label: string;
  signal: AbortSignal;
}

// How long sessions that come back are ended again before the clone gives up.
const patienceMs = 60_000;

/**
 * Makes the backup database as a copy of production's files; does nothing when it is there. CREATE DATABASE itself lets nobody
 * into its template from its start to its end (newcomers wait at the door), so that nothing has to be put back after a crash;
 * who is in when it starts is ended.
 * @throws KirikaeError naming the sessions that don't end
 */
export async function cloneDatabase(cloning: Cloning): Promise<void> {
  const creator = await connect(otherDatabase(cloning.backupUrl, 'postgres'), `${cloning.label} clone`);
  try {
    const ender = await connect(otherDatabase(cloning.productionUrl, 'postgres'), `${cloning.label} ender`);
    try {
      await endPredecessors(creator, cloning.label);
      if (await databaseExists(cloning.backupUrl, `${cloning.label} look`)) return;
      const deadline = Date.now() + patienceMs;
      for (;;) {
        const stubborn = await tryToClone(creator, ender, cloning);
        if (stubborn === null) return;
        if (Date.now() > deadline) {
          throw new KirikaeError(
            'StepFailed',
            `Production ${placeOf(cloning.productionUrl)} can't be cloned while others are connected to it: ${stubborn.join(', ') || 'sessions that come back at once'}. End them, or set databases.backup.method to copy; then start again.`,
          );
        }
      }
    } finally {
      await disconnect(ender);
    }
  } finally {
    await disconnect(creator);
  }
}

/** True when a database is this run's clone that has no marker yet: production's ledger came with the files. */
export async function isOwnClone(backup: Client, run: RunIdentity, productionUrl: string): Promise<boolean> {
  const claim = await readClaim(backup);
  const { name } = await one<{ name: string }>(backup, 'select current_database() as name');
  // Production's ledger names the backup, so that production is never taken for it.
  return (
    claim !== null &&
    isSameWorkflow(claim, run) &&
    claim.backupDatabase === name &&
    name !== databaseOf(productionUrl)
  );
}

/**
 * Turns a clone into a backup like any other: marker, production's definition, the ledger's mirror. Nothing is left to copy or
 * to index; sealing reads and compares both sides as ever.
 */
export async function adoptClone(ends: Ends, run: RunIdentity, claim: Claim): Promise<PartPlan> {
  const own = await isOwnClone(ends.backup, run, ends.productionUrl);
  if (!own && (await describeScratch(ends.backup)).kind === 'empty') {
    throw new KirikaeError(
      'StepFailed',
      `The backup database ${placeOf(ends.backupUrl)} was created by somebody else meanwhile, and a clone is always made anew. Remove it: ${dropCommand(ends.backupUrl)}`,
    );
  }
  await inTransaction(ends.backup, async () => {
    await markBackup(ends, run, true, own);
    if (await stageDone(ends.backup, 'backup', 1, 'schema')) return;
    await storeDefinition(ends);
    for (const stage of ['schema', 'indexes']) await noteStage(ends.backup, 'backup', 1, stage);
  });
  await mirrorClaim(ends.backup, claim);
  return planParts(ends.backup, BACKUP_PHASE, [], true);
}

// A worker that was killed may have left its statement running.
async function endPredecessors(creator: Client, label: string): Promise<void> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const others = await all(
      creator,
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and pid <> pg_backend_pid()`,
      [`${APPLICATION} ${label} clone`.slice(0, 63)],
    );
    if (others.length === 0) return;
    if (Date.now() > deadline)
      throw new KirikaeError('Outage', 'The clone of an earlier attempt does not end; trying again.');
    await pause(100);
  }
}

// One CREATE DATABASE, which waits up to five seconds for its template to be empty. @returns null when it is made, else who was in
async function tryToClone(creator: Client, ender: Client, cloning: Cloning): Promise<string[] | null> {
  cloning.signal.throwIfAborted();
  const production = databaseOf(cloning.productionUrl);
  const { pid } = await one<{ pid: number }>(creator, 'select pg_backend_pid() as pid');
  const strategy = (await majorVersion(creator)) >= 15 ? ' strategy file_copy' : '';
  const name = identifier(databaseOf(cloning.backupUrl));
  let over = false;
  const made = creator
    .query(`create database ${name} template ${identifier(production)}${strategy}`)
    .then(
      () => ({ error: null }),
      (error: unknown) => ({ error }),
    )
    .finally(() => (over = true));
  let stubborn: string[] = [];
  while (!over) {
    if (cloning.signal.aborted) {
      await ender.query('select pg_terminate_backend($1)', [pid]);
      await made;
      break;
    }
    stubborn = await endSessions(ender, production);
    await Promise.race([made, pause(100)]);
  }
  cloning.signal.throwIfAborted();
  const { error } = await made;
  if (error === null) return null;
  if (codeOf(error) === '55006') return stubborn;
  throw error as Error;
}

// Everybody who is in the database; autovacuum makes way by itself. @returns who could not be ended
async function endSessions(ender: Client, database: string): Promise<string[]> {
  const found = await all<{ pid: number; who: string }>(
    ender,
    `select pid, format('pid %s of %s (%s)', pid, usename, coalesce(nullif(application_name, ''), 'unnamed')) as who
     from pg_stat_activity where datname = $1 and backend_type is distinct from 'autovacuum worker'`,
    [database],
  );
  const stubborn: string[] = [];
  for (const { pid, who } of found) {
    await ender.query('select pg_terminate_backend($1)', [pid]).catch((error: unknown) => {
      if (codeOf(error) !== '42501') throw error;
      stubborn.push(who);
    });
  }
  return stubborn;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
