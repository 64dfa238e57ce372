/** Telling people: messages to the stakeholders and the report's files. What can't be delivered is a note and never stops a run. */
import { isCancellation } from '@temporalio/workflow';
import { LIMITS, oneLine } from '../src/text';
import { database, within } from './calls';
import { problemOf } from './failures';
import type { Run } from './run';

// What waits for a message waits no longer than this.
const tellingMs = 60_000;

/** A message that can't be delivered is a note and never stops a run. */
export async function tell(run: Run, text: string): Promise<void> {
  try {
    const said = { run: run.refBack(), text: oneLine(text, LIMITS.sentence) };
    for (const note of await within(tellingMs).notify(said)) run.note(note);
  } catch (error) {
    run.note(`Stakeholders were not told: ${problemOf(error).message}`);
  }
}

/** Writes the report files; one that can't be written is a note. */
export async function writeReport(run: Run): Promise<void> {
  try {
    const { file } = await database.writeReport({ run: run.refBack(), report: run.report() });
    run.note(`Report: ${file}`);
  } catch (error) {
    if (isCancellation(error)) throw error;
    run.note(
      `The report was not written: ${problemOf(error).message} It can be had with kirikae report ${run.id} --out FILE.html.`,
    );
  }
}
