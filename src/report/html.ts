/** The report of a run as one self-contained HTML page: no scripts, no other files, light, dark and on paper. */
import { type Report, type Status, describeGoingBack, isGoingBack, wayBackStepOf } from '../contract';
import { code, escape, grid, number, section, time } from './markup';
import { describeBytes, describeCount, describeDuration, elapsedMs } from './quantities';
import { reportStyle } from './style';
import { renderTimeline, renderWayBack } from './timeline';

/**
 * Renders the page. Every text of the run is escaped.
 * @param nowMs end of what is still going on, for a report written before the end
 */
export function renderReport(report: Report, nowMs = Date.now()): string {
  const { status } = report;
  const headline = headlineOf(status);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escape(`${status.plan}: ${headline.title} (${report.workflowId})`)}</title>
<style>${reportStyle}</style>
</head>
<body>
<header class="${headline.tone}">
<p class="plan">Migration of ${escape(status.plan)}</p>
<h1>${escape(headline.title)}</h1>
<p class="lead">${escape(headline.sentence)}</p>
</header>
<main>
${renderFigures(report, nowMs)}
${renderTimeline(status, nowMs)}
${renderWayBack(status, nowMs)}
${renderTroubles(status)}
${renderTables(report)}
${renderDropped(status)}
${renderChecks(report)}
${renderDecisions(report)}
${renderNotes(status)}
${renderIdentity(report)}
</main>
</body>
</html>
`;
}

interface Headline {
  title: string;
  sentence: string;
  tone: 'good' | 'bad' | 'neutral';
}

function headlineOf(status: Status): Headline {
  switch (status.outcome) {
    case 'migrated':
      return { title: 'Migrated', tone: 'good', sentence: 'Production is completely new and verified.' };
    case 'rehearsed':
      return {
        title: 'Rehearsed',
        tone: 'good',
        sentence: 'The migration went through on copies. Production was not touched.',
      };
    case 'rolled-back':
      return {
        title: 'Rolled back',
        tone: 'bad',
        sentence: status.live
          ? 'The backup was restored over what users had written since. The notes count it.'
          : 'A step failed. Production is identical to what it was before.',
      };
    case 'rejected':
      return {
        title: 'Rejected',
        tone: 'neutral',
        sentence: 'The reset was not approved. Production is identical to what it was before.',
      };
    case 'cancelled':
      return {
        title: 'Cancelled',
        tone: 'neutral',
        sentence: 'The run was stopped. Production is identical to what it was before.',
      };
    case 'refused':
      return {
        title: 'Refused',
        tone: 'bad',
        sentence: 'Preflight found problems. Nothing was changed; the notes say what to do.',
      };
    case 'needs-operator':
      return {
        title: 'Needs an operator',
        tone: 'bad',
        sentence:
          'The run was settled by hand. Page and fence stand as they were left; the notes say how to lift them.',
      };
    case null:
      if (status.parked)
        return {
          title: 'Parked',
          tone: 'bad',
          sentence: `The run waits for an operator${isGoingBack(status) ? `, ${whereBack(status)}` : ''}. ${status.nextAction}`,
        };
      if (isGoingBack(status))
        return {
          title: 'Going back',
          tone: 'bad',
          sentence: `This report was written before the end, ${whereBack(status)}.`,
        };
      if (status.live)
        return {
          title: 'Live',
          tone: 'good',
          sentence: `Users may write again; the run is at ${status.step}.`,
        };
      return {
        title: 'Under way',
        tone: 'neutral',
        sentence: `This report was written at step ${status.step}, before the end.`,
      };
    default:
      return status.outcome satisfies never;
  }
}

function whereBack(status: Status): string {
  return describeGoingBack(wayBackStepOf(status)).replace(/\.$/, '');
}

function renderFigures({ status, finishedAt, requestedBy }: Report, nowMs: number): string {
  const totalMs = elapsedMs({ startedAt: status.startedAt, finishedAt }, nowMs) ?? 0;
  const figures: [string, string][] = [
    ['Downtime', describeDuration(status.downtimeMs)],
    [finishedAt ? 'Whole run' : 'So far', describeDuration(totalMs)],
  ];
  if (status.backup) {
    figures.push(
      ['Rows backed up', describeCount(status.backup.rows)],
      ['Backup size', describeBytes(status.backup.bytes)],
    );
  }
  if (status.phase) figures.push(['Phase', status.phase]);
  if (status.window > 1) figures.push(['Window', String(status.window)]);
  figures.push(['Requested by', requestedBy]);
  const cards = figures.map(([name, value]) => `<div><dt>${name}</dt><dd>${escape(value)}</dd></div>`);
  return `<dl class="figures">${cards.join('')}</dl>`;
}

function renderTroubles({ steps, wayBack }: Status): string {
  const all = [...steps, ...wayBack.map((step) => ({ ...step, name: `going back, ${step.name}` }))];
  const failed = all.filter((step) => step.error !== null);
  if (failed.length === 0) return '';
  const items = failed.map((step) => `<li><b>${escape(step.name)}</b>: ${escape(step.error ?? '')}</li>`);
  return section('What went wrong', `<ul class="troubles">${items.join('')}</ul>`);
}

function renderTables({ tables }: Report): string {
  const rows = tables.map(({ table, sourceRows, targetRows, origin }) => [
    code(table),
    number(sourceRows),
    number(targetRows),
    escape(origin),
  ]);
  return grid('Tables', ['Table', '#Source rows', '#Target rows', 'Rows come from'], rows);
}

function renderDropped({ dropped }: Status): string {
  const rows = dropped.map(({ what, rows: count, reason }) => [code(what), number(count), escape(reason)]);
  return grid('Left behind', ['Table or column', '#Rows or values', 'Reason'], rows);
}

function renderChecks({ checks }: Report): string {
  const rows = checks.map(({ passed, name, step, detail, at }) => [
    passed ? '<b class="pass">passed</b>' : '<b class="fail">failed</b>',
    escape(name),
    escape(step),
    escape(detail),
    time(at),
  ]);
  return grid('Checks', ['Result', 'Check', 'Step', 'Detail', 'At'], rows);
}

function renderDecisions({ decisions }: Report): string {
  const rows = decisions.map(({ at, by, what, note }) => [
    escape(what),
    escape(by),
    escape(note ?? ''),
    time(at),
  ]);
  return grid('Decisions', ['What', 'By', 'Note', 'At'], rows);
}

function renderNotes({ notes }: Status): string {
  if (notes.length === 0) return '';
  return section('Notes', `<ul>${notes.map((note) => `<li>${escape(note)}</li>`).join('')}</ul>`);
}

function renderIdentity(report: Report): string {
  const { status, checklist } = report;
  const facts: [string, string][] = [
    ['Workflow', code(report.workflowId)],
    ['Run', code(report.runId)],
    ['Started', time(status.startedAt)],
    ['Finished', report.finishedAt ? time(report.finishedAt) : 'not yet'],
  ];
  if (status.backup) {
    facts.push(['Backup', `${code(status.backup.database)}, ${describeCount(status.backup.tables)} tables`]);
    facts.push(['Fingerprint', code(status.backup.fingerprint)]);
  }
  if (checklist.length > 0) {
    facts.push(['Checklist', `<ul>${checklist.map((item) => `<li>✓ ${escape(item)}</li>`).join('')}</ul>`]);
  }
  return section(
    'This run',
    `<dl class="facts">${facts.map(([name, value]) => `<dt>${name}</dt><dd>${value}</dd>`).join('')}</dl>`,
  );
}
