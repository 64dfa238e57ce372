/** Preflight of rows: those that a constraint of the new schema, or one of production's own, would refuse, before the night. */
import { isStatementsFault } from '../errors';
import type { CompiledMapping, CompiledTable } from '../mapping/compiled';
import { findSame } from '../mapping/names';
import { refusal } from '../mapping/reader';
import { keysOf, mostKeys } from '../mapping/row-keys';
import { readCatalog, type Catalog, type Table } from '../postgres/catalog';
import { readOwnSettings } from '../postgres/own-settings';
import { identifier, readable } from '../postgres/sql';
import { judgeRows, judgeSet, type Verdict } from './breaches';
import { readRules, type RowRule, type Rules, type SetRule } from './constraints';
import { findForeignKeyBreaches } from './foreign-keys';
import { breachOf, unknownOf, type Misfits, type Named } from './misfit-words';
import { findOwnBreaches } from './own-checks';
import {
  batchesOf,
  fill,
  keyColumn,
  makeTrialRows,
  onTrial,
  type Look,
  type Side,
  type Trial,
} from './trial-rows';

/**
 * Counts the rows of production that break its own checks, and the rows that the mapping makes of them that break what the new
 * schema demands. Production is only read, in a transaction for each statement; rows go on trial in the shadow, which has the new schema.
 * @throws an outage; what the data or a constraint gets wrong is a finding
 */
export async function findMisfits(
  { production, shadow }: { production: Side; shadow: Side },
  { compiled, schemas }: { compiled: CompiledMapping; schemas: readonly string[] },
  signal: AbortSignal,
): Promise<Misfits> {
  const session = { schemas, own: await readOwnSettings(production.client) };
  const [old, fresh] = [
    await readCatalog(production.client, schemas),
    await readCatalog(shadow.client, schemas),
  ];
  const look = { production, shadow, compiled, session, old, fresh, signal };
  const ownRules = await readRules(production.client, old, schemas);
  const misfits = await findOwnBreaches(look, ownRules);
  // What a mapping with problems would make of the rows isn't known yet.
  if (compiled.findings.length > 0) return misfits;
  const rules = await readRules(shadow.client, fresh, schemas);
  const parts = [];
  for (const table of compiled.tables) parts.push(await tryTable(look, table, { rules, ownRules }));
  parts.push(await findForeignKeyBreaches(look, rules.foreignKeys));
  for (const { findings, notes } of parts) {
    misfits.findings.push(...findings);
    misfits.notes.push(...notes);
  }
  return misfits;
}

interface TableTrial {
  table: CompiledTable;
  target: Table;
  rowRules: RowRule[];
  setRules: SetRule[];
  columns: string[];
  deep: ReadonlySet<string>;
}

async function tryTable(
  look: Look,
  table: CompiledTable,
  { rules, ownRules }: { rules: Rules; ownRules: Rules },
): Promise<Misfits> {
  const target = findSame(look.fresh.tables, table.target);
  const nothing: Misfits = { findings: [], notes: [] };
  if (!target) return nothing;
  const isOpen = (rule: RowRule | SetRule) =>
    rule.table === target.oid && !isVouchedFor(rule, { table, old: look.old, ownRules });
  const rowRules = rules.rows.filter(isOpen);
  const setRules = rules.sets.filter((rule) => isOpen(rule) && !isScanned(rule, table));
  const columns = [...new Set([...rowRules, ...setRules].flatMap((rule) => rule.columns))];
  if (rowRules.length + setRules.length === 0) return nothing;
  const deep = new Set(rules.deep.filter((use) => use.table === target.oid).map(({ column }) => column));
  const urls = { production: look.production.url, shadow: look.shadow.url };
  try {
    const verdicts = await onTrial(urls, look, (trial) =>
      judgeTable(trial, look, { table, target, rowRules, setRules, columns, deep }),
    );
    return inWords(look.fresh, table, verdicts);
  } catch (error) {
    if (!isStatementsFault(error)) throw error;
    const names = [...rowRules, ...setRules].map(({ name }) => name).join(', ');
    const { message, isData } = refusal(error);
    const what = `Whether the rows of ${readable(table.target)} keep to the new schema (${names}) could not be found out: ${message}.`;
    // A value that no column of that type takes is one that migrate would meet as well.
    return isData
      ? { ...nothing, findings: [`${what} Correct the expressions of its columns, or the rows.`] }
      : { ...nothing, notes: [`${what} If one doesn't, the run fails after the reset and goes back.`] };
  }
}

// Rows go on trial in batches and leave again, unless a rule is about all of them.
async function judgeTable(
  trial: Trial,
  { old }: Look,
  { table, target, rowRules, setRules, columns, deep }: TableTrial,
): Promise<Map<RowRule | SetRule, Verdict>> {
  const verdicts = new Map<RowRule | SetRule, Verdict>();
  const own = await makeTrialRows(trial, target, { columns, filled: table.columns, deep });
  const keys = keysOf(table);
  const judge = async () => {
    for (const [rule, verdict] of await judgeRows(trial.shadow, target.name, rowRules))
      verdicts.set(rule, sumOf(verdicts.get(rule), verdict));
  };
  for (const source of table.sources) {
    const values = own.map(
      (name) => `${source.expressions[table.columns.indexOf(name)] ?? 'null'} as ${identifier(name)}`,
    );
    const outputs = [`${keys.of(source)} as ${keyColumn}`, ...values].join(', ');
    const pages = old.tables.find(({ oid }) => oid === source.tableOid)?.pages ?? 0;
    for (const select of batchesOf(source, outputs, pages)) {
      await fill(trial, { select, columns: own });
      if (setRules.length > 0) continue;
      await judge();
      await trial.shadow.query('truncate pg_temp.kirikae_rows');
    }
  }
  if (setRules.length > 0) await judge();
  for (const rule of setRules) verdicts.set(rule, await judgeSet(trial.shadow, target.name, rule));
  return verdicts;
}

function sumOf(before: Verdict | undefined, now: Verdict): Verdict {
  if (before === undefined || 'reason' in before || 'reason' in now)
    return before && 'reason' in before ? before : now;
  return { rows: before.rows + now.rows, keys: [...before.keys, ...now.keys].slice(0, mostKeys) };
}

const emptyThere =
  'it calls a function that is not immutable and may read other tables, which have no rows yet';

function inWords(
  fresh: Catalog,
  table: CompiledTable,
  verdicts: ReadonlyMap<RowRule | SetRule, Verdict>,
): Misfits {
  const misfits: Misfits = { findings: [], notes: [] };
  const { title } = keysOf(table);
  for (const [rule, verdict] of verdicts) {
    const holder = fresh.tables.find(({ oid }) => oid === rule.holder) ?? table.target;
    const named: Named = { rule, holder, keys: title };
    if ('reason' in verdict) misfits.notes.push(unknownOf(named, verdict));
    else if (verdict.rows === 0) continue;
    else if ('readsOthers' in rule && rule.readsOthers)
      misfits.notes.push(unknownOf(named, { reason: emptyThere }));
    else misfits.findings.push(breachOf(named, verdict));
  }
  return misfits;
}

// Keys over plain columns that come from the source are the scan's.
function isScanned(rule: SetRule, table: CompiledTable): boolean {
  return rule.isPlain && rule.columns.every((name) => table.columns.includes(name));
}

// Production demands the same of the same values, in the same words, and PostgreSQL alone says what these mean.
function isVouchedFor(
  rule: RowRule | SetRule,
  { table, old, ownRules }: { table: CompiledTable; old: Catalog; ownRules: Rules },
): boolean {
  const [first] = table.sources;
  const origin = first && findSame(old.tables, first.origin);
  if (!rule.isPure || !origin || !table.sources.every((source) => source.kind === 'base')) return false;
  const isCopied = (name: string) => {
    const place = table.columns.indexOf(name);
    const column = `source.${identifier(name)}`;
    const copied = [column, `${column}::text`, `${column}::text[]`];
    return place >= 0 && table.sources.every(({ expressions }) => copied.includes(expressions[place] ?? ''));
  };
  return (
    rule.columns.every(isCopied) &&
    [...ownRules.rows, ...ownRules.sets].some(
      (own) =>
        own.table === origin.oid &&
        own.isPure &&
        own.kind === rule.kind &&
        own.definition === rule.definition &&
        own.within === rule.within &&
        [...own.columns].sort().join() === [...rule.columns].sort().join(),
    )
  );
}
