/** Indexes, keys, triggers and the like after the rows: several at once, each with its checkpoint. */
import type { Client } from 'pg';
import { codeOf } from '../errors';
import { noteStage } from '../ledger/checkpoints';
import { all, inTransaction } from '../postgres/connect';
import { applyDdl } from '../postgres/ddl';
import { parseDump } from '../postgres/dump';
import type { Endpoint, Work } from '../postgres/endpoint';
import { inSessions } from '../postgres/lanes';
import { readOwnSettings, settingOwn } from '../postgres/own-settings';
import { identifiers, qualified } from '../postgres/sql';
import type { Phase } from './parts';
import { readStoredTables } from './tables';

export interface PostData extends Work {
  /** Its session has the checkpoints, and takes what must be done one after the other. */
  target: Endpoint;
  phase: Phase;
  /** The post-data section of a dump, as `dumpSql` writes it. */
  sql: string;
  /** Names the section in messages, e.g. "new schema's keys, indexes and triggers". */
  what: string;
  /** Called in each transaction before its commit: throws when this run may no longer write. */
  mayWrite?: (client: Client) => Promise<void>;
  /** Runs the last transaction's definitions in it. */
  around?: (client: Client, apply: () => Promise<void>) => Promise<void>;
  /** Ends the phase in the last transaction, e.g. by setting sequences. */
  finish: (client: Client) => Promise<void>;
}

interface Step {
  /** Table keys, then indexes, then foreign keys unchecked, then their checks, then the rest in the dump's order. */
  kind: 'key' | 'index' | 'unchecked key' | 'check' | 'rest';
  name: string;
  sql: string;
  /** The table it is built on, quoted, and its size; '' and 0 for what has none. */
  table: string;
  bytes: number;
  /** What must be done before: a key shuts out everything else that is built on its table. */
  after?: Step;
}

const buildsOn =
  /^(?:ALTER TABLE(?: ONLY)?|CREATE (?:UNIQUE )?INDEX .*? ON(?: ONLY)?) ("(?:[^"]|"")*"\."(?:[^"]|"")*")/ms;
// Not those of partitioned tables (without ONLY), which can't be added unchecked, nor those that are to stay so.
const foreignKey =
  /^ALTER TABLE ONLY ("(?:[^"]|"")*"\."(?:[^"]|"")*")\s+ADD CONSTRAINT ("(?:[^"]|"")*") FOREIGN KEY (?!.* NOT VALID;$).*;$/s;

// What pg_dump writes behind an index or a key: CLUSTER ON, REPLICA IDENTITY, statistics of its expressions. It locks the table
// against the building of other indexes, so that two of them would wait for each other.
const settingsOfIndex =
  /(?:\s*^ALTER (?:TABLE(?: ONLY)? (?:"(?:[^"]|"")*"\.?)+ (?:CLUSTER ON|REPLICA IDENTITY USING INDEX) "(?:[^"]|"")*"|INDEX (?:"(?:[^"]|"")*"\.?)+ ALTER COLUMN \d+ SET STATISTICS \d+);)+$(?![^])/m;
const deadlocksBorne = 5;

/**
 * Applies a dump's post-data section: keys of tables, then indexes, then foreign keys (added unchecked, then validated side
 * by side), then everything else in the dump's order, and what marks an index, together with `finish`. What has a checkpoint is not done again.
 * @throws KirikaeError naming what can't be applied
 */
export async function applyPostData(post: PostData): Promise<void> {
  await hurryAutovacuum(post.target.client);
  const { prelude: ofDump, steps } = await planSteps(post);
  // Indexes and checks may call functions that only claim to be immutable: as for the applications that will use them.
  const prelude = `${ofDump}\n${settingOwn(await readOwnSettings(post.target.client))}`;
  const done = await stagesOf(post);
  const open = (kind: Step['kind']) => steps.filter((step) => step.kind === kind && !done.has(step.name));
  const sqlOf = (list: readonly Step[]) => [prelude, ...list.map((step) => step.sql)].join('\n');
  await applySteps(post, prelude, oneKeyAtATime([...open('key'), ...open('index')]));
  const unchecked = open('unchecked key');
  await inTransaction(post.target.client, async () => {
    await applyDdl(post.target.client, sqlOf(unchecked), post.what);
    await post.mayWrite?.(post.target.client);
    for (const step of unchecked) await note(post, post.target.client, step);
  });
  await applySteps(post, prelude, open('check'));
  await inTransaction(post.target.client, async () => {
    const apply = () => applyDdl(post.target.client, sqlOf(open('rest')), post.what);
    await (post.around ? post.around(post.target.client, apply) : apply());
    await post.finish(post.target.client);
    await post.mayWrite?.(post.target.client);
  });
}

// Names are the dump's, so that a retry finds every step under its name; what is large comes first.
async function planSteps(post: PostData): Promise<{ prelude: string; steps: Step[] }> {
  const { prelude, entries } = parseDump(post.sql);
  const sizes = await tableSizes(post.target.client);
  const checks = new Map<string, Step>();
  const marks: Step[] = [];
  const steps = entries.map((entry): Step => {
    const name = `post ${entry.type} ${entry.schema}.${entry.name}`;
    // An index of a materialized view that is itself made after the rows waits for it.
    const [, builtOn = ''] = buildsOn.exec(entry.sql) ?? [];
    const bytes = sizes.get(builtOn);
    const base = { name, sql: entry.sql, table: builtOn, bytes: bytes ?? 0 };
    if (bytes !== undefined && /^(CONSTRAINT|INDEX)$/.test(entry.type)) {
      const [settings] = settingsOfIndex.exec(entry.sql) ?? [];
      if (settings) marks.push({ ...base, kind: 'rest', name: `${name} settings`, sql: settings });
      const sql = entry.sql.slice(0, entry.sql.length - (settings ?? '').length);
      return { ...base, sql, kind: entry.type === 'INDEX' ? 'index' : 'key' };
    }
    const [, table, constraint] = (entry.type === 'FK CONSTRAINT' && foreignKey.exec(entry.sql)) || [];
    if (!table || !constraint) return { ...base, kind: 'rest' };
    // Validating locks the table against validating another of its keys: they go one after the other.
    const check = checks.get(table) ?? { ...base, kind: 'check', name: 'validate', sql: '' };
    check.name += ` ${table} ${constraint}`;
    check.sql += `alter table only ${table} validate constraint ${constraint};\n`;
    checks.set(table, check);
    return { ...base, kind: 'unchecked key', sql: `${entry.sql.slice(0, -1)} NOT VALID;` };
  });
  steps.unshift(...marks);
  steps.push(...checks.values());
  const inOrder = steps.filter(({ kind }) => kind === 'rest' || kind === 'unchecked key');
  const largestFirst = steps.filter((step) => !inOrder.includes(step)).sort((a, b) => b.bytes - a.bytes);
  return { prelude, steps: [...largestFirst, ...inOrder] };
}

// A table's keys come one after the other, then its indexes; tables don't wait for each other.
function oneKeyAtATime(keysThenIndexes: Step[]): Step[] {
  const lastKeys = new Map<string, Step>();
  for (const step of keysThenIndexes) {
    step.after = lastKeys.get(step.table);
    if (step.kind === 'key') lastKeys.set(step.table, step);
  }
  return keysThenIndexes.sort((a, b) => b.bytes - a.bytes);
}

/**
 * Statistics for the planner, several tables at once; under the schemas' search_path, because expressions of indexes are computed.
 * @param options.sample default_statistics_target, where the server's own isn't wanted
 */
export async function analyzeTables(
  target: Endpoint,
  options: { schemas: readonly string[]; sample?: number },
  work: Work,
): Promise<void> {
  const { schemas, sample } = options;
  const tables = await readStoredTables(target.client, schemas);
  const prepare = async (client: Client) => {
    await prepareBuilding(client);
    await client.query(
      `${settingOwn(await readOwnSettings(client))} set search_path = ${identifiers(schemas)}`,
    );
    if (sample !== undefined) await client.query(`set default_statistics_target = ${sample}`);
  };
  await inSessions(
    tables,
    { ...work, url: target.url, label: `${work.label} keys`, prepare },
    async (client, table) => void (await client.query(`analyze ${qualified(table)}`)),
  );
}

// A step waits for the one it comes after.
async function applySteps(post: PostData, prelude: string, steps: readonly Step[]): Promise<void> {
  const { target, label, lanes, signal } = post;
  const after = (step: Step) => step.after;
  await inSessions(
    steps,
    { url: target.url, label: `${label} keys`, lanes, signal, after, prepare: prepareBuilding },
    (client, step) =>
      despiteDeadlocks(() =>
        inTransaction(client, async () => {
          await applyDdl(client, `${prelude}\n${step.sql}`, post.what);
          await post.mayWrite?.(client);
          await note(post, client, step);
        }),
      ),
  );
}

// The other one of the two has gone on meanwhile.
async function despiteDeadlocks(apply: () => Promise<void>): Promise<void> {
  for (let borne = 0; ; borne++) {
    try {
      return await apply();
    } catch (error) {
      if (codeOf(error) !== '40P01' || borne === deadlocksBorne) throw error;
    }
  }
}

// The cores are busy with the other sessions' indexes.
async function prepareBuilding(client: Client): Promise<void> {
  await hurryAutovacuum(client);
  await client.query(`set max_parallel_maintenance_workers = 0;
    select set_config('maintenance_work_mem', '256MB', false) where pg_size_bytes(current_setting('maintenance_work_mem')) < 268435456`);
}

// Autovacuum, drawn to what was just loaded, gives way to a lock only once deadlock_timeout has passed, a second as a rule;
// superusers needn't wait it out with every statement.
async function hurryAutovacuum(client: Client): Promise<void> {
  await client.query(
    `select set_config('deadlock_timeout', '10ms', false) where current_setting('is_superuser') = 'on'`,
  );
}

async function stagesOf({ target, phase }: PostData): Promise<Set<string>> {
  const rows = await all<{ name: string }>(
    target.client,
    'select name from kirikae.stage where phase = $1 and attempt = $2',
    [phase.name, phase.attempt],
  );
  return new Set(rows.map((row) => row.name));
}

async function note({ phase }: PostData, client: Client, step: Step): Promise<void> {
  await noteStage(client, phase, step.name);
}

/** Bytes of every table by its quoted name; views of all kinds have none. */
async function tableSizes(client: Client): Promise<Map<string, number>> {
  const rows = await all<{ name: string; bytes: string }>(
    client,
    `select format('"%s"."%s"', replace(n.nspname, '"', '""'), replace(c.relname, '"', '""')) as name, pg_table_size(c.oid) as bytes
     from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p')`,
  );
  return new Map(rows.map((row) => [row.name, Number(row.bytes)]));
}
