/** Preflight of single rows: PostgreSQL can't send one that is larger than a gigabyte, whatever the table's size. */
import type { Client } from 'pg';
import { isPortableBinary } from '../engine/row-hash';
import { codeOf } from '../errors';
import { readCatalog, type Column, type Table } from '../postgres/catalog';
import { one } from '../postgres/connect';
import { identifier, qualified, readable } from '../postgres/sql';

const mostBytes = 2 ** 30 - 2 ** 16;
// Compression makes at most about 250 bytes of one: smaller tables can't hold such a row.
const smallestTable = 2 ** 20;

/**
 * Sentences for tables with rows that COPY can't carry. Reads the tables that are large enough; long values keep their
 * compressed form where their length is known without it.
 * @param format `binary` where both servers are of one major version: tables without types of their own are copied so
 */
export async function findOversizedRows(
  production: Client,
  schemas: readonly string[],
  format: 'binary' | 'text',
): Promise<string[]> {
  const findings: string[] = [];
  const { tables } = await readCatalog(production, schemas);
  for (const table of tables.filter(
    ({ kind, bytes }) => !kind.startsWith('foreign') && bytes > smallestTable,
  )) {
    const isBinary =
      format === 'binary' &&
      table.columns.every(
        (column) => column.generated || isPortableBinary({ ...column, isEnum: column.enum?.array === false }),
      );
    const { rows } = await one<{ rows: string }>(
      production,
      `select count(*) as rows from only ${qualified(table)} t where ${rowBytes(table, { isBinary })} > ${mostBytes}`,
    ).catch((error: unknown) => {
      // A table that may not be read is a finding of its own.
      if (codeOf(error) !== '42501') throw error;
      return { rows: '0' };
    });
    if (rows === '0') continue;
    findings.push(
      `Table ${readable(table)} has ${rows} ${rows === '1' ? 'row' : 'rows'} of more than ${Math.floor(mostBytes / 1_000_000)} MB in COPY's ${isBinary ? 'binary' : 'text'} form, which PostgreSQL can't send. Split ${rows === '1' ? 'its' : 'their'} content over several rows, or move it out, before the run.`,
    );
  }
  return findings;
}

function rowBytes(table: Table, { isBinary }: { isBinary: boolean }): string {
  const long = table.columns.filter(
    (column) => !/^(smallint|integer|bigint|boolean|real|uuid|date|time)[^[]*$/.test(column.storageType),
  );
  // In text a byte of bytea takes two, and so may a character that COPY has to escape.
  const sizes = long.map((column) => `coalesce(${valueBytes(column)}, 0)::bigint${isBinary ? '' : ' * 2'}`);
  return sizes.join(' + ') || '0';
}

function valueBytes({ name, storageType }: Column): string {
  const value = `t.${identifier(name)}`;
  if (/^(bytea|text|character)[^[]*$/.test(storageType)) return `octet_length(${value})`;
  return `case when pg_column_size(${value}) > 1000000 then octet_length(${value}::text) else pg_column_size(${value}) end`;
}
