/** How many rows a mapping will write, known from the sealed backup before any of them is written. */
import type { Client } from 'pg';
import type { Manifest } from '../backup/manifest';
import { type CompiledMapping, type CompiledSource, fromSql } from '../mapping/compiled';
import { one, pin } from '../postgres/connect';
import { settingOwn, type MappingSession } from '../postgres/own-settings';
import { identifiers, qualified } from '../postgres/sql';

/** Rows of all new tables: a base select gives every sealed row once, extra rows are counted. */
export async function countNewRows(
  backup: Client,
  compiled: CompiledMapping,
  manifest: Manifest,
  { schemas, own }: MappingSession,
): Promise<number> {
  const sealed = new Map(manifest.tables.map((table) => [qualified(table), table.rows]));
  const rowsOf = async (source: CompiledSource) => {
    const known = source.kind === 'base' ? sealed.get(qualified(source.table)) : undefined;
    if (known !== undefined) return known;
    return Number((await one<{ rows: string }>(backup, `select count(*) as rows ${fromSql(source)}`)).rows);
  };
  await backup.query(`${settingOwn(own)} set search_path = ${identifiers(schemas)}`);
  let rows = 0;
  for (const source of compiled.tables.flatMap((table) => table.sources)) rows += await rowsOf(source);
  await pin(backup);
  return rows;
}
