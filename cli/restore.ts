/** `kirikae restore`: a sealed backup into any database, proved against its manifest; without Temporal and settings. */
import { randomInt } from 'node:crypto';
import { sealedManifest, type Manifest } from '../src/backup/manifest';
import { holdBackup, proveBackup } from '../src/backup/prove';
import { LEDGER_SCHEMA } from '../src/contract';
import { describeMarked, isAtHome, readMarker } from '../src/ledger/marker';
import { all, inTransaction, one } from '../src/postgres/connect';
import { prepareLike } from '../src/postgres/databases';
import type { Endpoint, Work } from '../src/postgres/endpoint';
import { lanesOfHost } from '../src/postgres/lanes';
import { listObjects } from '../src/postgres/managed-schemas';
import { databaseOf, placeOf } from '../src/postgres/url';
import { restoreWhole } from '../src/restore/whole';
import { withDatabase } from './database';
import { CommandFailed } from './failures';
import { askText, colorsOf, print, printJson, type CommonOptions, type Io } from './terminal';

export interface RestoreOptions {
  /** Names of environment variables. */
  from: string;
  to: string;
  /** The name of the database that may be emptied. */
  yes?: string;
  json?: boolean;
}

const checkpoints = ['part', 'stage', 'table_hash'];

/**
 * Restores a sealed backup.
 * @returns 0
 * @throws CommandFailed with the reason why nothing was changed, or with what differs after the restore
 */
export async function restoreBackup(io: Io, { from, to, yes, ...options }: RestoreOptions): Promise<number> {
  return withDatabase(io, { variable: from, title: 'the backup' }, (backup) =>
    withDatabase(io, { variable: to, title: 'the database' }, async (target) => {
      if (await isSameDatabase(backup, target))
        throw new CommandFailed(
          `${from} and ${to} name the same database, ${placeOf(target.url)}: the backup itself. Nothing was changed. Set ${to} to another database.`,
        );
      await refuseLedger(target);
      const manifest = await sealedManifest(backup.client);
      await mayEmpty(io, { target, manifest, yes }, options);
      const say = (text: string) => (options.json ? undefined : print(io, text));
      await withDatabase(io, { variable: from, title: 'the backup' }, async (holder) => {
        await holdBackup(holder, manifest);
        say(`Proving the backup ${placeOf(backup.url)} …`);
        await proveBackup(backup, { manifestHash: null }, work());
        await restore({ backup, target, manifest }, say);
      });
      await removeCheckpoints(target);
      report(io, { target, manifest }, options);
      return 0;
    }),
  );
}

function work(): Work {
  return { label: 'command', lanes: lanesOfHost(), signal: new AbortController().signal };
}

async function restore(
  { backup, target, manifest }: { backup: Endpoint; target: Endpoint; manifest: Manifest },
  say: (text: string) => void,
): Promise<void> {
  const { schemas } = manifest;
  const said = { rows: 'Copying the rows …', keys: 'Building indexes and keys …', compare: 'Comparing …' };
  // What an earlier restore left that was stopped: each starts from empty.
  await removeCheckpoints(target);
  await prepareLike(target.client, backup.client, schemas);
  const { notes } = await restoreWhole(
    { from: backup, to: target },
    {
      schemas,
      attempt: 1,
      // A claim that is made meanwhile is another's.
      mayWrite: async (client) => refuseLedger({ ...target, client }),
      onStage: (stage) => say(said[stage]),
    },
    work(),
  );
  for (const note of notes) say(note);
}

// Two names of one database: a lock that one session holds is taken for the other.
async function isSameDatabase(first: Endpoint, other: Endpoint): Promise<boolean> {
  const key = randomInt(2 ** 47);
  await first.client.query('select pg_advisory_lock($1)', [key]);
  try {
    const { free } = await one<{ free: boolean }>(other.client, 'select pg_try_advisory_lock($1) as free', [
      key,
    ]);
    if (free) await other.client.query('select pg_advisory_unlock($1)', [key]);
    return !free;
  } finally {
    await first.client.query('select pg_advisory_unlock($1)', [key]);
  }
}

/** @throws CommandFailed when schema kirikae holds more than a restore's checkpoints */
async function refuseLedger({ client, url }: Endpoint): Promise<void> {
  const rows = await all<{ name: string }>(
    client,
    `select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relname <> all($2) order by 1`,
    [LEDGER_SCHEMA, checkpoints],
  );
  if (rows.length === 0) return;
  const found = await readMarker(client);
  const isCopied = found.kind === 'marked' && !isAtHome(found.marker);
  const next = isCopied
    ? `If this copy is to be restored into, look that no run uses it, and remove that schema: psql --dbname ${databaseOf(url)} --command 'drop schema kirikae cascade'; then run this command again.`
    : 'Let the run that it belongs to end, or bring production to a safe end first (docs/if-it-stops.md), or name another database.';
  throw new CommandFailed(
    `The database ${placeOf(url)} holds a ledger of Kirikae's (schema kirikae with ${rows.map(({ name }) => name).join(', ')}): ${describeMarked(found)}. Nothing was changed. ${next}`,
  );
}

async function mayEmpty(
  io: Io,
  { target, manifest, yes }: { target: Endpoint; manifest: Manifest; yes: string | undefined },
  options: CommonOptions,
): Promise<void> {
  const { schemas } = manifest;
  const objects = await listObjects(target.client, schemas);
  const [database, name] = [placeOf(target.url), databaseOf(target.url)];
  if (objects.length === 0 && yes === undefined) return;
  const some = objects.slice(0, 5).map(({ type, identity }) => `${type} ${identity}`);
  const holds = `The database ${database} holds ${objects.length} objects in the schemas ${schemas.join(', ')} (${some.join(', ')}${objects.length > 5 ? ', …' : ''}), which the restore drops`;
  const ask = () => {
    (options.json ? io.stderr : io.stdout).write(`${holds}.\n`);
    return askText(io, options, 'Type the name of the database to drop them:');
  };
  const typed = yes ?? (io.isTerminal ? await ask() : undefined);
  if (typed?.trim() === name) return;
  throw new CommandFailed(
    typed === undefined
      ? `${holds}. Nothing was changed. Name an empty database, or run this command again with --yes ${name}`
      : `"${typed}" is not the name of the database ${database}, so nothing was changed. Run this command again with --yes ${name}, or without --yes for a database whose schemas are empty.`,
  );
}

// By name: should anything else stand in that schema, it stays.
async function removeCheckpoints({ client }: Endpoint): Promise<void> {
  await inTransaction(client, async () => {
    await client.query('set local client_min_messages = error');
    for (const name of checkpoints) await client.query(`drop table if exists kirikae.${name}`);
    await client.query('drop schema if exists kirikae');
  });
}

function report(
  io: Io,
  { target, manifest }: { target: Endpoint; manifest: Manifest },
  options: CommonOptions,
): void {
  const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
  const database = placeOf(target.url);
  if (options.json)
    return printJson(io, {
      ok: true,
      database,
      plan: manifest.plan,
      tables: manifest.tables.length,
      rows,
      notes: [],
    });
  print(
    io,
    colorsOf(io).green(
      `Restored ${manifest.tables.length} tables with ${rows.toLocaleString('en-US')} rows into ${database}, proved identical to the backup's manifest.`,
    ),
  );
}
