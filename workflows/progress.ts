/** Figures of the steps that don't contradict each other, and the predicted end. Pure. */
import type { StepProgress } from '../src/contract';

/** A step whose rows never exceed its total, and which has all of them once it is done. */
export function withSettledNumbers<S extends StepProgress>(step: S): S {
  const { state, rows, rowsTotal } = step;
  if (rowsTotal === null) return { ...step };
  if (state === 'done' && rows === null) return { ...step, rows: rowsTotal };
  // A total from preflight is an estimate: more rows than that are no more than all.
  if (rows !== null && (rows > rowsTotal || state === 'done')) return { ...step, rowsTotal: rows };
  return { ...step };
}

/** What the time of a window is predicted from. */
export interface WindowSize {
  bytes: number;
  tables: number;
  /** How long the schema step took on the shadow database, in milliseconds. */
  schemaStepMs: number;
}

const machineryMs = 10_000;
const tableMs = 50;
const passes = 6;
const bytesPerSecond = 60_000_000;

/**
 * Milliseconds from the page to the last check, without persons, deploys and checks that take long.
 * Backup, its verification, the look before the reset, migration and verification move the data about six times; two cores
 * did a pass at 130 MB a second, with 5 s beside it, and half as fast is promised.
 */
export function predictWindowMs({ bytes, tables, schemaStepMs }: WindowSize): number {
  return machineryMs + tables * tableMs + schemaStepMs + ((passes * bytes) / bytesPerSecond) * 1_000;
}
