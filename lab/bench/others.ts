/** What people use today, on the same server: pg_dump with pg_restore, psql pipes, pgcopydb, row by row upserts. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Client } from 'pg';
import { dropDatabase } from '../../src/postgres/databases';
import { compilePlan } from '../../src/migrate/plan';
import { withClient } from '../../src/postgres/connect';
import { dumpSchema, dumpSql } from '../../src/postgres/dump';
import { identifier, identifiers, qualified } from '../../src/postgres/sql';
import { databaseOf, otherDatabase } from '../../src/postgres/url';
import { runSchemaStep } from '../../src/new-schema/deploy';
import { seconds, type Bench } from './engine';
import { applyDdl } from '../../src/postgres/ddl';
import { majorVersion } from '../../src/postgres/versions';
import { stripPostData } from '../../src/migrate/strip';
import { selectSql } from '../../src/mapping/compiled';

/** `pg_dump -Fd -jN -Z0` and `pg_restore -jN` into a new database: seconds. */
export async function dumpAndRestore(bin: string, from: string, to: string): Promise<number> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-bench-'));
  const jobs = `-j${os.availableParallelism()}`;
  try {
    return await seconds(async () => {
      const files = path.join(folder, 'dump');
      await run(path.join(bin, 'pg_dump'), ['-Fd', jobs, '-Z0', '--schema=public', '-f', files, '-d', from]);
      await run(path.join(bin, 'pg_restore'), [jobs, '--clean', '--if-exists', '-d', to, files]);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `CREATE DATABASE … TEMPLATE` of a database nobody is in, by its files where the server can, removed again: seconds. */
export async function bareClone(from: string, to: string): Promise<number> {
  const taken = await withClient(otherDatabase(from, 'postgres'), 'bench', async (client) => {
    const strategy = (await majorVersion(client)) >= 15 ? ' strategy file_copy' : '';
    const statement = `create database ${identifier(databaseOf(to))} template ${identifier(databaseOf(from))}${strategy}`;
    return seconds(() => client.query(statement));
  });
  await dropDatabase(to, 'bench');
  return taken;
}

/** `pgcopydb clone` into a new database; null where it isn't installed. */
export async function pgcopydb(from: string, to: string): Promise<number | null> {
  if (spawnSync('pgcopydb', ['--version']).status !== 0) return null;
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-bench-'));
  const jobs = String(os.availableParallelism());
  try {
    return await seconds(() =>
      run('pgcopydb', [
        'clone',
        '--table-jobs',
        jobs,
        '--index-jobs',
        jobs,
        '--dir',
        folder,
        '--source',
        from,
        '--target',
        to,
      ]),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The mapping by one `psql` COPY pipe per table, keys and indexes rebuilt after: the floor for one connection. */
export async function psqlPipes({ plan, urls }: Bench, bin: string, to: string): Promise<number> {
  const { schemas } = plan.databases.production;
  const psql = path.join(bin, 'psql');
  return withClient(urls.backup, 'bench', (backup) =>
    withClient(to, 'bench', async (target) => {
      await runSchemaStep({ url: to, client: target }, plan, { key: 'bench' });
      const compiled = await compilePlan(plan, backup, target);
      return seconds(async () => {
        await stripPostData(target, schemas);
        for (const table of compiled.tables) {
          for (const source of table.sources) {
            const read = `set search_path = ${identifiers(schemas)}; copy (${selectSql(source, table.columns)}) to stdout`;
            const write = `copy ${qualified(table.target)} (${identifiers(table.columns)}) from stdin`;
            await pipe([psql, urls.backup, '-qc', read], [psql, to, '-qc', write]);
          }
        }
        const dump = await dumpSchema(urls.shadow, schemas, { owners: false });
        await applyDdl(target, dumpSql(dump, dump.post, await majorVersion(target)), 'keys');
        await target.query('analyze');
      });
    }),
  );
}

/** The mapping row by row: INSERT … ON CONFLICT DO UPDATE, each committed, as application scripts do. Rows per second. */
export async function upserts({ plan, urls }: Bench, to: string): Promise<{ rows: number; seconds: number }> {
  const { schemas } = plan.databases.production;
  return withClient(urls.backup, 'bench', (backup) =>
    withClient(to, 'bench', async (target) => {
      await runSchemaStep({ url: to, client: target }, plan, { key: 'bench' });
      await dropForeignKeys(target);
      const compiled = await compilePlan(plan, backup, target);
      await backup.query(`set search_path = ${identifiers(schemas)}`);
      let rows = 0;
      const taken = await seconds(async () => {
        for (const table of compiled.tables) {
          for (const source of table.sources) {
            const found = await backup.query<unknown[]>({
              text: asText(selectSql(source, table.columns), table.columns),
              rowMode: 'array',
            });
            const values = table.columns.map((_, index) => `$${index + 1}`).join(', ');
            const insert = `insert into ${qualified(table.target)} (${identifiers(table.columns)}) values (${values})`;
            const text = `${insert} on conflict ${await doUpdate(target, table.target, table.columns)}`;
            for (const row of found.rows) await target.query(text, row);
            rows += found.rows.length;
          }
        }
      });
      return { rows, seconds: taken };
    }),
  );
}

// What an ORM's upsert does: by the primary key, all columns set to the given values.
async function doUpdate(
  client: Client,
  table: { schema: string; name: string },
  columns: readonly string[],
): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    `select a.attname as name from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
     where i.indisprimary and i.indrelid = $1::regclass`,
    [qualified(table)],
  );
  if (rows.length === 0) return 'do nothing';
  const set = columns.map((column) => `${identifier(column)} = excluded.${identifier(column)}`).join(', ');
  return `(${identifiers(rows.map((row) => row.name))}) do update set ${set}`;
}

function asText(select: string, columns: readonly string[]): string {
  return `select ${columns.map((column) => `r.${identifier(column)}::text`).join(', ')} from (${select}) r`;
}

// Rows come table by table, and User and Organization point at each other.
async function dropForeignKeys(target: Client): Promise<void> {
  const { rows } = await target.query<{ sql: string }>(
    `select format('alter table %s drop constraint %I', conrelid::regclass, conname) as sql from pg_constraint where contype = 'f'`,
  );
  for (const { sql } of rows) await target.query(sql);
}

async function run(program: string, args: string[]): Promise<void> {
  await ended(spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] }), program);
}

async function pipe([reader = '', ...read]: string[], [writer = '', ...write]: string[]): Promise<void> {
  const source = spawn(reader, read, { stdio: ['ignore', 'pipe', 'inherit'] });
  const target = spawn(writer, write, { stdio: ['pipe', 'ignore', 'inherit'] });
  source.stdout.pipe(target.stdin);
  await Promise.all([ended(source, reader), ended(target, writer)]);
}

async function ended(child: ReturnType<typeof spawn>, program: string): Promise<void> {
  const code = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code !== 0) throw new Error(`${path.basename(program)} ended with code ${String(code)}.`);
}
