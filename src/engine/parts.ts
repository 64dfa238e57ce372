/** Cuts copies into parts by ctid range and groups of parts; the plan stands on the target, beside the rows to come. */
import type { Client } from 'pg';
import { checkpointDdl } from '../ledger/tables';
import { all, inTransaction } from '../postgres/connect';
import { qualified, type TableName } from '../postgres/sql';
import { isPortableBinary, type ColumnType } from './row-hash';

/** One copy: the rows of a SELECT over one stored table, streamed into one table. */
export interface CopyJob {
  source: { oid: number; filenode: number; pages: number; bytes: number };
  target: TableName;
  columns: readonly ColumnType[];
  /** The SELECT for a range of ctids, e.g. `source.ctid >= '(0,0)'`; undefined = all rows. */
  select: (range?: string) => string;
}

export interface Phase {
  name: 'backup' | 'migrate' | 'restore' | 'aside';
  attempt: number;
}

/** Part groups of a phase: each is one activity. */
export interface PartPlan {
  groups: number;
  parts: number;
  bytes: number;
}

const maxPartBytes = 64 * 1024 * 1024;
const minPartBytes = 8 * 1024 * 1024;
// A small database is cut finer, so that one large table still keeps every connection busy.
const partsOfSmall = 12;
// An activity costs at most about eight events; together with the steps a history stays far below 2,000.
const maxGroups = 120;

/**
 * Plans a phase once: writes its parts into the target's ledger, or finds them there after a retry.
 * @param copy.sameMajor both servers have the same major version, so that COPY may be binary
 */
export async function planParts(
  target: Client,
  phase: Phase,
  { jobs, sameMajor }: { jobs: readonly CopyJob[]; sameMajor: boolean },
): Promise<PartPlan> {
  await target.query(`set client_min_messages = warning`);
  await target.query(checkpointDdl);
  const before = await readPlan(target, phase);
  if (before) return before;
  const bytes = jobs.reduce((sum, job) => sum + job.source.bytes, 0);
  const partBytes = Math.min(maxPartBytes, Math.max(minPartBytes, Math.ceil(bytes / partsOfSmall)));
  const parts = jobs.flatMap((job) => cut(job, { sameMajor, partBytes })).sort((a, b) => b.bytes - a.bytes);
  group(parts, partBytes);
  await inTransaction(target, async () => {
    for (let start = 0; start < parts.length; start += 500) {
      const chunk = parts.slice(start, start + 500);
      await target.query(
        `insert into kirikae.part (phase, attempt, part, part_group, target, columns, source_oid, source_filenode, source_sql, is_binary, bytes)
         select $1, $2, p.part, p.part_group, p.target, array(select json_array_elements_text(p.columns)), p.oid, p.filenode, p.sql, p.is_binary, p.bytes
         from json_to_recordset($3) as p(part int, part_group int, target text, columns json, oid oid, filenode oid, sql text, is_binary boolean, bytes bigint)`,
        [
          phase.name,
          phase.attempt,
          JSON.stringify(chunk.map((part, index) => ({ ...part, part: start + index }))),
        ],
      );
    }
    await target.query(
      `insert into kirikae.stage (phase, attempt, name) values ($1, $2, 'planned') on conflict do nothing`,
      [phase.name, phase.attempt],
    );
  });
  return (await readPlan(target, phase)) ?? { groups: 0, parts: 0, bytes: 0 };
}

async function readPlan(target: Client, phase: Phase): Promise<PartPlan | null> {
  const [row] = await all<{ planned: boolean; groups: string; parts: string; bytes: string }>(
    target,
    `select exists (select from kirikae.stage where phase = $1 and attempt = $2 and name = 'planned') as planned,
       coalesce(max(part_group) + 1, 0) as groups, count(*) as parts, coalesce(sum(bytes), 0) as bytes
     from kirikae.part where phase = $1 and attempt = $2`,
    [phase.name, phase.attempt],
  );
  return row?.planned
    ? { groups: Number(row.groups), parts: Number(row.parts), bytes: Number(row.bytes) }
    : null;
}

interface PlannedPart {
  part_group: number;
  target: string;
  columns: string[];
  oid: number;
  filenode: number;
  sql: string;
  is_binary: boolean;
  bytes: number;
}

function cut(
  job: CopyJob,
  { sameMajor, partBytes }: { sameMajor: boolean; partBytes: number },
): PlannedPart[] {
  const count = Math.max(1, Math.min(job.source.pages, Math.ceil(job.source.bytes / partBytes)));
  const step = Math.ceil(job.source.pages / count);
  const base = {
    part_group: 0,
    target: qualified(job.target),
    columns: job.columns.map((column) => column.name),
    oid: job.source.oid,
    filenode: job.source.filenode,
    is_binary: sameMajor && job.columns.every(isPortableBinary),
    bytes: Math.ceil(job.source.bytes / count),
  };
  if (count === 1) return [{ ...base, sql: job.select() }];
  return Array.from({ length: count }, (_, index) => {
    const from = `source.ctid >= '(${index * step},0)'::tid`;
    // The last part is open: rows beyond the pages counted when planning belong to it.
    const range = index === count - 1 ? from : `${from} and source.ctid < '(${(index + 1) * step},0)'::tid`;
    return { ...base, sql: job.select(range) };
  });
}

// Largest first; small parts share a group so that the number of activities stays bounded.
function group(parts: PlannedPart[], groupBytes: number): void {
  const total = parts.reduce((sum, part) => sum + part.bytes, 0);
  const limit = Math.max(groupBytes, Math.ceil(total / maxGroups) * 2);
  const perGroup = Math.max(8, Math.ceil(parts.length / (maxGroups / 2)));
  let current = 0;
  let bytes = 0;
  let count = 0;
  for (const part of parts) {
    if (count > 0 && (bytes + part.bytes > limit || count >= perGroup)) {
      current += 1;
      bytes = 0;
      count = 0;
    }
    part.part_group = current;
    bytes += part.bytes;
    count += 1;
  }
}
