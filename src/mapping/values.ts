/** SQL for one value: the cast to its column's type, and enum values exchanged by name. */
import type { Column } from '../postgres/catalog';
import { literal } from '../postgres/sql';

/**
 * Casts an expression to what a target column stores.
 * Enums go as text, since the source doesn't know the new type. A limit on the length of varchar is left to COPY, which
 * refuses what is too long where a cast would cut it off; all other types are cast exactly.
 */
export function castTo(sql: string, column: Column): string {
  if (column.enum) return `${sql}::text${column.enum.array ? '[]' : ''}`;
  return `${sql}::${/^character varying/.test(column.baseType) ? column.baseType : column.storageType}`;
}

/**
 * Exchanges enum values in a text, or a text array of any shape (NULL elements and bounds stay as they are).
 * @param sql must be of type text or text[]
 */
export function exchangeValues(
  sql: string,
  changes: Readonly<Record<string, string>>,
  array: boolean,
): string {
  const pairs = Object.entries(changes).filter(([from, to]) => from !== to);
  if (pairs.length === 0) return sql;
  if (!array) {
    const cases = pairs.map(([from, to]) => `when ${literal(from)} then ${literal(to)}`).join(' ');
    return `case ${sql} ${cases} else ${sql} end`;
  }
  const replaced = (inner: string, from: string, to: string) =>
    `pg_catalog.array_replace(${inner}, ${literal(from)}, ${literal(to)})`;
  const names = new Set(pairs.map(([from]) => from));
  if (!pairs.some(([, to]) => names.has(to))) {
    return pairs.reduce((inner, [from, to]) => replaced(inner, from, to), sql);
  }
  // A → B beside B → C: by way of names too long for an enum value, so that no value is exchanged twice.
  const between = (index: number) => `${'-'.repeat(64)}${index}`;
  const away = pairs.reduce((inner, [from], index) => replaced(inner, from, between(index)), sql);
  return pairs.reduce((inner, [, to], index) => replaced(inner, between(index), to), away);
}

/** True when every value of the one type is a value of the other, so that no row has to be looked at. */
export function fitsAlways(from: Column, to: Column): boolean {
  if (from.storageType === to.storageType || to.storageType === 'text') return true;
  const integers = ['smallint', 'integer', 'bigint', 'numeric'];
  const [narrow, wide] = [integers.indexOf(from.storageType), integers.indexOf(to.storageType)];
  if (narrow >= 0 && wide >= narrow) return true;
  if (from.storageType === 'real' && to.storageType === 'double precision') return true;
  const isText = (column: Column) => column.baseType === 'text' || column.baseType === 'character varying';
  if (isText(from) && to.baseType === 'character varying') return limit(to) >= limit(from);
  if (from.baseType !== to.baseType) return false;
  if (to.baseType === to.storageType) return true;
  if (from.baseType === 'numeric') {
    const [had, has] = [digits(from), digits(to)];
    return had !== null && has !== null && has.after >= had.after && has.before >= had.before;
  }
  return /^time/.test(from.baseType) && limit(to) >= Math.min(limit(from), 6);
}

/** True when a value changes with the session's time zone on its way between the two types. */
export function dependsOnTimeZone(from: Pick<Column, 'baseType'>, to: Pick<Column, 'baseType'>): boolean {
  const zoned = (type: string) => /^time(stamp)? with time zone/.test(type);
  const local = (type: string) => /^(date|time(stamp)? without time zone)/.test(type);
  return (zoned(from.baseType) && local(to.baseType)) || (local(from.baseType) && zoned(to.baseType));
}

function limit(column: Column): number {
  const found = /\((\d+)\)/.exec(column.storageType)?.[1];
  return found === undefined ? Number.POSITIVE_INFINITY : Number(found);
}

function digits(column: Column): { before: number; after: number } | null {
  const found = /\((\d+),(-?\d+)\)/.exec(column.storageType);
  return found ? { before: Number(found[1]) - Number(found[2]), after: Number(found[2]) } : null;
}
