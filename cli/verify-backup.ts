/** `kirikae verify-backup`: reads a backup whole and judges it. */
import { alteredParts, readBackup, whyUnreadable, type Backup } from '../src/backup/manifest';
import { unlikeSealed } from '../src/backup/prove';
import { describeMarked, readMarker } from '../src/ledger/marker';
import type { Endpoint } from '../src/postgres/endpoint';
import { lanesOfHost } from '../src/postgres/lanes';
import { placeOf } from '../src/postgres/url';
import { describeBytes } from '../src/report/quantities';
import { withDatabase } from './database';
import { colorsOf, print, printJson, type CommonOptions, type Io } from './terminal';

interface Judgement {
  database: string;
  ok: boolean;
  plan: string;
  workflowId: string;
  /** The database that was backed up; null when no manifest tells. */
  source: string | null;
  sealedAt: string | null;
  tables: number | null;
  rows: number | null;
  bytes: number | null;
  /** What the database's marker says, as a clause. */
  marker: string;
  /** One sentence each. */
  problems: string[];
}

/**
 * Judges the backup in the database that a variable names.
 * @returns 0 when it is what was sealed, else 1
 * @throws CommandFailed when there is no backup, or it can't be read
 */
export async function verifyBackup(io: Io, variable: string, options: CommonOptions): Promise<number> {
  const judged = await withDatabase(io, { variable, title: 'the backup' }, judge);
  if (options.json) printJson(io, judged);
  else print(io, render(io, judged));
  return judged.ok ? 0 : 1;
}

async function judge(backup: Endpoint): Promise<Judgement> {
  const found = await readBackup(backup.client);
  const marker = describeMarked(await readMarker(backup.client));
  const problems = await problemsOf(backup, found);
  const { plan, workflowId, manifest, sealedAt } = found;
  return {
    database: placeOf(backup.url),
    ok: problems.length === 0,
    ...{ plan, workflowId },
    source: manifest ? `${manifest.source.database} (PostgreSQL ${manifest.source.serverVersion})` : null,
    sealedAt: sealedAt?.toISOString() ?? null,
    tables: manifest?.tables.length ?? null,
    rows: manifest?.tables.reduce((sum, { rows }) => sum + rows, 0) ?? null,
    bytes: manifest?.bytes ?? null,
    marker,
    problems,
  };
}

async function problemsOf(backup: Endpoint, found: Backup): Promise<string[]> {
  const why = whyUnreadable(found);
  const parts = alteredParts(found);
  // Without a manifest that can be trusted there is nothing to hold the rows against.
  const isTold = why === null && !parts.some((part) => part.startsWith('its manifest'));
  const work = { label: 'verify-backup', lanes: lanesOfHost(), signal: new AbortController().signal };
  const contents =
    isTold && found.manifest
      ? await unlikeSealed(backup, { manifest: found.manifest, untouched: new Set<string>() }, work)
      : [];
  const clauses = [...(why === null || parts.length > 0 ? [] : [`the backup ${why}`]), ...parts, ...contents];
  return clauses.map((clause) => `${clause.charAt(0).toUpperCase()}${clause.slice(1)}.`);
}

function render(io: Io, judged: Judgement): string {
  const colors = colorsOf(io);
  const { sealedAt, tables, rows, bytes, problems } = judged;
  const counted = (count: number, unit: string) =>
    `${count.toLocaleString('en-US')} ${unit}${count === 1 ? '' : 's'}`;
  const holds =
    tables === null || rows === null || bytes === null
      ? []
      : [`Holds:   ${counted(tables, 'table')}, ${counted(rows, 'row')}, ${describeBytes(bytes)}`];
  return [
    colors.bold(`Backup ${judged.database}`),
    `Plan:    ${judged.plan} (workflow ${judged.workflowId})`,
    ...(judged.source === null ? [] : [`Source:  ${judged.source}`]),
    ...holds,
    `Sealed:  ${sealedAt ?? 'no'}`,
    `Marker:  ${judged.marker}`,
    '',
    ...(problems.length === 0
      ? [colors.green('It is what was sealed: every row, every sequence, every definition.')]
      : [
          colors.red(colors.bold(`${counted(problems.length, 'problem')} found: restore nothing from it`)),
          ...problems.map((problem, index) => `  ${index + 1}. ${problem}`),
        ]),
  ].join('\n');
}
