/** Compiles one target table: which rows fill it, and each of its columns for each of them. */
import { columnOf, storageOf, type Column, type Table } from '../postgres/catalog';
import { readable } from '../postgres/sql';
import { columnPlan, isDefault, sayProblems, type ColumnPlan, type RowSource } from './columns';
import { findTable, sameNamedSource, useOf, type Compilation } from './compilation';
import type { CompiledSource, CompiledTable } from './compiled';
import type { TableMapping } from './file';
import { columnName, keyFor } from './names';
import { findReferences } from './references';
import { parseExpression, parseJoin } from './sql-text';

const nothing: TableMapping = { columns: {}, rows: [] };

/** @returns null when nothing fills the table, which is a finding then */
export function compileTable(compilation: Compilation, target: Table): CompiledTable | null {
  const sources = rowSources(compilation, target);
  if (sources.length === 0) return null;
  for (const source of sources) checkNames(compilation, target, source);
  const filled: { column: Column; plans: ColumnPlan[] }[] = [];
  const left: string[] = [];
  for (const column of target.columns) {
    if (column.generated) {
      for (const source of sources) carryGenerated(compilation, column, source);
      continue;
    }
    if (sources.every((source) => isDefault(source, column.name))) {
      left.push(column.name);
      checkDefault(compilation, target, column);
    } else {
      filled.push({
        column,
        plans: sources.map((source) => columnPlan(compilation, target, column, source)),
      });
    }
  }
  if (filled.length === 0) {
    compilation.say(
      `No column of ${readable(target)} is filled from a source row, so there is nothing to copy. Give one of its columns an expression.`,
    );
  }
  return {
    target: { schema: target.schema, name: target.name },
    columns: filled.map(({ column }) => column.name),
    types: filled.map(({ column }) => column.type),
    sources: sources.flatMap((source, index) =>
      compiledSources(
        compilation,
        source,
        filled.map(({ plans }) => plans[index] as ColumnPlan),
        left,
      ),
    ),
    primaryKey: target.primaryKey,
    keys: keysToCheck(target, sources, filled),
  };
}

function rowSources(compilation: Compilation, target: Table): RowSource[] {
  const { say, entries, droppedTables, input } = compilation;
  const entry = entries.get(target) ?? nothing;
  const where = `tables.${keyFor(target, input.schemas)}`;
  const same = sameNamedSource(compilation, target);
  const hasOther = entry.rows.length > 0;
  let base: Table | null = null;
  if (entry.from !== undefined) base = findTable(compilation, 'source', entry.from, `${where}.from`);
  else if (same && !droppedTables.has(same)) base = same;
  else if (Object.keys(entry.columns).length > 0 || entry.join !== undefined) {
    say(
      `${where} has columns or a join for the rows of a source table, but no such table is copied to it. Name the table with from, or remove them.`,
    );
  }
  const sources: RowSource[] = [];
  if (base) {
    useOf(compilation, base).bases.push(target);
    sources.push(rowSource(compilation, base, 'base', where, { ...entry, where: undefined }));
  } else if (!hasOther && entry.from === undefined) {
    say(
      same
        ? `${readable(same)} is dropped, yet the new schema has a table of that name. Remove the drop to copy it, fill the table with rows in ${where}, or name it in filledBySchema.`
        : `Table ${readable(target)} of the new schema has no source: production has no table of that name. Add ${where} with from or rows, or name it in filledBySchema if the schema step fills it.`,
    );
  }
  entry.rows.forEach((rows, index) => {
    const place = `${where}.rows[${index}]`;
    const table = findTable(compilation, 'source', rows.from, `${place}.from`);
    if (table) sources.push(rowSource(compilation, table, 'extra', place, rows));
  });
  return sources;
}

function rowSource(
  compilation: Compilation,
  table: Table,
  kind: RowSource['kind'],
  place: string,
  entry: { join?: string; where?: string; columns: Record<string, string> },
): RowSource {
  const { say, input } = compilation;
  const { source: catalog, schemas, volatileFunctions } = input;
  const around: RowSource['around'] = { source: table, join: null, catalog, schemas, volatileFunctions };
  const source: RowSource = { table, kind, place, columns: entry.columns, join: null, where: null, around };
  if (entry.join !== undefined) {
    const join = parseJoin(entry.join);
    if ('problem' in join) {
      say(
        `${place}.join is not a join: ${join.problem}. Write it as it would follow "from ${readable(table)} as source".`,
      );
    } else {
      source.join = join.sql;
      around.join = join.tree;
      sayProblems(compilation, `${place}.join`, findReferences(join.tree, around).problems);
    }
  }
  if (entry.where !== undefined) {
    const where = parseExpression(entry.where);
    if ('problem' in where) {
      say(`${place}.where is not one SQL condition: ${where.problem}. Write one condition over source.`);
    } else {
      source.where = where.sql;
      sayProblems(compilation, `${place}.where`, findReferences(where.tree, around).problems);
    }
  }
  return source;
}

function checkNames({ say }: Compilation, target: Table, source: RowSource): void {
  for (const name of Object.keys(source.columns)) {
    const column = columnOf(target, name);
    const where = `${source.place}.columns.${name}`;
    if (!column) {
      say(
        `${where}: ${readable(target)} of the new schema has no column "${name}". Correct the name or remove it.`,
      );
    } else if (column.generated) {
      say(
        `${where}: ${columnName(target, name)} is a generated column, which PostgreSQL computes itself. Remove it.`,
      );
    }
  }
}

// What PostgreSQL computed before, it computes again.
function carryGenerated(compilation: Compilation, column: Column, source: RowSource): void {
  if (source.kind === 'base' && columnOf(source.table, column.name)?.generated) {
    useOf(compilation, source.table).carried.add(column.name);
  }
}

function checkDefault({ say }: Compilation, target: Table, column: Column): void {
  if (!column.notNull || column.hasDefault) return;
  say(
    `${columnName(target, column.name)} is left to its default, but it has none and is NOT NULL. Give it an expression.`,
  );
}

function compiledSources(
  { input }: Compilation,
  source: RowSource,
  plans: readonly ColumnPlan[],
  left: readonly string[],
): CompiledSource[] {
  const described: [string, string][] = [
    ...plans.flatMap((plan): [string, string][] =>
      plan.described === null ? [] : [[plan.column, plan.described]],
    ),
    ...left.map((name): [string, string] => [name, 'default']),
  ];
  return storageOf(input.source, source.table).map((stored) => ({
    table: { schema: stored.schema, name: stored.name },
    tableOid: stored.oid,
    origin: { schema: source.table.schema, name: source.table.name },
    kind: source.kind,
    expressions: plans.map((plan) => plan.expression),
    join: source.join,
    where: source.where,
    described: Object.fromEntries(described),
    checks: plans.flatMap((plan) => (plan.check ? [plan.check] : [])),
  }));
}

// A key needs no look when one source fills the table and a key of its own covers the same columns, unchanged.
function keysToCheck(
  target: Table,
  sources: readonly RowSource[],
  filled: readonly { column: Column; plans: ColumnPlan[] }[],
): CompiledTable['keys'] {
  return target.uniqueKeys.filter((key) => {
    const columns = key.columns.map((name) => filled.find(({ column }) => column.name === name));
    if (!columns.every((item) => item?.plans.every((plan) => plan.isSound))) return false;
    const [only, ...others] = sources;
    if (!only || others.length > 0 || only.kind === 'extra') return true;
    const origins = new Set(columns.map((item) => item?.plans[0]?.unchangedFrom));
    return !only.table.uniqueKeys.some(
      (own) =>
        own.columns.every((name) => origins.has(name)) &&
        (!key.nullsNotDistinct ||
          own.nullsNotDistinct ||
          own.columns.every((name) => columnOf(only.table, name)?.notNull)),
    );
  });
}
