/** Compiles one target column for the rows of one source: its SQL, and what must be looked for in the data. */
import { columnOf, type Column, type EnumUse, type Table } from '../postgres/catalog';
import { identifier, literal, readable } from '../postgres/sql';
import { useOf, type Compilation } from './compilation';
import type { ColumnCheck } from './compiled';
import { columnName, findSame } from './names';
import { findReferences, type Surroundings } from './references';
import { constantText, isMovingDate, repeatabilityProblems } from './repeatable';
import { parseExpression, type Node } from './sql-text';
import { castTo, dependsOnTimeZone, exchangeValues, fitsAlways } from './values';

/** Rows of a source table on their way to one target table. */
export interface RowSource {
  table: Table;
  kind: 'base' | 'extra';
  /** Where the mapping says so, for messages. */
  place: string;
  /** Target column → expression as the mapping has it. */
  columns: Readonly<Record<string, string>>;
  join: string | null;
  where: string | null;
  around: Surroundings;
}

export interface ColumnPlan {
  column: string;
  expression: string;
  check: ColumnCheck | null;
  described: string | null;
  /** The source column whose different values stay different here. */
  unchangedFrom: string | null;
  /** False when a finding says that the column has no usable expression. */
  isSound: boolean;
}

/** Finds out what a column gets from a source; what is wrong or missing becomes a finding. */
export function columnPlan(
  compilation: Compilation,
  target: Table,
  column: Column,
  source: RowSource,
): ColumnPlan {
  const given = Object.hasOwn(source.columns, column.name) ? source.columns[column.name] : undefined;
  if (given !== undefined && isDefault(source, column.name))
    return planDefault(compilation, target, column, source);
  if (given !== undefined) return planExpression(compilation, target, column, source, given);
  const same = source.kind === 'base' ? columnOf(source.table, column.name) : undefined;
  if (same) {
    const use = useOf(compilation, source.table);
    use.carried.add(same.name);
    use.kept.set(same.name, 'copied');
    return planCopy(compilation, target, column, same, null);
  }
  const name = columnName(target, column.name);
  compilation.say(
    source.kind === 'base'
      ? `${name} is new: ${readable(source.table)} of production has no such column. Give it an expression or the word default in ${source.place}.columns.`
      : `${name} is not explained for the extra rows from ${readable(source.table)}. Give it an expression or the word default in ${source.place}.columns.`,
  );
  return unsound(column, null);
}

/** True when the mapping leaves the column to its default: the word `default`, in any case. */
export function isDefault(source: RowSource, column: string): boolean {
  return Object.hasOwn(source.columns, column) && source.columns[column]?.trim().toLowerCase() === 'default';
}

/** One finding for each problem, which continues the sentence that `what` begins. */
export function sayProblems({ say }: Compilation, what: string, problems: readonly string[]): void {
  for (const problem of problems) say(`${what} ${problem}. Correct it there.`);
}

function planCopy(
  compilation: Compilation,
  target: Table,
  column: Column,
  from: Column,
  described: string | null,
): ColumnPlan {
  const value = `source.${identifier(from.name)}`;
  const name = columnName(target, column.name);
  const plan = { column: column.name, described, isSound: true };
  const check = checkOf(compilation, column, value);
  check.notNull &&= !from.notNull;
  if (from.enum)
    return planEnumCopy(compilation, name, column, { ...from, enum: from.enum }, { plan, check, value });
  if (dependsOnTimeZone(from, column)) {
    compilation.say(
      `${name} changes its type from ${from.type} to ${column.type}, which depends on a time zone. Say which: ${column.name}: ${JSON.stringify(`${value} at time zone 'UTC'`)}.`,
    );
    return unsound(column, described);
  }
  const isSame = from.type === column.type && from.storageType === column.storageType;
  check.copiedFrom = from.storageType;
  check.mayLose = !column.enum && !fitsAlways(from, column);
  const isKept = !column.enum && !check.mayLose;
  return {
    ...plan,
    expression: isSame ? value : castTo(value, column),
    check: check.notNull || check.mayLose || check.labels ? check : null,
    unchangedFrom: isKept ? from.name : null,
  };
}

function planEnumCopy(
  compilation: Compilation,
  name: string,
  column: Column,
  from: Column & { enum: EnumUse },
  {
    plan,
    check,
    value,
  }: { plan: Pick<ColumnPlan, 'column' | 'described' | 'isSound'>; check: ColumnCheck; value: string },
): ColumnPlan {
  const { array } = from.enum;
  if (column.enum && column.enum.array !== array) {
    compilation.say(noCast(name, from, column));
    return unsound(column, plan.described);
  }
  if (column.enum) compilation.enumFlows.push({ from: from.enum, to: column.enum, column: name });
  const type = array ? 'text[]' : 'text';
  const plain = `${value}::${type}`;
  const text = exchangeValues(plain, compilation.enumChanges(from.enum), array);
  const mayLose = !column.enum && column.storageType !== type;
  return {
    ...plan,
    expression: column.enum ? text : castTo(`(${text})`, column),
    check:
      check.notNull || mayLose
        ? { ...check, value: `(${text})`, labels: null, mayLose, copiedFrom: type }
        : null,
    unchangedFrom: text !== plain || mayLose ? null : from.name,
  };
}

function planExpression(
  compilation: Compilation,
  target: Table,
  column: Column,
  source: RowSource,
  given: string,
): ColumnPlan {
  const described = given.trim();
  const where = `${source.place}.columns.${column.name}`;
  const parsed = parseExpression(given);
  if ('problem' in parsed) {
    compilation.say(
      `${where} is not one SQL expression: ${parsed.problem}. Write one expression over source.`,
    );
    return unsound(column, described);
  }
  const references = findReferences(parsed.tree, source.around);
  const text = constantText(parsed.tree);
  if (text !== null && isMovingDate(text) && /^(date|time)/.test(column.baseType)) {
    references.problems.push(`uses '${text}', which gives another value the next time`);
  }
  sayProblems(compilation, where, references.problems);
  if (source.kind === 'base') {
    const use = useOf(compilation, source.table);
    for (const name of references.columns) use.carried.add(name);
    if (references.columns.has(column.name)) {
      use.kept.set(column.name, use.kept.get(column.name) ?? 'read');
    }
  }
  if (references.problems.length > 0) return unsound(column, described);
  const bare = references.bareColumn === null ? undefined : columnOf(source.table, references.bareColumn);
  if (bare) return planCopy(compilation, target, column, bare, described);
  const value = `(${parsed.sql})`;
  return {
    column: column.name,
    expression: castTo(value, column),
    check: { ...checkOf(compilation, column, value), constant: references.constant },
    described,
    unchangedFrom: null,
    isSound: true,
  };
}

// Other sources fill the column, so COPY names it: the default must be written out for these rows.
function planDefault(compilation: Compilation, target: Table, column: Column, source: RowSource): ColumnPlan {
  const name = columnName(target, column.name);
  const value = column.default === null && !column.identity ? 'null' : constantDefault(column);
  if (value === 'null' && column.notNull) {
    compilation.say(
      `${name} is left to its default in ${source.place}, but it has none and is NOT NULL. Give it an expression.`,
    );
    return unsound(column, 'default');
  }
  if (value === null) {
    compilation.say(
      `${name} is left to its default in ${source.place} and filled from other rows too, which needs a default that is a constant. Give it an expression in ${source.place}.columns.`,
    );
    return unsound(column, 'default');
  }
  return {
    column: column.name,
    expression: castTo(`(${value})`, column),
    check: null,
    described: 'default',
    unchangedFrom: null,
    isSound: true,
  };
}

function constantDefault(column: Column): string | null {
  const parsed = parseExpression(column.default ?? '');
  if ('problem' in parsed) return null;
  let tree = parsed.tree;
  while (tree.TypeCast) tree = (tree.TypeCast as Node).arg as Node;
  const text = constantText(tree);
  if (text !== null) return isMovingDate(text) ? null : literal(text);
  const list = tree.A_ArrayExpr as Node | undefined;
  if (list && list.elements === undefined) return `'{}'`;
  if (tree.A_Const && repeatabilityProblems(tree, new Set()).length === 0) return parsed.sql;
  return null;
}

function checkOf({ input }: Compilation, column: Column, value: string): ColumnCheck {
  const labels = column.enum ? (findSame(input.target.enums, column.enum)?.labels ?? []) : null;
  return {
    column: column.name,
    value,
    storageType: column.enum ? (column.enum.array ? 'text[]' : 'text') : column.storageType,
    baseType: column.enum ? (column.enum.array ? 'text[]' : 'text') : column.baseType,
    copiedFrom: null,
    notNull: column.notNull,
    mayLose: !column.enum,
    labels,
    isArray: column.enum?.array ?? /\[\]$/.test(column.storageType),
    constant: false,
  };
}

function unsound(column: Column, described: string | null): ColumnPlan {
  return {
    column: column.name,
    expression: 'null',
    check: null,
    described,
    unchangedFrom: null,
    isSound: false,
  };
}

function noCast(name: string, from: Column, column: Column): string {
  return `${name} changes its type from ${from.type} to ${column.type}, for which there is no cast. Give it an expression.`;
}
