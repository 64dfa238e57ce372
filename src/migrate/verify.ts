/** Proof that the migrated database is what the mapping says of the backup: conservation, content, schema, assertions. */
import type { Client } from 'pg';
import type { Manifest } from '../backup/manifest';
import type { Dropped, TableReport } from '../contract';
import { hashTables, type HashJob, type TableHash } from '../engine/compare';
import { maxProblems } from '../engine/differences';
import { describeDifferingRows, readPrimaryKey, type Narrowing, type Side } from '../engine/narrow';
import { KirikaeError, sentence, failWith, isStatementsFault } from '../errors';
import { type CompiledMapping, type CompiledTable, selectSql } from '../mapping/compiled';
import { compareWithLearnt } from '../new-schema/deploy';
import type { Learnt } from '../new-schema/learnt';
import type { Catalog } from '../postgres/catalog';
import { all, inTransaction, one, pin } from '../postgres/connect';
import type { Pair, Work } from '../postgres/endpoint';
import { readOwnSettings, settingOwn, type MappingSession } from '../postgres/own-settings';
import { identifiers, qualified, readable, type TableName } from '../postgres/sql';
import { sameMajor } from '../postgres/versions';
import type { Plan } from '../settings/read';
import { compileForRun, filledColumns } from './plan';

export interface Verified {
  tables: TableReport[];
  dropped: Dropped[];
  rows: number;
  assertions: string[];
}

/**
 * Judges the migrated production against the backup.
 * @throws KirikaeError DataDiffer listing every table (with the keys of its first wrong rows), schema object or assertion that fails
 */
export async function verifyMigration(
  databases: Pair,
  { plan, manifest, learnt }: { plan: Plan; manifest: Manifest; learnt: Learnt },
  work: Work,
): Promise<Verified> {
  const [production, backup] = [databases.production.client, databases.backup.client];
  const { schemas } = plan.databases.production;
  const compiled = await compileForRun(plan, backup, production);
  const method = (await sameMajor(production, backup)) ? 'record' : 'text';
  const own = await readOwnSettings(production);
  const hashing = { ...work, method, searchPath: schemas, own } as const;
  const roots = await partitionedTables(production, schemas);
  const expected = await hashTables(compiled.tables.flatMap(sourceJobs), {
    ...hashing,
    url: databases.backup.url,
  });
  const found = await hashTables(
    compiled.tables.map((table) => targetJob(table, roots)),
    { ...hashing, url: databases.production.url },
  );
  const problems = [
    ...conservation(compiled, manifest, expected),
    ...(await contentProblems(compiled.tables, [expected, found], (table) =>
      narrowMapped(table, { ...databases, catalog: learnt.catalog }, hashing),
    )),
    ...(await failedAssertions(production, compiled, { schemas, own })),
  ];
  if (problems.length > 0) {
    throw new KirikaeError(
      'DataDiffer',
      `The migrated database is not what the mapping says: ${problems.slice(0, maxProblems).join('; ')}${problems.length > maxProblems ? `; and ${problems.length - maxProblems} more` : ''}.`,
    );
  }
  await compareWithLearnt(databases.production.url, learnt, schemas);
  const tables = compiled.tables.map((table) => tableReport(table, expected, found));
  return {
    tables,
    dropped: await countDrops(backup, compiled, { schemas, own }),
    rows: tables.reduce((sum, table) => sum + (table.targetRows ?? 0), 0),
    assertions: compiled.assertions.map((assertion) => assertion.name),
  };
}

/** Rows and values that a mapping leaves behind, counted in the backup. */
export async function countDrops(
  client: Client,
  compiled: CompiledMapping,
  { schemas, own }: MappingSession,
): Promise<Dropped[]> {
  const dropped: Dropped[] = [];
  await client.query(`${settingOwn(own)} set search_path = ${identifiers(schemas)}`);
  for (const { what, reason, countSql } of compiled.drops) {
    const row = await one<Record<string, string>>(client, countSql);
    dropped.push({ what, reason, rows: Number(Object.values(row)[0]) });
  }
  await pin(client);
  return dropped;
}

const sourceName = (table: CompiledTable, index: number) => `${qualified(table.target)} from ${index}`;

function sourceJobs(table: CompiledTable): HashJob[] {
  return table.sources.map((source, index) => ({
    name: sourceName(table, index),
    from: `(${selectSql(source, table.columns)})`,
    columns: filledColumns(table),
  }));
}

// A table that others inherit from is filled on its own; a partitioned one holds its rows in its partitions.
function targetJob(table: CompiledTable, roots: ReadonlySet<string>): HashJob {
  const name = qualified(table.target);
  return { name, from: roots.has(name) ? name : `only ${name}`, columns: filledColumns(table) };
}

async function partitionedTables(client: Client, schemas: readonly string[]): Promise<Set<string>> {
  const tables = await all<TableName>(
    client,
    `select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any($1) and c.relkind = 'p'`,
    [schemas],
  );
  return new Set(tables.map(qualified));
}

// Every row of every source table must have been read once by the table's base select, or be dropped by name.
function conservation(
  compiled: CompiledMapping,
  manifest: Manifest,
  expected: ReadonlyMap<string, TableHash>,
): string[] {
  const reads = new Map<string, number[]>();
  for (const table of compiled.tables) {
    table.sources.forEach((source, index) => {
      if (source.kind !== 'base') return;
      const name = qualified(source.table);
      reads.set(name, [...(reads.get(name) ?? []), expected.get(sourceName(table, index))?.rows ?? 0]);
    });
  }
  const droppedTables = new Set(compiled.drops.map((drop) => drop.table).filter((table) => table !== null));
  const filled = new Set(compiled.filledBySchema.map(qualified));
  return manifest.tables.flatMap((table) => {
    const name = qualified(table);
    // A table split into several targets is read once for each, every time whole.
    const wrong = (reads.get(name) ?? [0]).filter((rows) => rows !== table.rows);
    if (wrong.length === 0) return [];
    if (!reads.has(name) && (droppedTables.has(name) || filled.has(name))) return [];
    return [
      `table ${readable(table)} had ${table.rows} rows in the backup and ${wrong.join(', ')} of them were copied`,
    ];
  });
}

async function contentProblems(
  tables: readonly CompiledTable[],
  [expected, found]: readonly [ReadonlyMap<string, TableHash>, ReadonlyMap<string, TableHash>],
  narrow: (table: CompiledTable) => Promise<string>,
): Promise<string[]> {
  const problems: string[] = [];
  for (const table of tables) {
    const sources = table.sources.map((_, index) => expected.get(sourceName(table, index)));
    const rows = sources.reduce((sum, source) => sum + (source?.rows ?? 0), 0);
    const hash = sources.reduce((sum, source) => sum + BigInt(source?.hash ?? 0), 0n);
    const target = found.get(qualified(table.target)) ?? { rows: 0, hash: '0' };
    if (target.rows === rows && BigInt(target.hash) === hash) continue;
    const counts =
      target.rows === rows
        ? `has ${rows} rows, but their content is not what the mapping's expressions give`
        : `has ${target.rows} rows, its sources select ${rows}`;
    const which = problems.length < maxProblems ? await narrow(table) : '';
    problems.push(`table ${readable(table.target)} ${counts}${which}`);
  }
  return problems;
}

// The rows that the mapping selects from the backup against those of the new table, by the new table's key.
async function narrowMapped(
  table: CompiledTable,
  { production, backup, catalog }: Pair & { catalog: Catalog },
  {
    method,
    label,
    signal,
    searchPath,
    own,
  }: Pick<Narrowing, 'method' | 'label' | 'signal'> & Pick<Side, 'searchPath' | 'own'>,
): Promise<string> {
  const columns = filledColumns(table);
  const ownKey = await readPrimaryKey(production.client, table.target);
  const learnt = catalog.tables.find((item) => qualified(item) === qualified(table.target));
  const key = ownKey.length > 0 ? ownKey : (learnt?.primaryKey ?? []);
  // A key that the database fills by itself is not the mapping's: its rows can't be told apart by it.
  const isFilled = key.every((name) => table.columns.includes(name));
  const selects = table.sources.map((source) => `(${selectSql(source, table.columns)})`);
  if (selects.length === 0) selects.push(`(select * from ${qualified(table.target)} where false)`);
  return describeDifferingRows({
    method,
    label,
    signal,
    left: {
      url: table.sources.length > 0 ? backup.url : production.url,
      title: "the mapping's rows",
      from: `(${selects.join(' union all ')})`,
      searchPath,
      own,
    },
    right: { ...production, from: qualified(table.target), searchPath, own },
    columns,
    key: isFilled ? key : [],
  });
}

async function failedAssertions(
  client: Client,
  compiled: CompiledMapping,
  { schemas, own }: MappingSession,
): Promise<string[]> {
  const problems: string[] = [];
  for (const assertion of compiled.assertions) {
    await inTransaction(
      client,
      async () => {
        await client.query(`${settingOwn(own, 'local')} set local search_path = ${identifiers(schemas)}`);
        // Counted, not looked for with "limit 1": no row is expected, and a plan for the first row is slow to find none.
        const { rows } = await one<{ rows: string }>(
          client,
          `select count(*) as rows from (${assertion.sql.trim().replace(/;\s*$/, '')}
) as found`,
        );
        if (rows !== '0') problems.push(`the assertion "${assertion.name}" fails: it returned ${rows} rows`);
      },
      'begin read only',
    ).catch((error: unknown) => {
      if (!isStatementsFault(error))
        failWith(error, (why) => `The assertion "${assertion.name}" could not be read: ${why}.`);
      problems.push(`the assertion "${assertion.name}" could not be read: ${sentence(error)}`);
    });
  }
  return problems;
}

function tableReport(
  table: CompiledTable,
  expected: ReadonlyMap<string, TableHash>,
  found: ReadonlyMap<string, TableHash>,
): TableReport {
  const rowsOf = (index: number) => expected.get(sourceName(table, index))?.rows ?? 0;
  const base = table.sources.reduce(
    (sum, source, index) => (source.kind === 'base' ? sum + rowsOf(index) : sum),
    0,
  );
  return {
    table: readable(table.target),
    sourceRows: base,
    targetRows: found.get(qualified(table.target))?.rows ?? 0,
    origin: table.sources.map((source, index) => `${readable(source.table)} (${rowsOf(index)})`).join(' + '),
  };
}
