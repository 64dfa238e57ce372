/** Streams the parts of one group from source to target; each part and its checkpoint commit together. */
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as wait } from 'node:timers/promises';
import type { Client } from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { KirikaeError } from '../errors';
import { all, commitForGood, inTransaction, one } from '../postgres/connect';
import type { Work } from '../postgres/endpoint';
import { withCutSessions } from '../postgres/lanes';
import { forIncoming, readOwnSettings, settingOwn } from '../postgres/own-settings';
import { mustEndSessions } from '../postgres/sessions';
import { identifiers } from '../postgres/sql';
import type { Phase } from './parts';
import { beginReading } from './snapshot';

export interface CopyGroup extends Omit<Work, 'lanes'> {
  sourceUrl: string;
  targetUrl: string;
  phase: Phase;
  group: number;
  /** search_path for the SELECTs of a mapping; none for plain copies. */
  searchPath: readonly string[];
  /** Snapshot to read a live source at (`holdSnapshot`); none for a source that nobody writes to. */
  snapshot?: string;
  /** search_path on the target, for the functions that its checks and generated columns call. */
  targetPath: readonly string[];
  /** Called in the target's transaction before each commit: throws when this run may no longer write. */
  mayWrite: (target: Client) => Promise<void>;
}

export interface Copied {
  rows: number;
  bytes: number;
}

interface Part {
  part: number;
  target: string;
  columns: string[];
  oid: number;
  filenode: number;
  sql: string;
  isBinary: boolean;
}

/**
 * Copies the parts of a group that have no checkpoint yet.
 * @returns rows and bytes of the whole group, earlier attempts included
 * @throws an outage (retried), or KirikaeError when a source table was rewritten meanwhile
 */
export async function copyGroup(task: CopyGroup): Promise<Copied> {
  const sessions = [
    { url: task.sourceUrl, label: `${task.label} read` },
    { url: task.targetUrl, label: `${task.label} write` },
  ];
  return withCutSessions(sessions, task.signal, async (source, target) => {
    await takeGroup(target, task);
    await target.query('set synchronous_commit = off');
    await computeAsProduction({ source, target }, task);
    if (task.targetPath.length > 0) await target.query(`set search_path = ${identifiers(task.targetPath)}`);
    const parts = await openParts(target, task);
    await beginReading(source, task.snapshot);
    await lockSources(source, parts);
    for (const part of parts) await copyPart({ source, target }, part, task);
    await source.query('commit');
    return sealGroup(target, task);
  });
}

// A mapping's expressions see production's own settings, and both sessions the same, so that text forms agree. Otherwise only
// the target computes (checks, generated columns), from text of pinned form.
async function computeAsProduction(
  { source, target }: { source: Client; target: Client },
  { searchPath, phase }: CopyGroup,
): Promise<void> {
  const own = await readOwnSettings(phase.name === 'backup' || phase.name === 'aside' ? source : target);
  if (phase.name !== 'migrate') {
    await target.query(settingOwn(forIncoming(own)));
    return;
  }
  await target.query(settingOwn(own));
  await source.query(`${settingOwn(own)} set search_path = ${identifiers(searchPath)}`);
}

// A predecessor that was frozen may wake up: its writing session, which holds this lock, is ended first.
async function takeGroup(target: Client, task: CopyGroup): Promise<void> {
  const key = `kirikae ${task.phase.name} ${task.phase.attempt} ${task.group}`;
  const deadline = Date.now() + 60_000;
  for (;;) {
    const { taken } = await one<{ taken: boolean }>(
      target,
      'select pg_try_advisory_lock(hashtextextended($1, 0)) as taken',
      [key],
    );
    if (taken) return;
    await mustEndSessions(target, {
      where: `pid in (select l.pid from pg_locks l where locktype = 'advisory' and granted
         and database = (select oid from pg_database where datname = current_database())
         and (classid::bigint << 32 | objid::bigint) = hashtextextended($1, 0) and objsubid = 1)`,
      values: [key],
    });
    if (Date.now() > deadline) {
      throw new KirikaeError(
        'Outage',
        `The session of an earlier attempt (${key}) does not end; trying again.`,
      );
    }
    await wait(100, undefined, { signal: task.signal });
  }
}

async function openParts(target: Client, task: CopyGroup): Promise<Part[]> {
  return all<Part>(
    target,
    `select part, target, columns, source_oid::int8::float8 as oid, coalesce(source_filenode, 0)::int8::float8 as filenode,
       source_sql as sql, is_binary as "isBinary"
     from kirikae.part where phase = $1 and attempt = $2 and part_group = $3 and done_at is null order by part`,
    [task.phase.name, task.phase.attempt, task.group],
  );
}

// VACUUM FULL and CLUSTER would move ctids: they have to wait, and one that came before the lock shows in the filenode.
async function lockSources(source: Client, parts: readonly Part[]): Promise<void> {
  const names = await all<{ name: string }>(
    source,
    `select distinct format('%I.%I', n.nspname, c.relname) as name
     from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = any($1::oid[])`,
    [parts.map((part) => part.oid)],
  );
  if (names.length > 0)
    await source.query(`lock table ${names.map(({ name }) => name).join(', ')} in access share mode`);
  const found = await all<{ oid: number; filenode: number }>(
    source,
    `select oid::int8::float8 as oid, coalesce(pg_relation_filenode(oid), 0)::int8::float8 as filenode from pg_class where oid = any($1::oid[])`,
    [parts.map((part) => part.oid)],
  );
  const filenodes = new Map(found.map((row) => [row.oid, row.filenode]));
  for (const part of parts) {
    if (filenodes.get(part.oid) !== part.filenode) {
      throw new KirikaeError(
        'StepFailed',
        `The source of ${part.target} was rewritten (VACUUM FULL, CLUSTER, TRUNCATE or ALTER TABLE) after its parts were planned, so that rows may have moved between them. Keep maintenance jobs off during a run, then start again.`,
      );
    }
  }
}

async function copyPart(
  { source, target }: { source: Client; target: Client },
  part: Part,
  task: CopyGroup,
): Promise<void> {
  const format = part.isBinary ? '(format binary)' : '(format text)';
  await inTransaction(target, async () => {
    const input = source.query(copyTo(`copy (${part.sql}) to stdout with ${format}`));
    const columns = part.columns.length > 0 ? ` (${identifiers(part.columns)})` : '';
    const output = target.query(copyFrom(`copy ${part.target}${columns} from stdin with ${format}`));
    let bytes = 0;
    const counter = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        bytes += chunk.length;
        task.onProgress?.(0, chunk.length);
        done(null, chunk);
      },
    });
    await pipeline(input, counter, output, { signal: task.signal });
    const rows = output.rowCount ?? 0;
    task.onProgress?.(rows, 0);
    await task.mayWrite(target);
    const { rowCount } = await target.query(
      `update kirikae.part set rows = $4, bytes = $5, done_at = now()
       where phase = $1 and attempt = $2 and part = $3 and done_at is null`,
      [task.phase.name, task.phase.attempt, part.part, rows, bytes],
    );
    if (rowCount !== 1) {
      throw new KirikaeError(
        'Outage',
        `Part ${part.part} of ${part.target} was copied by another attempt; this one is undone.`,
      );
    }
  });
}

// What Temporal will know as done must survive a crash of the server: this commit is synchronous and flushes all before it.
async function sealGroup(target: Client, task: CopyGroup): Promise<Copied> {
  await target.query(commitForGood);
  const key = [task.phase.name, task.phase.attempt, task.group];
  await target.query(
    'update kirikae.part set flushed = true where phase = $1 and attempt = $2 and part_group = $3',
    key,
  );
  const sums = await one<{ rows: string; bytes: string }>(
    target,
    `select coalesce(sum(rows), 0) as rows, coalesce(sum(bytes), 0) as bytes from kirikae.part
     where phase = $1 and attempt = $2 and part_group = $3`,
    key,
  );
  return { rows: Number(sums.rows), bytes: Number(sums.bytes) };
}
