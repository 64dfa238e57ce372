/** What preflight found out, as plain data: for `kirikae check`, the workflow and the report. */
import type { Dropped } from '../contract';
import type { TablePlan } from '../mapping/compiled';

export interface PreflightResult {
  /** One sentence a problem, each with what to do; empty when the run may start. */
  findings: string[];
  /** Sentences worth knowing that stop nothing. */
  notes: string[];
  tables: TablePlan[];
  dropped: Dropped[];
  /** Rows and bytes (with TOAST, without indexes) of the managed tables. */
  rows: number;
  /** Some of the rows were not counted: to be shown with "about". */
  rowsAreEstimate: boolean;
  bytes: number;
}
