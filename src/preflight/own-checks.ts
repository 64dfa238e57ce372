/** Preflight of production's own checks and domains over its rows: a way back writes each row anew, and PostgreSQL asks them again. */
import { openReader, type Reader } from '../mapping/reader';
import { firstKeys, keyText, mostKeys } from '../mapping/row-keys';
import type { Table } from '../postgres/catalog';
import { identifier, qualified, readable } from '../postgres/sql';
import type { RowRule, Rules } from './constraints';
import { rowCount, shortened, type Misfits } from './misfit-words';
import type { Look } from './trial-rows';

/** Rows that break them though they stand in production: written round them, or before a function of theirs answered otherwise. */
export async function findOwnBreaches({ production, old, session }: Look, rules: Rules): Promise<Misfits> {
  const read = openReader(production.client, session);
  const misfits: Misfits = { findings: [], notes: [] };
  for (const table of old.tables) {
    const own = rules.rows.filter(
      ({ kind, holder }) => holder === table.oid && (kind === 'check' || kind === 'domain'),
    );
    if (own.length === 0 || table.kind === 'foreign-leaf') continue;
    await lookAtTable(read, table, { own, misfits });
  }
  return misfits;
}

async function lookAtTable(
  read: Reader,
  table: Table,
  { own, misfits }: { own: readonly RowRule[]; misfits: Misfits },
): Promise<void> {
  const from = fromTable(table);
  const counts = own.map(({ broken }, index) => `count(*) filter (where ${broken}) as n${index}`);
  const whole = await read(`select ${counts.join(', ')} ${from}`);
  for (const [index, rule] of own.entries()) {
    if (whole.kind === 'rows' && whole.rows[0]?.[`n${index}`] === '0') continue;
    const alone = await read(`select count(*) as n ${from} where ${rule.broken}`);
    const what = `production's own ${rule.kind === 'check' ? `check ${rule.name}` : rule.name} (${shortened(rule.definition)})`;
    if (alone.kind === 'rows') {
      const rows = Number(alone.rows[0]?.n);
      if (rows === 0) continue;
      const keys = await firstOf(read, table, rule);
      misfits.findings.push(
        `${rowCount(rows)} of ${readable(table)} in production ${rows === 1 ? 'breaks' : 'break'} ${what}, so that a restore would fail. Correct the rows, or drop the constraint, before the run. ${firstKeys(keys.title, { rows, keys: keys.values })}`,
      );
    } else if (alone.isData) {
      misfits.findings.push(
        `At least one row of ${readable(table)} in production breaks ${what}, so that a restore would fail: ${alone.message}. Correct the rows, or drop the constraint, before the run.`,
      );
    } else {
      misfits.notes.push(
        `Whether rows of ${readable(table)} keep to ${what} can't be evaluated: ${alone.message}. If one doesn't, a restore fails.`,
      );
    }
  }
}

async function firstOf(
  read: Reader,
  table: Table,
  rule: RowRule,
): Promise<{ title: string; values: string[] }> {
  const key = table.primaryKey ? keyText(table.primaryKey.map(identifier)) : 'ctid::text';
  const title = table.primaryKey?.join(', ') ?? 'ctid';
  const found = await read(`select ${key} as key ${fromTable(table)} where ${rule.broken} limit ${mostKeys}`);
  return { title, values: found.kind === 'rows' ? found.rows.map((row) => row.key ?? '') : [] };
}

function fromTable(table: Table): string {
  return `from ${table.kind === 'partitioned' ? '' : 'only '}${qualified(table)} as ${identifier(table.name)}`;
}
