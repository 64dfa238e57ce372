/** Counts the rows on trial that break what the new schema demands, and names the first of them. */
import type { Client } from 'pg';
import { refusal } from '../mapping/reader';
import { mostKeys } from '../mapping/row-keys';
import { identifier, literal } from '../postgres/sql';
import type { RowRule, SetRule } from './constraints';
import { attemptQuery, keyColumn, trialRows } from './trial-rows';

/** Rows that break a rule. */
export interface Breach {
  rows: number;
  /** The first of them, by what names them. */
  keys: string[];
}

/** A rule that PostgreSQL can't evaluate apart from its table, with its words. */
export interface Unknown {
  reason: string;
}

export type Verdict = Breach | Unknown;

/** Counts over what is on trial now. @param name what the rules' expressions call the rows */
export async function judgeRows(
  client: Client,
  name: string,
  rules: readonly RowRule[],
): Promise<Map<RowRule, Verdict>> {
  const verdicts = new Map<RowRule, Verdict>();
  if (rules.length === 0) return verdicts;
  const from = `${trialRows} as ${identifier(name)}`;
  const counts = rules.map((rule, index) => `count(*) filter (where ${brokenSql(rule)}) as n${index}`);
  const whole = await attemptQuery<Record<string, string>>(
    client,
    `select ${counts.join(', ')} from ${from}`,
  );
  for (const [index, rule] of rules.entries()) {
    if ('refused' in whole) verdicts.set(rule, await judge(client, from, brokenSql(rule)));
    else if (whole.rows[0]?.[`n${index}`] === '0') verdicts.set(rule, { rows: 0, keys: [] });
    else verdicts.set(rule, await count(client, from, brokenSql(rule)));
    const verdict = verdicts.get(rule);
    if (verdict && 'reason' in verdict) verdicts.set(rule, await judgeOneByOne(client, name, rule));
  }
  return verdicts;
}

/** SQL: the row breaks the rule, which may be a partition's own. */
export function brokenSql({ broken, within }: RowRule): string {
  return within === null ? broken : `(${within}) and (${broken})`;
}

/** The same for rows that must not be alike; all rows must be on trial. */
export async function judgeSet(client: Client, name: string, rule: SetRule): Promise<Verdict> {
  const parts = rule.parts.map((part, index) => `${part} as k${index}`).join(', ');
  const conditions = [rule.where, rule.within].flatMap((condition) => (condition ? [`(${condition})`] : []));
  const where = conditions.length > 0 ? ` where ${conditions.join(' and ')}` : '';
  const rows = `select ${keyColumn}, ${parts} from ${trialRows} as ${identifier(name)}${where}`;
  const names = rule.parts.map((_, index) => `k${index}`);
  if (rule.kind === 'exclusion') return judgeExclusion(client, rows, { rule, names });
  const filled = rule.nullsEqual ? '' : ` where num_nulls(${names.join(', ')}) = 0`;
  const alike = `select ${keyColumn}, count(*) over (partition by ${names.join(', ')}) as n from (${rows}) as q${filled}`;
  return judge(client, `(${alike}) as u`, 'n > 1');
}

// With an index where these parts can have one: without it each row would meet each.
async function judgeExclusion(
  client: Client,
  rows: string,
  { rule, names }: { rule: SetRule; names: readonly string[] },
): Promise<Verdict> {
  const made = await attemptQuery(client, `create temporary table kirikae_pairs as ${rows}`);
  if ('refused' in made) return { reason: refusal(made.refused).message };
  await attemptQuery(
    client,
    `create index on pg_temp.kirikae_pairs using ${rule.method} (${names.join(', ')})`,
  );
  const meets = names.map((part, index) => `a.${part} ${rule.operators[index]} b.${part}`).join(' and ');
  const other = `exists (select from pg_temp.kirikae_pairs b where b.ctid <> a.ctid and ${meets})`;
  const verdict = await judge(client, 'pg_temp.kirikae_pairs a', other);
  await client.query('drop table pg_temp.kirikae_pairs');
  return verdict;
}

/** Counts the rows of a FROM item that fulfil a condition. */
export async function judge(client: Client, from: string, condition: string): Promise<Verdict> {
  const verdict = await attemptQuery<{ n: string }>(
    client,
    `select count(*) as n from ${from} where ${condition}`,
  );
  if ('refused' in verdict) return { reason: refusal(verdict.refused).message };
  return verdict.rows[0]?.n === '0' ? { rows: 0, keys: [] } : count(client, from, condition);
}

async function count(client: Client, from: string, condition: string): Promise<Verdict> {
  const found = await attemptQuery<{ rows: string; keys: string[] }>(
    client,
    `select (select count(*) from ${from} where ${condition}) as rows,
       array(select ${keyColumn} from ${from} where ${condition} limit ${mostKeys}) as keys`,
  );
  if ('refused' in found) return { reason: refusal(found.refused).message };
  return { rows: Number(found.rows[0]?.rows), keys: found.rows[0]?.keys ?? [] };
}

// A function or a cast that raises an error for one row would hide all others: each row by itself then, and the error counts.
async function judgeOneByOne(client: Client, name: string, rule: RowRule): Promise<Verdict> {
  const body = `begin return (select (${brokenSql(rule)}) from (select (r).*) as ${identifier(name)});
    exception when data_exception or integrity_constraint_violation or cardinality_violation or plpgsql_error
      or external_routine_exception or external_routine_invocation_exception then return true; end`;
  const made = await attemptQuery(
    client,
    `create or replace function pg_temp.kirikae_breaks(r ${trialRows}) returns boolean language plpgsql as ${literal(body)}`,
  );
  if ('refused' in made) return { reason: refusal(made.refused).message };
  return judge(client, `${trialRows} as r`, 'pg_temp.kirikae_breaks(r)');
}
