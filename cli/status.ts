/** `kirikae status` and `kirikae report`: what a run is doing, and what it has done. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { QUERIES, type Report } from '../src/contract';
import { UsageError, sentence } from '../src/errors';
import { renderReport } from '../src/report/html';
import { withTemporal } from './connection';
import { lookAtRun, queryRun } from './run-view';
import { renderRun } from './status-view';
import { type CommonOptions, type Io, colorsOf, print, printJson } from './terminal';
import { watchRun } from './watch';

/** Prints the status once (exit code 0), or with `--watch` until the run ends. */
export function showStatus(
  io: Io,
  id: string,
  options: CommonOptions & { watch?: boolean },
): Promise<number> {
  return withTemporal(io, async (temporal) => {
    if (options.watch) {
      const { view, ending } = await watchRun(io, temporal, id, options);
      if (options.json) printJson(io, view.status);
      return ending.exitCode;
    }
    const view = await lookAtRun(temporal, id);
    if (options.json) printJson(io, view.status);
    else print(io, renderRun(view, colorsOf(io)));
    return 0;
  });
}

/** Writes a run's report as one HTML file. @throws UsageError when the file can't be written */
export function writeReport(io: Io, id: string, options: CommonOptions & { out: string }): Promise<number> {
  return withTemporal(io, async (temporal) => {
    const report = await queryRun<Report>(temporal, id, QUERIES.report);
    const file = path.resolve(options.out);
    try {
      writeFileSync(file, renderReport(report));
    } catch (error) {
      throw new UsageError([
        `The report can't be written to ${file}: ${sentence(error)}. Name another file with --out.`,
      ]);
    }
    if (options.json) printJson(io, { workflowId: id, file, report });
    else print(io, `Wrote the report of ${id} to ${file}`);
    return 0;
  });
}
