/** Preflight of the new schema's foreign keys: rows that would refer to none, among the mapping's rows and those that the schema step writes. */
import { isStatementsFault } from '../errors';
import { fromSql, type CompiledSource, type CompiledTable } from '../mapping/compiled';
import { findSame } from '../mapping/names';
import { openReader, refusal, type Reader } from '../mapping/reader';
import { firstKeys, keysOf, mostKeys } from '../mapping/row-keys';
import type { Column, Table } from '../postgres/catalog';
import { identifier, qualified, readable } from '../postgres/sql';
import { judge, type Verdict } from './breaches';
import type { ForeignKey } from './constraints';
import { rowCount, type Misfits } from './misfit-words';
import { attemptQuery, fill, keyColumn, onTrial, trialRows, type Look } from './trial-rows';

/** A foreign key between tables that the new schema has. */
interface Relation extends ForeignKey {
  child: Table;
  of: CompiledTable;
  parentTable: Table;
}

/** Each is counted in production, where both tables' rows are; only what finds no row there is held against the shadow's. */
export async function findForeignKeyBreaches(look: Look, keys: readonly ForeignKey[]): Promise<Misfits> {
  const read = openReader(look.production.client, look.session);
  const misfits: Misfits = { findings: [], notes: [] };
  for (const key of keys) {
    const relation = relationOf(look, key);
    if (!relation) continue;
    const { child, parentTable, of, name } = relation;
    const verdict = await judgeKey(read, look, relation);
    if ('reason' in verdict) {
      misfits.notes.push(
        `Whether rows of ${readable(child)} keep to the foreign key ${name} of the new schema can't be evaluated before the night: ${verdict.reason}. If one doesn't, the run fails after the reset and goes back.`,
      );
    } else if (verdict.rows > 0) {
      misfits.findings.push(
        `${rowCount(verdict.rows)} for ${readable(child)} would refer by the foreign key ${name} of the new schema (${key.columns.join(', ')}) to no row of ${readable(parentTable)}. Correct the rows, their expressions in the mapping, or the new schema. ${firstKeys(keysOf(of).title, verdict)}`,
      );
    }
  }
  return misfits;
}

// Rows of a table that only the schema step fills were held against it when they were written.
function relationOf({ fresh, compiled }: Look, key: ForeignKey): Relation | null {
  const child = fresh.tables.find(({ oid }) => oid === key.table);
  const parentTable = fresh.tables.find(({ oid }) => oid === key.parent);
  const of =
    child &&
    findSame(
      compiled.tables.map((table) => ({ ...table.target, table })),
      topmost(child),
    )?.table;
  if (!child || !parentTable || !of) return null;
  const obstacle = key.obstacle ?? (parentTable.parent ? 'it refers to one partition only' : null);
  return { ...key, obstacle, child, of, parentTable };

  function topmost(table: Table): Table {
    const above = table.parent && findSame(fresh.tables, table.parent);
    return above ? topmost(above) : table;
  }
}

async function judgeKey(read: Reader, look: Look, relation: Relation): Promise<Verdict> {
  if (relation.obstacle !== null) return { reason: relation.obstacle };
  const select = orphansSql(look, relation);
  if (typeof select !== 'string') return select;
  const counted = await read(`select count(*) as n from (${select}) as q`);
  if (counted.kind === 'refused') return { reason: counted.message };
  const rows = Number(counted.rows[0]?.n);
  if (rows === 0) return { rows, keys: [] };
  const ofShadow = openReader(look.shadow.client, look.session);
  const seeds = await ofShadow(`select 1 as seed from ${qualified(relation.parentTable)} limit 1`);
  // Refused where row security holds for its owner too.
  if (seeds.kind === 'refused' || seeds.rows.length > 0) {
    return judgeAmongSeeded(look, relation, select).catch((error: unknown) => {
      if (!isStatementsFault(error)) throw error;
      return { reason: refusal(error).message };
    });
  }
  const first = await read(`select ${keyColumn} as key from (${select}) as q limit ${mostKeys}`);
  return { rows, keys: first.kind === 'rows' ? first.rows.map(({ key }) => key ?? '') : [] };
}

// The rows that refer to none of the mapping's.
function orphansSql({ compiled }: Look, relation: Relation): string | { reason: string } {
  const { child, of, columns, parentTable, parentColumns, isFull } = relation;
  const keys = keysOf(of);
  const rows: string[] = [];
  for (const source of of.sources) {
    const values = valuesOf(child, columns, { of, source });
    if (!Array.isArray(values)) return values;
    const outputs = values.map((value, index) => `${value} as c${index}`).join(', ');
    rows.push(selectOf(source, `${keys.of(source)} as ${keyColumn}, ${outputs}`));
  }
  const parents: string[] = [];
  const parent = compiled.tables.find(({ target }) => qualified(target) === qualified(parentTable));
  for (const source of parent?.sources ?? []) {
    const values = valuesOf(parentTable, parentColumns, { of: parent as CompiledTable, source });
    if (!Array.isArray(values)) return values;
    parents.push(selectOf(source, values.map((value, index) => `${value} as p${index}`).join(', ')));
  }
  const names = columns.map((_, index) => `c${index}`);
  const same = names.map((name, index) => `p.p${index} = c.${name}`).join(' and ');
  const isOrphan =
    parents.length > 0
      ? `not exists (select from (${parents.join(' union all ')}) as p where ${same})`
      : 'true';
  return `select * from (${rows.join(' union all ')}) as c where ${refers(names, { isFull, isOrphan })}`;
}

// MATCH FULL: a key that is NULL in part is refused; else it refers to nothing.
function refers(
  names: readonly string[],
  { isFull, isOrphan }: { isFull: boolean; isOrphan: string },
): string {
  const list = names.join(', ');
  const whole = `(num_nulls(${list}) = 0 and ${isOrphan})`;
  return isFull ? `(num_nulls(${list}) > 0 and num_nonnulls(${list}) > 0 or ${whole})` : whole;
}

function selectOf(source: CompiledSource, outputs: string): string {
  return `select ${outputs} ${fromSql(source)}`;
}

// Columns left to their default have it in each row.
function valuesOf(
  table: Table,
  names: readonly string[],
  { of, source }: { of: CompiledTable; source: CompiledSource },
): string[] | { reason: string } {
  const values: string[] = [];
  for (const name of names) {
    const column = table.columns.find((item) => item.name === name);
    const place = of.columns.indexOf(name);
    if (column === undefined || (place < 0 && (column.generated || column.identity)))
      return { reason: `${readable(table)}.${name} is computed by the new schema` };
    const value = place < 0 ? `(${column.default ?? 'null'})` : (source.expressions[place] ?? 'null');
    values.push(compared(value, column));
  }
  return values;
}

// Two columns may have collations that PostgreSQL would not choose between; equal texts are equal by any that is deterministic.
function compared(value: string, column: Column): string {
  const isText =
    column.enum?.array === false || /^(text|character varying|character|bpchar)$/.test(column.baseType);
  return isText ? `(${value})::text collate "C"` : value;
}

async function judgeAmongSeeded(look: Look, relation: Relation, select: string): Promise<Verdict> {
  const { child, columns, parentTable, parentColumns, isFull } = relation;
  const urls = { production: look.production.url, shadow: look.shadow.url };
  return onTrial(urls, look, async (trial) => {
    const names = columns.map((_, index) => `c${index}`);
    const types = columns.map(
      (name) => child.columns.find((column) => column.name === name)?.baseType ?? 'text',
    );
    const definitions = names.map((name, index) => `${name} ${types[index]}`).join(', ');
    await attemptQuery(trial.shadow, `alter table ${qualified(parentTable)} no force row level security`);
    await trial.shadow.query(`create temporary table kirikae_rows (${keyColumn} text, ${definitions})`);
    await fill(trial, { select, columns: names });
    const same = names
      .map((name, index) => `p.${identifier(parentColumns[index] ?? '')} = c.${name}`)
      .join(' and ');
    const isOrphan = `not exists (select from ${qualified(parentTable)} as p where ${same})`;
    return judge(trial.shadow, `${trialRows} as c`, refers(names, { isFull, isOrphan }));
  });
}
