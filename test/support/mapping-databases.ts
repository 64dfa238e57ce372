/** Two databases for mapping tests: the old schema with rows, and the new one. */
import { Client } from 'pg';
import { compileMapping } from '../../src/mapping/compile';
import { parseMapping } from '../../src/mapping/file';
import { scanMapping, volatileFunctionNames, type Scan } from '../../src/mapping/scan';
import { readCatalog } from '../../src/postgres/catalog';
import { identifier, identifiers, qualified } from '../../src/postgres/sql';
import { createDatabase } from './environment';
import { selectSql, type CompiledMapping } from '../../src/mapping/compiled';

export interface MappingDatabases {
  source: Client;
  sourceUrl: string;
  target: Client;
  targetUrl: string;
  /** Empties both, gives each its schema, and compiles the mapping between them. */
  compile(before: string, after: string, mapping?: string, schemas?: string[]): Promise<CompiledMapping>;
  /** As `compile`, then the scan of the old rows; the mapping must compile. */
  scan(before: string, after: string, mapping?: string, schemas?: string[]): Promise<Scan>;
  /** As `compile`, then copies the rows; the mapping must compile. @returns a reader of the new rows */
  migrate(
    before: string,
    after: string,
    mapping?: string,
    schemas?: string[],
  ): Promise<(sql: string) => Promise<unknown[]>>;
  end(): Promise<void>;
}

export async function openMappingDatabases(): Promise<MappingDatabases> {
  const [old, fresh] = [await createDatabase('mapping_old'), await createDatabase('mapping_new')];
  const [source, target] = [old, fresh].map((database) => new Client({ connectionString: database.url })) as [
    Client,
    Client,
  ];
  await Promise.all([source.connect(), target.connect()]);

  async function compile(
    before: string,
    after: string,
    mapping = '',
    schemas = ['public'],
  ): Promise<CompiledMapping> {
    for (const [client, sql] of [
      [source, before],
      [target, after],
    ] as const) {
      await client.query('set client_min_messages = warning');
      for (const schema of new Set(['public', ...schemas])) {
        await client.query(
          `drop schema if exists ${identifier(schema)} cascade; create schema ${identifier(schema)}`,
        );
      }
      await client.query(sql);
    }
    const compiled = await compileMapping({
      mapping: parseMapping(mapping, 'mapping.yaml'),
      source: await readCatalog(source, schemas),
      target: await readCatalog(target, schemas),
      schemas,
      volatileFunctions: await volatileFunctionNames(source),
    });
    return JSON.parse(JSON.stringify(compiled)) as CompiledMapping;
  }

  async function sound(...args: Parameters<typeof compile>): Promise<CompiledMapping> {
    const compiled = await compile(...args);
    expect(compiled.findings).toEqual([]);
    return compiled;
  }

  return {
    source,
    sourceUrl: old.url,
    target,
    targetUrl: fresh.url,
    compile,
    scan: async (...args) => scanMapping(source, await sound(...args), args[3] ?? ['public']),
    migrate: async (...args) => {
      await copyRows(source, target, await sound(...args), args[3] ?? ['public']);
      return async (sql) => (await target.query({ text: sql, rowMode: 'array' })).rows as unknown[];
    },
    end: async () => {
      await Promise.all([source.end(), target.end()]);
      await Promise.all([old.drop(), fresh.drop()]);
    },
  };
}

// By text, as COPY would: every value is the text of the source's value, read by the target's type.
async function copyRows(
  source: Client,
  target: Client,
  compiled: CompiledMapping,
  schemas: string[],
): Promise<void> {
  const asText = { getTypeParser: () => (value: string) => value };
  await source.query(`set search_path = ${identifiers(schemas)}`);
  for (const table of compiled.tables) {
    for (const item of table.sources) {
      const { rows } = await source.query<(string | null)[]>({
        text: selectSql(item, table.columns, `source.ctid >= '(0,0)'`),
        rowMode: 'array',
        types: asText,
      });
      const places = table.types.map((_, index) => `$${index + 1}`).join(', ');
      for (const row of rows) {
        const insert = `insert into ${qualified(table.target)} (${identifiers(table.columns)}) overriding system value`;
        await target.query(`${insert} values (${places})`, row);
      }
    }
  }
  await source.query('reset search_path');
}
