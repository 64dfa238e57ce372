/** Scans the rows of one source: is its SELECT valid, does every row arrive once, does every value fit. */
import { qualified, readable } from '../postgres/sql';
import { fromSql, selectSql, type ColumnCheck, type CompiledSource, type CompiledTable } from './compiled';
import { lossCondition, type ValueType } from './loss';
import { columnName } from './names';
import type { Reader } from './reader';
import { firstKeys, keysOf, mostKeys } from './row-keys';
import { dependsOnTimeZone } from './values';

export interface ScannedSource {
  findings: string[];
  /** Rows that the source gives; null when there was no need to count them. */
  rows: number | null;
  /** The SELECT can run. */
  isValid: boolean;
}

export interface Readers {
  /** With the managed schemas as search_path, as the mapping's SQL expects. */
  read: Reader;
  /** With an empty one, so that types are written with their schema. */
  describe: Reader;
}

interface TypedCheck extends ColumnCheck {
  from: ValueType;
}

/** Reads the source's rows at most twice: for what reads rows, and once more only to tell which column fails. */
export async function scanSource(
  { read, describe }: Readers,
  table: CompiledTable,
  source: CompiledSource,
): Promise<ScannedSource> {
  const isPlain = source.kind === 'base' && source.join === null && source.checks.length === 0;
  if (isPlain && Object.keys(source.described).length === 0)
    return { findings: [], rows: null, isValid: true };
  const invalid = await findInvalid(read, table, source);
  if (invalid.length > 0) return { findings: invalid, rows: null, isValid: false };
  const checks = await typeChecks({ read, describe }, source);
  const findings = checks
    .filter(({ from, ...check }) => check.copiedFrom === null && dependsOnTimeZone(from, check))
    .map(
      ({ column, from, baseType }) =>
        `The expression of ${columnName(table.target, column)} gives ${from.baseType}, and what it is as ${baseType} depends on a time zone. Say which, e.g. with at time zone 'UTC'.`,
    );
  for (const check of checks.filter((item) => item.constant)) {
    findings.push(...(await constantProblems(read, table, check)));
  }
  const readers = checks.filter((check) => !check.constant);
  if (readers.length === 0 && source.join === null && source.kind === 'base') {
    return { findings, rows: null, isValid: true };
  }
  const scanned = await scanRows(read, table, source, readers);
  return { findings: [...findings, ...scanned.findings], rows: scanned.rows, isValid: true };
}

// In CASE an expression that returns a set is an error, beside ctid one that aggregates is.
const trial = (value: string) => `case when true then ${value} else ${value} end`;

async function findInvalid(read: Reader, table: CompiledTable, source: CompiledSource): Promise<string[]> {
  const from = `${fromSql(source)} limit 0`;
  const origin = readable(source.origin);
  const rows = await read(`select source.ctid ${from}`);
  if (rows.kind === 'refused') {
    return [
      `The join or where for the rows from ${origin} to ${readable(table.target)} is not valid: ${rows.message}. Correct it in the mapping.`,
    ];
  }
  const values = source.checks.map((check) => trial(check.value));
  const all = await read(`select source.ctid${values.map((value) => `, ${value}`).join('')} ${from}`);
  const whole = await read(`${selectSql(source, table.columns)} limit 0`);
  if (all.kind === 'rows' && whole.kind === 'rows') return [];
  const findings: string[] = [];
  for (const [index, column] of table.columns.entries()) {
    const name = columnName(table.target, column);
    const check = source.checks.find((item) => item.column === column);
    const value = check ? await read(`select source.ctid, ${trial(check.value)} ${from}`) : null;
    if (value?.kind === 'refused') {
      findings.push(
        `The expression of ${name} for the rows from ${origin} is not valid: ${value.message}. Correct it in the mapping.`,
      );
      continue;
    }
    const cast = await read(`select ${source.expressions[index] ?? 'null'} ${from}`);
    if (cast.kind === 'rows') continue;
    const type = table.types[index] ?? '';
    findings.push(
      `${name} can't take what the rows from ${origin} give it as ${type}: ${cast.message}. Give it an expression of that type.`,
    );
  }
  if (findings.length > 0) return findings;
  const message = whole.kind === 'refused' ? whole.message : all.kind === 'refused' ? all.message : '';
  return [
    `The rows from ${origin} to ${readable(table.target)} can't be read: ${message}. Correct the mapping.`,
  ];
}

async function typeChecks({ read, describe }: Readers, source: CompiledSource): Promise<TypedCheck[]> {
  if (source.checks.length === 0) return [];
  const values = source.checks.map((check, index) => `${trial(check.value)} as v${index}`);
  const result = await read(`select ${values.join(', ')} ${fromSql(source)} limit 0`);
  const fields = result.kind === 'rows' ? result.fields : [];
  const names = fields.map(
    ({ dataTypeID, dataTypeModifier }, index) =>
      `format_type(${dataTypeID}, ${dataTypeModifier}) as exact${index}, format_type(${dataTypeID}, -1) as base${index}`,
  );
  const types = await describe(`select ${names.join(', ')}`);
  const row = types.kind === 'rows' ? types.rows[0] : undefined;
  return source.checks.map((check, index) => ({
    ...check,
    from: { storageType: row?.[`exact${index}`] ?? '', baseType: row?.[`base${index}`] ?? '' },
  }));
}

async function constantProblems(read: Reader, table: CompiledTable, check: TypedCheck): Promise<string[]> {
  const name = columnName(table.target, check.column);
  const result = await read(
    `select ${countsOf(check, 0).join(', ')} from (select ${check.value} as v0) as q`,
  );
  if (result.kind === 'refused') {
    return [`The expression of ${name} fails: ${result.message}. Correct it in the mapping.`];
  }
  const [row] = result.rows;
  if (Number(row?.nulls0) > 0)
    return [`The expression of ${name} is NULL, but the column is NOT NULL. Correct it in the mapping.`];
  return Number(row?.lost0) > 0
    ? [`The value of the expression of ${name} does not fit ${check.storageType}. Correct it in the mapping.`]
    : [];
}

async function scanRows(
  read: Reader,
  table: CompiledTable,
  source: CompiledSource,
  checks: readonly TypedCheck[],
): Promise<{ findings: string[]; rows: number | null }> {
  const result = await read(scanSql(source, checks));
  if (result.kind === 'rows') {
    const row = result.rows[0] ?? {};
    const findings = joinProblems(table, source, row);
    for (const [index, check] of checks.entries())
      findings.push(...(await lossProblems(read, { table, source, check }, lossesIn(row, index))));
    return { findings, rows: Number(row.rows) };
  }
  const origin = `for the rows from ${readable(source.origin)}`;
  if (checks.length === 0) {
    return {
      findings: [
        `The join or where ${origin} to ${readable(table.target)} fails on a row: ${result.message}. Correct the mapping or the row.`,
      ],
      rows: null,
    };
  }
  // One value stopped the whole: each column on its own tells which.
  const findings: string[] = [];
  for (const check of checks) {
    const alone = await read(scanSql(source, [check]));
    if (alone.kind === 'rows') {
      findings.push(
        ...(await lossProblems(read, { table, source, check }, lossesIn(alone.rows[0] ?? {}, 0))),
      );
    } else {
      const name = columnName(table.target, check.column);
      findings.push(
        alone.isData
          ? `At least one row does not fit ${name} ${origin}: ${alone.message}. Give the column an expression that fits, or correct the rows.`
          : `It can't be proved that ${name} keeps every value ${origin}: ${alone.message}. Give it an expression of the type ${check.storageType}.`,
      );
    }
  }
  return { findings, rows: null };
}

function scanSql(source: CompiledSource, checks: readonly TypedCheck[]): string {
  const values = checks.map((check, index) => `, ${check.value} as v${index}`).join('');
  const counts = ['count(*) as rows', ...checks.flatMap((check, index) => countsOf(check, index))];
  if (source.kind === 'base' && source.join !== null) {
    counts.push(
      'count(distinct row_id) as seen',
      `(select count(*) from only ${qualified(source.table)}) as stored`,
    );
  }
  // With "offset 0" every value is computed once.
  return `select ${counts.join(', ')} from (select source.ctid as row_id${values} ${fromSql(source)} offset 0) as q`;
}

function countsOf(check: TypedCheck, index: number): string[] {
  const v = `v${index}`;
  const loss = lossCondition(v, check, check.from);
  // A cast that no condition computes is tried, so that a value it refuses is found now.
  const isTried = loss === null && check.mayLose && check.from.storageType !== check.storageType;
  return [
    `count(${isTried ? `${v}::${check.baseType}` : v}) as filled${index}`,
    // Not "is null", which is also true for a row of NULLs.
    ...(check.notNull ? [`count(*) filter (where ${v} is not distinct from null) as nulls${index}`] : []),
    ...(loss === null ? [] : [`count(*) filter (where ${loss}) as lost${index}`]),
  ];
}

function joinProblems(
  table: CompiledTable,
  source: CompiledSource,
  row: Record<string, string | null>,
): string[] {
  if (row.seen === undefined) return [];
  const [rows, seen, stored] = [Number(row.rows), Number(row.seen), Number(row.stored)];
  const join = `The join for ${readable(table.target)}`;
  const findings: string[] = [];
  if (seen < stored) {
    findings.push(
      `${join} leaves out ${count(stored - seen, 'row')} of ${readable(source.table)}. Use a left join.`,
    );
  }
  if (rows > seen) {
    findings.push(
      `${join} makes ${count(rows - seen, 'row')} too many from ${readable(source.table)}. Join so that each row meets at most one, or use a sub-select.`,
    );
  }
  return findings;
}

interface Losses {
  nulls: number;
  lost: number;
}

function lossesIn(row: Record<string, string | null>, index: number): Losses {
  return { nulls: Number(row[`nulls${index}`] ?? 0), lost: Number(row[`lost${index}`] ?? 0) };
}

interface Checked {
  table: CompiledTable;
  source: CompiledSource;
  check: TypedCheck;
}

async function lossProblems(read: Reader, checked: Checked, { nulls, lost }: Losses): Promise<string[]> {
  const { table, source, check } = checked;
  const name = columnName(table.target, check.column);
  const origin = `for the rows from ${readable(source.origin)}`;
  const findings: string[] = [];
  if (nulls > 0) {
    const which = await firstRows(read, checked, { rows: nulls, condition: 'v0 is not distinct from null' });
    findings.push(
      `${name} is NOT NULL but would be NULL in ${count(nulls, 'row')} ${origin}. Give it an expression that always has a value, e.g. with coalesce, or correct the rows. ${which}`,
    );
  }
  if (lost === 0) return findings;
  const condition = lossCondition('v0', check, check.from) ?? 'false';
  const which = await firstRows(read, checked, { rows: lost, condition });
  findings.push(
    check.labels
      ? `${name} would get a value that its enum doesn't have in ${count(lost, 'row')} ${origin}. Correct its expression; the values are ${check.labels.join(', ')}. ${which}`
      : `${count(lost, 'value')} would not fit ${name} (${check.storageType}) ${origin}: cut off, rounded, out of range or changed by the new type. Give it an expression that fits, or correct the rows. ${which}`,
  );
  return findings;
}

// Read again only for a finding.
async function firstRows(
  read: Reader,
  { table, source, check }: Checked,
  { rows, condition }: { rows: number; condition: string },
): Promise<string> {
  const keys = keysOf(table);
  const found = await read(
    `select key from (select ${keys.of(source)} as key, ${check.value} as v0 ${fromSql(source)} offset 0) as q
     where ${condition} limit ${mostKeys}`,
  );
  const first = found.kind === 'rows' ? found.rows.map((row) => row.key ?? '') : [];
  return firstKeys(keys.title, { rows, keys: first });
}

function count(number: number, what: string): string {
  return `${number} ${number === 1 ? what : `${what}s`}`;
}
