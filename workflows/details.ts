/** The status as Markdown, for the workflow's current details in the Temporal UI. Pure. */
import type { Status } from '../src/contract';

export function describeDetails(id: string, status: Status): string {
  const head = status.outcome ?? (status.parked ? 'PARKED: an operator is needed' : `step ${status.step}`);
  const lines = [`### ${status.plan}: ${head}`, ''];
  if (status.waitingFor) lines.push(`**Waiting for** ${status.waitingFor}`, '');
  lines.push(`**Next:** ${status.nextAction}`, '');
  if (status.backup && status.step === 'approval') {
    const { database, fingerprint, tables, rows } = status.backup;
    lines.push(`Backup \`${database}\`: ${tables} tables, ${rows} rows, fingerprint \`${fingerprint}\``, '');
    lines.push('```', approveCommand(id, fingerprint), '```', '');
  }
  lines.push('| step | state | rows | started | finished | |', '|---|---|---|---|---|---|');
  for (const step of status.steps) {
    lines.push(
      `| ${step.name} | ${step.state} | ${step.rows ?? ''} | ${step.startedAt ?? ''} | ${step.finishedAt ?? ''} | ${cell(step.error ?? '')} |`,
    );
  }
  if (status.dropped.length > 0) {
    lines.push('', '| dropped | rows | reason |', '|---|---|---|');
    for (const drop of status.dropped)
      lines.push(`| ${cell(drop.what)} | ${drop.rows} | ${cell(drop.reason)} |`);
  }
  if (status.notes.length > 0) lines.push('', ...status.notes.map((note) => `- ${note}`));
  return lines.join('\n');
}

/** The exact command that approves, with the plain Temporal CLI. */
export function approveCommand(id: string, fingerprint: string): string {
  return `temporal workflow signal --workflow-id ${id} --name approve --input '{"by":"YOUR NAME","fingerprint":"${fingerprint}"}'`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
