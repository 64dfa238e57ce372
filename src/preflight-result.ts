/** What preflight found out, as plain data: for `kirikae check`, the workflow and the report. */
import type { Dropped } from './contract';

/** One target table and where its rows come from, for people. */
export interface TablePlan {
  target: string;
  /** e.g. `Organization`, `User (extra rows)`; empty when the schema step fills it. */
  sources: string[];
  /** Rows the sources hold now (counted for extra rows and drops, else PostgreSQL's estimate). */
  rows: number;
  /** Columns with an expression of their own: `column = expression`. */
  expressions: string[];
}

export interface PreflightResult {
  /** One sentence a problem, each with what to do; empty when the run may start. */
  findings: string[];
  /** Sentences worth knowing that stop nothing. */
  notes: string[];
  tables: TablePlan[];
  dropped: Dropped[];
  /** Estimated rows and bytes (with TOAST, without indexes) of the managed tables. */
  rows: number;
  bytes: number;
}
