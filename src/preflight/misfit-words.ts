/** Rows that break a constraint, in words: how many, of what, which of them, and what to do. */
import { firstKeys } from '../mapping/row-keys';
import { oneLine } from '../text';
import { readable, type TableName } from '../postgres/sql';
import type { Breach, Unknown } from './breaches';
import type { RowRule, SetRule } from './constraints';

export interface Misfits {
  findings: string[];
  /** What couldn't be evaluated, by name. */
  notes: string[];
}

/** A rule as people know it. */
export interface Named {
  rule: RowRule | SetRule;
  /** The table that has it. */
  holder: TableName;
  /** What the keys of rows are called. */
  keys: string;
}

const definitionLength = 200;

/** A finding: rows that the new schema would refuse after the reset. */
export function breachOf({ rule, holder, keys }: Named, breach: Breach): string {
  return `${rowCount(breach.rows)} for ${readable(holder)} ${would(rule, breach.rows)}. ${remedy(rule)} ${firstKeys(keys, breach)}`;
}

/** A note: what the new schema demands that can't be evaluated before the night. */
export function unknownOf({ rule, holder }: Named, { reason }: Unknown): string {
  return `Whether rows of ${readable(holder)} keep to ${rule.name} of the new schema can't be evaluated before the night: ${reason}. If one doesn't, the run fails after the reset and goes back.`;
}

/** "1 row", "3 rows". */
export function rowCount(rows: number): string {
  return `${rows} ${rows === 1 ? 'row' : 'rows'}`;
}

/** An expression or a list, cut to a bearable length. */
export function shortened(definition: string): string {
  return oneLine(definition, definitionLength);
}

function would(rule: RowRule | SetRule, rows: number): string {
  const definition = shortened(rule.definition);
  switch (rule.kind) {
    case 'check':
      return `would break the check ${rule.name} of the new schema, ${definition}`;
    case 'domain':
      return `would break ${rule.name} of the new schema in ${rule.columns.join(', ')}: ${definition}`;
    case 'partition':
      return `would find no partition (${definition})`;
    case 'not null':
      return `would have no value in ${rule.name}, which the new schema computes and is NOT NULL`;
    case 'unique':
      return `would share ${rows === 1 ? 'its key' : 'their keys'} with others in the unique index ${rule.name} of the new schema,${definition}`;
    case 'exclusion':
      return `would exclude each other by ${rule.name} of the new schema,${definition}`;
  }
}

function remedy(rule: RowRule | SetRule): string {
  return rule.kind === 'partition'
    ? 'Add a partition for them, or a default one, to the new schema, or correct the rows.'
    : 'Correct the rows, their expressions in the mapping, or the new schema.';
}
