/** The status as Markdown, for the workflow's current details in the Temporal UI. Pure. */
import {
  type CommandName,
  describeGoingBack,
  isGoingBack,
  type Status,
  type StepStatus,
  type WayBackStatus,
  wayBackStepOf,
} from '../src/contract';
import { LIMITS, oneLine } from '../src/text';

/** Something that a person may say to the run now. */
export interface Choice {
  /** What it means, as the title over what is to be typed. */
  title: string;
  name: CommandName;
  payload: Record<string, unknown>;
  /** The same for a shell. */
  command: string;
}

/** What is to be typed stands alone in its code block: prose is set with curly quotes by the UI, and can't be pasted. */
export function describeDetails(status: Status, choices: readonly Choice[]): string {
  const lines = [`### ${status.plan}: ${prose(headOf(status))}`, ''];
  const window = status.window > 1 ? `, window ${status.window}` : '';
  if (status.phase) lines.push(`Phase \`${status.phase}\`${window}`, '');
  if (status.waitingFor) lines.push(`**Waiting for** ${prose(status.waitingFor)}`, '');
  const next = choices.length === 0 ? status.nextAction : withoutCommands(status.nextAction);
  if (next !== '' && status.waitingFor === null) lines.push(`**Next:** ${prose(next)}`, '');
  if (status.backup && status.step === 'approval') {
    const { database, fingerprint, tables, rows } = status.backup;
    lines.push(`Backup \`${database}\`: ${tables} tables, ${rows} rows, fingerprint \`${fingerprint}\``, '');
  }
  for (const choice of choices) lines.push(...describeChoice(choice));
  lines.push(...describeSteps('step', status.steps));
  if (status.wayBack.length > 0) lines.push('', ...describeSteps('way back', status.wayBack));
  if (status.dropped.length > 0) {
    lines.push('', '| dropped | rows | reason |', '|---|---|---|');
    for (const drop of status.dropped)
      lines.push(`| ${cell(drop.what)} | ${drop.rows} | ${cell(drop.reason)} |`);
  }
  if (status.notes.length > 0) lines.push('', ...status.notes.flatMap(describeNote));
  return lines.join('\n');
}

function headOf(status: Status): string {
  if (status.outcome) return status.outcome;
  const back = isGoingBack(status) ? oneLine(describeGoingBack(wayBackStepOf(status)), LIMITS.header) : null;
  if (status.parked) return `PARKED: an operator is needed${back === null ? '' : `; ${back}`}`;
  return back ?? `step ${status.step}`;
}

function describeSteps(title: string, steps: readonly (StepStatus | WayBackStatus)[]): string[] {
  const rows = steps.map(({ name, state, rows, rowsTotal, attempt, startedAt, finishedAt, error }) => {
    const progress =
      rows === null ? '' : `${rows}${rowsTotal !== null && rowsTotal > rows ? ` of ${rowsTotal}` : ''}`;
    const tries = attempt > 1 ? attempt : '';
    return `| ${name} | ${state} | ${progress} | ${tries} | ${clock(startedAt)} | ${clock(finishedAt)} | ${cell(error ?? '')} |`;
  });
  return [
    `| ${title} | state | rows | try | started (UTC) | finished | |`,
    '|---|---|---|---|---|---|---|',
    ...rows,
  ];
}

function describeChoice({ title, name, payload, command }: Choice): string[] {
  return [
    `**${prose(title)}**, in a shell:`,
    ...block('sh', command),
    `or here, as the update ${name} with this input:`,
    ...block('json', JSON.stringify(payload, null, 2)),
  ];
}

// A note that says how to do something ends in its command.
function describeNote(note: string): string[] {
  const [, title, command] = /^((?:To|When) [^:]+:) (.+)$/s.exec(note) ?? [];
  return title && command ? [`- ${prose(title)}`, ...block('sh', command)] : [`- ${prose(note)}`];
}

function block(language: string, text: string): string[] {
  const ticks = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(ticks + 1);
  return ['', `${fence}${language}`, text, fence, ''];
}

// The choices say them, ready to be pasted.
function withoutCommands(text: string): string {
  const sentences = text.split(/(?<=\.) /);
  return sentences.filter((sentence) => !sentence.includes('kirikae ')).join(' ');
}

// Names of databases and checks hold what Markdown takes for marks of its own.
function prose(text: string): string {
  return text.replace(/[\\`*_<>[\]#|~]/g, '\\$&');
}

// `05-01 02:14:05`: the table must fit half a window.
function clock(iso: string | null): string {
  return iso === null ? '' : iso.slice(5, 19).replace('T', ' ');
}

function cell(text: string): string {
  return prose(text).replaceAll('\n', ' ');
}
