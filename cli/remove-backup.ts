/** `kirikae remove-backup`: removes a plan's backup, and the copies set aside beside it, once they are proved to be this plan's. */
import { readBackup, removeBackup } from '../src/backup/manifest';
import { readClaim } from '../src/ledger/claim';
import { describeMarked, isAtHome, readMarker } from '../src/ledger/marker';
import { all as rowsOf, connect, disconnect, withClient } from '../src/postgres/connect';
import { databaseExists } from '../src/postgres/databases';
import { placesOf, type Endpoint } from '../src/postgres/endpoint';
import { databaseOf, otherDatabase, placeOf } from '../src/postgres/url';
import { findPlan, missingVariables, readSettings, settingsFile, type Plan } from '../src/settings/read';
import { asidePrefix } from '../src/way-back/aside';
import { CommandFailed } from './failures';
import { print, printJson, type Io } from './terminal';
import { typedName } from './typed-name';

export interface RemoveOptions {
  config?: string;
  json?: boolean;
  yes?: string;
}

/**
 * Removes the backup of a plan, or, where that is gone, a copy that a way back has set aside.
 * @returns 0
 * @throws CommandFailed when it isn't proved to be this plan's, is still needed, or the name wasn't given
 */
export async function removePlansBackup(io: Io, planName: string, options: RemoveOptions): Promise<number> {
  const plan = findPlan(readSettings(settingsFile(options.config, io.env)), planName);
  const missing = missingVariables(plan, io.env);
  if (missing.length > 0) throw new CommandFailed(missing.join(' '));
  const removed: string[] = [];
  const all = await candidates(plan);
  // On a command line one name answers for one database.
  const asked = options.yes === undefined ? all : all.filter((url) => databaseOf(url) === options.yes);
  if (all.length > 0 && asked.length === 0) {
    throw new CommandFailed(
      `"${options.yes}" is none of plan "${planName}": ${all.map(databaseOf).join(', ')}. Nothing was changed. Name one of them.`,
    );
  }
  for (const url of asked) {
    await removeOne(io, { plan, url }, options);
    removed.push(databaseOf(url));
  }
  if (options.json) printJson(io, { ok: true, plan: planName, removed });
  else if (removed.length === 0)
    print(io, `Plan "${planName}" has no backup and no copy set aside: there is nothing to remove.`);
  return 0;
}

// The backup, then what ways back have set aside beside it.
async function candidates(plan: Plan): Promise<string[]> {
  const { url } = placesOf(plan).backup;
  const asides = await withClient(otherDatabase(url, 'postgres'), 'remove look', (client) =>
    rowsOf<{ name: string }>(
      client,
      `select datname as name from pg_database where starts_with(datname, $1) order by datname`,
      [asidePrefix(databaseOf(url))],
    ),
  );
  const backup = (await databaseExists(url, 'remove look')) ? [url] : [];
  return [...backup, ...asides.map(({ name }) => otherDatabase(url, name))];
}

async function removeOne(
  io: Io,
  { plan, url }: { plan: Plan; url: string },
  options: RemoveOptions,
): Promise<void> {
  const client = await connect(url, 'remove');
  try {
    const backup = { title: 'the backup', url, client };
    const { isWhole, what } = await prove(plan, backup);
    const database = databaseOf(url);
    const question = `${what} ${isWhole ? `The database ${placeOf(url)} is dropped` : `What the run put into ${placeOf(url)} is removed`}, for good.`;
    await typedName(io, { question, database, yes: options.yes }, { json: options.json === true });
    await removeBackup(backup, plan.databases.production.schemas);
    if (!options.json) print(io, `Removed: ${placeOf(url)}.`);
  } finally {
    await disconnect(client);
  }
}

async function prove(plan: Plan, { client, url }: Endpoint): Promise<{ isWhole: boolean; what: string }> {
  const found = await readMarker(client);
  const isBackup =
    found.kind === 'marked' && (found.marker.role === 'backup' || found.marker.role === 'aside');
  if (!isBackup || !isAtHome(found.marker)) {
    throw new CommandFailed(
      `The database ${placeOf(url)} is not proved to be a backup of plan "${plan.name}": ${describeMarked(found)}. Nothing was changed. If it isn't needed any more, remove it with your own tools.`,
    );
  }
  const backup = await readBackup(client);
  if (backup.plan !== plan.name) {
    throw new CommandFailed(
      `The database ${placeOf(url)} holds a backup of plan "${backup.plan}", not of "${plan.name}". Nothing was changed.`,
    );
  }
  const claim = await withClient(placesOf(plan).production.url, 'remove look', readClaim);
  if (claim && claim.id === found.marker.claim) {
    throw new CommandFailed(
      `The backup ${placeOf(url)} is still needed: the run that made it (workflow "${claim.workflowId}") has not ended (phase ${claim.phase}). Nothing was changed. Let it end, or: kirikae recover ${plan.name}`,
    );
  }
  const rows = backup.manifest?.tables.reduce((sum, table) => sum + table.rows, 0);
  const state = rows === undefined ? 'not sealed' : `sealed, ${rows} rows`;
  return {
    isWhole: backup.createdDatabase,
    what: `This is the ${found.marker.role === 'aside' ? 'copy set aside by' : 'backup of'} workflow "${backup.workflowId}" (${state}).`,
  };
}
