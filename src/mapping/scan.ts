/** Reads production before the downtime: values that would not fit, NULLs, doubled keys and what will be dropped, counted. */
import type { ClientBase } from 'pg';
import type { Dropped } from '../contract';
import { readOwnSettings, type MappingSession } from '../postgres/own-settings';
import { identifier, identifiers, qualified, readable } from '../postgres/sql';
import {
  fromSql,
  type CompiledMapping,
  type CompiledSource,
  type CompiledTable,
  type TablePlan,
} from './compiled';
import { openReader, type Reader } from './reader';
import { countRows, sumRows, type RowCount } from './row-counts';
import { firstKeys, keyText, mostKeys } from './row-keys';
import { scanSource } from './scan-source';

export interface Scan {
  findings: string[];
  dropped: Dropped[];
  tables: TablePlan[];
}

/**
 * Looks through the rows that a compiled mapping changes; tables that are copied as they are are not read.
 * Each statement is a read-only transaction of its own. The session must not be in one, and is left as it was.
 * @param schemas the managed schemas, as search_path for the mapping's expressions
 * @throws the driver's error when production cannot be read; what the data or an expression gets wrong is a finding
 */
export async function scanMapping(
  client: ClientBase,
  compiled: CompiledMapping,
  schemas: readonly string[],
): Promise<Scan> {
  const own = await readOwnSettings(client);
  const read = openReader(client, { schemas, own });
  const describe = openReader(client, { schemas: [], own });
  const findings: string[] = [];
  const tables: TablePlan[] = [];
  for (const table of compiled.tables) {
    const counts: RowCount[] = [];
    const uncounted: number[] = [];
    let isValid = true;
    for (const source of table.sources) {
      const scanned = await scanSource({ read, describe }, table, source);
      findings.push(...scanned.findings);
      if (scanned.rows === null) uncounted.push(source.tableOid);
      else counts.push({ rows: scanned.rows, isEstimate: false });
      isValid &&= scanned.isValid;
    }
    if (isValid) findings.push(...(await doubledKeys(read, table)));
    counts.push(...(await countRows(client, uncounted)).values());
    tables.push(tablePlan(table, sumRows(counts)));
  }
  for (const table of compiled.filledBySchema) {
    tables.push({ target: readable(table), sources: [], rows: 0, isEstimate: false, expressions: [] });
  }
  const dropped = await countDropped(read, compiled, findings);
  return { findings: [...new Set(findings)], dropped, tables };
}

/** Names of all functions of which at least one overload may give another value each time it is called. */
export async function volatileFunctionNames(client: ClientBase): Promise<Set<string>> {
  const { rows } = await client.query<{ name: string }>(
    `select distinct proname as name from pg_catalog.pg_proc
     where provolatile = 'v' and prorettype not in ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)`,
  );
  return new Set(rows.map((row) => row.name));
}

/**
 * Tries a mapping's assertions on a database with the new schema (the shadow), whose rows don't matter.
 * @returns one sentence for each that could not run
 */
export async function checkAssertions(
  client: ClientBase,
  compiled: CompiledMapping,
  session: MappingSession,
): Promise<string[]> {
  const read = openReader(client, session);
  const findings: string[] = [];
  for (const { name, sql } of compiled.assertions) {
    const result = await read(`select 1 from (${sql}) as found limit 0`);
    if (result.kind === 'refused') {
      findings.push(
        `The assertion "${name}" cannot run on the new schema: ${result.message}. Correct its SQL.`,
      );
    }
  }
  return findings;
}

/** How people read a source: its table, and whether these rows come on top of its own. */
function sourceLabel(source: CompiledSource): string {
  return source.kind === 'base' ? readable(source.origin) : `${readable(source.origin)} (extra rows)`;
}

async function doubledKeys(read: Reader, table: CompiledTable): Promise<string[]> {
  const findings: string[] = [];
  for (const key of table.keys) {
    const names = key.columns.map((_, index) => `k${index}`);
    const selects = table.sources.map((source) => {
      const outputs = key.columns.map(
        (column, index) => `${source.expressions[table.columns.indexOf(column)] ?? 'null'} as k${index}`,
      );
      return `select ${outputs.join(', ')} ${fromSql(source)}`;
    });
    // A key with a NULL in it is like no other, unless the key says otherwise.
    const filled = key.nullsNotDistinct
      ? ''
      : `where ${names.map((name) => `${name} is not null`).join(' and ')}`;
    const rows = `from (${selects.join(' union all ')}) as u ${filled} group by ${names.join(', ')} having count(*) > 1`;
    const result = await read(`select count(*) as doubled from (select 1 ${rows}) as d`);
    const what = `the key ${key.name} (${key.columns.join(', ')}) of ${readable(table.target)}`;
    if (result.kind === 'refused') {
      if (!result.isData)
        findings.push(
          `It could not be found out whether ${what} holds: ${result.message}. Correct the expressions of its columns.`,
        );
      continue;
    }
    const doubled = Number(result.rows[0]?.doubled);
    if (doubled === 0) continue;
    const from = [...new Set(table.sources.map(sourceLabel))].join(' and ');
    const first = await read(`select ${keyText(names)} as key ${rows} order by 1 limit ${mostKeys}`);
    const keys = first.kind === 'rows' ? first.rows.map((row) => row.key ?? '') : [];
    findings.push(
      `${doubled} ${doubled === 1 ? 'value' : 'values'} of ${what} would stand more than once among the rows from ${from}. Change the expression, or correct the rows. ${firstKeys(key.columns.join(', '), { rows: doubled, keys })}`,
    );
  }
  return findings;
}

async function countDropped(
  read: Reader,
  { drops }: CompiledMapping,
  findings: string[],
): Promise<Dropped[]> {
  const counts = new Map<string, number>();
  const refused = (what: string, message: string) =>
    findings.push(`What is dropped of ${what} could not be counted: ${message}. Grant the right to read it.`);
  const byTable = new Map<string, typeof drops>();
  for (const drop of drops) {
    if (drop.column) {
      const name = qualified(drop.column.table);
      byTable.set(name, [...(byTable.get(name) ?? []), drop]);
      continue;
    }
    const result = await read(drop.countSql);
    if (result.kind === 'refused') refused(drop.what, result.message);
    else counts.set(drop.what, Number(result.rows[0]?.rows));
  }
  // All dropped columns of a table in one reading.
  for (const [, columns] of byTable) {
    const [first] = columns;
    if (!first) continue;
    const names = columns.map(
      ({ column }, index) => `count(${identifier(column?.name ?? '')}) as ${identifiers([`n${index}`])}`,
    );
    const result = await read(
      first.countSql.replace(/^select .*? as rows /, () => `select ${names.join(', ')} `),
    );
    if (result.kind === 'refused') refused(first.what, result.message);
    else columns.forEach((drop, index) => counts.set(drop.what, Number(result.rows[0]?.[`n${index}`])));
  }
  return drops.map(({ what, reason }) => ({ what, reason, rows: counts.get(what) ?? 0 }));
}

function tablePlan(table: CompiledTable, count: RowCount): TablePlan {
  const expressions = table.sources.flatMap((source) =>
    Object.entries(source.described).map(([column, expression]) =>
      source.kind === 'base'
        ? `${column} = ${expression}`
        : `${column} = ${expression} (rows from ${readable(source.origin)})`,
    ),
  );
  return {
    target: readable(table.target),
    sources: [...new Set(table.sources.map(sourceLabel))],
    ...count,
    // The leaves of a partitioned source share their expressions.
    expressions: [...new Set(expressions)],
  };
}
