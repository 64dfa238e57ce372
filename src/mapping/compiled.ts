/** A compiled mapping as plain data: per target table the SELECTs that fill it, what is dropped, what is unexplained. */
import type { Catalog } from '../postgres/catalog';
import { type TableName, identifier, qualified } from '../postgres/sql';
import type { Mapping } from './file';

/** What the scan before the downtime has to find out about one column of one source. */
export interface ColumnCheck {
  column: string;
  /** SQL of the value before its cast. */
  value: string;
  /** The cast it gets, exact type and type without length or precision. */
  storageType: string;
  baseType: string;
  /** Type of a source column that is copied into another type; null for an expression, whose type PostgreSQL tells. */
  copiedFrom: string | null;
  notNull: boolean;
  /** Values that are not kept as they are must be looked for. */
  mayLose: boolean;
  /** Labels of a target enum that the value, as text, must be one of. */
  labels: string[] | null;
  isArray: boolean;
  /** Reads no row: one look tells about all. */
  constant: boolean;
}

export interface CompiledSource {
  /** The table that holds the rows: a leaf if the source is partitioned. */
  table: TableName;
  tableOid: number;
  /** The table the mapping names. */
  origin: TableName;
  kind: 'base' | 'extra';
  /** SQL, cast to the column's type, one for each of `CompiledTable.columns`. */
  expressions: string[];
  join: string | null;
  where: string | null;
  /** Column → its expression as the mapping has it. */
  described: Record<string, string>;
  checks: ColumnCheck[];
}

export interface CompiledTable {
  target: TableName;
  /** Columns that COPY fills, and their types. */
  columns: string[];
  types: string[];
  sources: CompiledSource[];
  primaryKey: string[] | null;
  /** Unique keys that the source's own keys don't vouch for. */
  keys: { name: string; columns: string[]; nullsNotDistinct: boolean }[];
}

export interface DropSpec {
  what: string;
  reason: string;
  /** Counts the rows, or the column's non-null values, as `rows`. */
  countSql: string;
  /** For rows left behind: the quoted name of the table that holds them. */
  table: string | null;
  /** For values left behind: the table and its column. */
  column: { table: TableName; name: string } | null;
}

/** Plain data, so that it can be stored and sent as JSON. */
export interface CompiledMapping {
  tables: CompiledTable[];
  drops: DropSpec[];
  filledBySchema: TableName[];
  assertions: { name: string; sql: string }[];
  /** One sentence for each thing that is unexplained or wrong, with what to do. */
  findings: string[];
}

export interface MappingInput {
  mapping: Mapping;
  source: Catalog;
  target: Catalog;
  /** The managed schemas; names without a schema belong to the first. */
  schemas: string[];
  /** Names of functions that may give another value each time (`volatileFunctionNames`). */
  volatileFunctions: ReadonlySet<string>;
}

/**
 * The SELECT of one source, in the order of `columns`. Run it with the managed schemas as search_path.
 * @param columns names for its output
 * @param range condition over `source.ctid`, to read one part; all rows without it
 */
export function selectSql(source: CompiledSource, columns: readonly string[], range?: string): string {
  const outputs = columns.map(
    (column, index) => `${source.expressions[index] ?? 'null'} as ${identifier(column)}`,
  );
  return `select ${outputs.join(', ')} ${fromSql(source, range)}`;
}

/** `from … where …` of one source, its rows under the name `source`. */
export function fromSql(source: CompiledSource, range?: string): string {
  const conditions = [range, source.where]
    .filter((condition) => condition)
    .map((condition) => `(${condition})`);
  const where = conditions.length > 0 ? ` where ${conditions.join(' and ')}` : '';
  return `from only ${qualified(source.table)} as source${source.join ? ` ${source.join}` : ''}${where}`;
}

/** One target table and where its rows come from, for people. */
export interface TablePlan {
  target: string;
  /** e.g. `Organization`, `User (extra rows)`; empty when the schema step fills it. */
  sources: string[];
  /** Rows the sources give now. */
  rows: number;
  /** Some of them were not counted: to be shown with "about". */
  isEstimate: boolean;
  /** Columns with an expression of their own: `column = expression`. */
  expressions: string[];
}
