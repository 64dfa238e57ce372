/** Hashes of rows and tables that don't depend on row order, computed by PostgreSQL. */
import { identifier } from '../postgres/sql';

/** A column as hashing and copying need to know it: its type as `format_type` writes it under an empty search_path. */
export interface ColumnType {
  name: string;
  type: string;
  /** An enum or a domain over one, no array. */
  isEnum?: boolean;
}

/** `record`: fast, both servers of one major version; `text`: canonical text, any versions. */
export type HashMethod = 'record' | 'text';

// Types whose values hash_record_extended tells apart. The others go by what COPY writes of them: enums hash their OID,
// numeric, interval, float and citext hash values alike that are written otherwise, arrays hash without their dimensions.
const exactlyHashed =
  /^((text|character varying|boolean|smallint|integer|oid|uuid|bytea|date)(\(\d+\))?|(timestamp(\(\d+\))? with(out)?|time(\(\d+\))? without) time zone)$/;
// PostgreSQL's own types whose cast to text is what COPY writes. A cast of char(n) strips blanks, one of xml keeps a declaration
// that COPY leaves out, and one of a type of the database's own may be anybody's function.
const castAsWritten = /^(?!character\(|bpchar|xml)[^".]+$/;

/**
 * One row's hash as an SQL expression over the alias `t`.
 * hash_record_extended combines its columns linearly, so that a sum over rows would not see values that changed places
 * between rows: the outer hash breaks that.
 */
export function rowHash(columns: readonly ColumnType[], method: HashMethod): string {
  if (columns.length === 0) return '0::bigint';
  const values = columns.map((column) => hashedValue(column, method)).join(', ');
  return method === 'record'
    ? `hashtextextended(hash_record_extended(row(${values}), 0)::text, 0)`
    : `('x' || substr(md5(row(${values})::text), 1, 16))::bit(64)::bigint`;
}

/** `select` of one row: `rows` (count) and `hash` (sum over row hashes, as text) of a relation or sub-select aliased t. */
export function tableHashSql(from: string, columns: readonly ColumnType[], method: HashMethod): string {
  return `select count(*) as rows, coalesce(sum(${rowHash(columns, method)}), 0)::text as hash from ${from} t`;
}

// Collations never decide: one that isn't deterministic would take `bob` for `BOB`.
function hashedValue({ name, type }: ColumnType, method: HashMethod): string {
  const value = `t.${identifier(name)}`;
  if (method === 'text') return value;
  if (/^(text|character varying(\(\d+\))?)$/.test(type)) return `${value} collate "C"`;
  if (exactlyHashed.test(type)) return value;
  // Its hash folds the upper half of 64 bits into the lower: 1 is like 4294967296, and -1 like 4294967295. (Times are folded too,
  // and no two that somebody would take for one another are alike.)
  if (type === 'bigint') return `int8send(${value})`;
  return `${castAsWritten.test(type) ? value : `row(${value})`}::text collate "C"`;
}

/** True when COPY's binary form of the column is the same on every server of one major version. */
export function isPortableBinary({ type, isEnum }: ColumnType): boolean {
  // An enum's value travels as its name.
  if (isEnum) return true;
  // Types outside pg_catalog (arrays and composites of them carry OIDs; extensions have versions) and reg* types (OIDs).
  return !/["."]/.test(type.replace(/\(.*\)/, '')) && !/^reg|^aclitem|^"char"|^pg_/.test(type);
}
