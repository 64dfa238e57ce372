/** SQL conditions that are true for values which their column would not keep as they are. */
import { literal } from '../postgres/sql';
import type { ColumnCheck } from './compiled';

/** The type that PostgreSQL gives an expression. */
export interface ValueType {
  storageType: string;
  baseType: string;
}

const ranges: Record<string, [string, string]> = {
  smallint: ['-32768', '32767'],
  integer: ['-2147483648', '2147483647'],
  bigint: ['-9223372036854775808', '9223372036854775807'],
};
const floats = /^(real|double precision)$/;
const numbers = /^(smallint|integer|bigint|numeric|real|double precision)$/;
const texts = /^(text|character varying|bpchar|name|"char"|unknown)$/;
// Text types whose cast cuts without a word: to their size, or blanks at the end.
const cutTexts = /^(name|"char"|bpchar)$/;
// Types whose equality sees every difference that matters here; numbers of another scale are the same number.
const comparedAsTheyAre =
  /^(smallint|integer|bigint|numeric|real|double precision|money|oid|boolean|uuid|bytea|date|interval|time.*|"bit"|bit varying)(\[\])?$/;

/** The condition over `v`, or null when every value is kept. */
export function lossCondition(v: string, check: ColumnCheck, from: ValueType): string | null {
  if (check.labels) return foreignLabel(v, check.labels, check.isArray);
  if (!check.mayLose || from.storageType === check.storageType) return null;
  const isText = texts.test(from.baseType);
  if (numbers.test(from.baseType) && Object.hasOwn(ranges, check.baseType)) {
    const [low, high] = ranges[check.baseType] ?? [];
    // A cast of float to numeric keeps 15 digits; the float that follows the largest bigint is one too large.
    if (floats.test(from.baseType)) {
      const float = `${v}::double precision`;
      return `${float} <> trunc(${float}) or not (${float} >= ${low} and ${float} < ${high}::numeric + 1)`;
    }
    return `${v}::numeric <> trunc(${v}::numeric) or ${v}::numeric not between ${low} and ${high}`;
  }
  const digits = /^numeric\((\d+),(-?\d+)\)$/.exec(check.storageType);
  if (digits && (numbers.test(from.baseType) || (isText && check.copiedFrom === null))) {
    const [, precision, scale] = digits;
    const rounded = floats.test(from.baseType) ? ` or ${v}::numeric::${from.baseType} <> ${v}` : '';
    return `${v}::numeric <> 'NaN' and (${v}::numeric <> round(${v}::numeric, ${scale}) or abs(${v}::numeric) >= 1e${Number(precision) - Number(scale)}${rounded})`;
  }
  if (cutTexts.test(check.baseType)) return differAsText(`${v}::${check.storageType}`, v);
  const conditions: string[] = [];
  if (check.storageType !== check.baseType) {
    conditions.push(differ(`${v}::${check.baseType}`, `${v}::${check.storageType}`, check.baseType));
  }
  // What a text is read as need not be written the same way again, unless the text is copied without an expression.
  if (
    from.baseType !== check.baseType &&
    (!isText || check.copiedFrom !== null) &&
    !texts.test(check.baseType)
  ) {
    conditions.push(differ(`${v}::${check.baseType}::${from.storageType}`, v, from.baseType));
  }
  return conditions.length > 0 ? conditions.join(' or ') : null;
}

function differ(one: string, other: string, type: string): string {
  return comparedAsTheyAre.test(type) ? `${one} is distinct from ${other}` : differAsText(one, other);
}

// A collation that isn't deterministic would take different texts for the same.
function differAsText(one: string, other: string): string {
  return `${one}::text collate "C" is distinct from ${other}::text collate "C"`;
}

function foreignLabel(v: string, labels: readonly string[], isArray: boolean): string {
  const known = `array[${labels.map(literal).join(', ')}]::text[]`;
  return isArray
    ? `exists (select from unnest(${v}::text[]) as element where element <> all (${known}))`
    : `${v}::text <> all (${known})`;
}
