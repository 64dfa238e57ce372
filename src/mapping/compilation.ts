/** What a compilation knows while it runs: its findings, the tables by name, and where source columns have gone. */
import type { EnumUse, Table } from '../postgres/catalog';
import { readable, type TableName } from '../postgres/sql';
import type { MappingInput } from './compiled';
import type { TableMapping } from './file';
import { findByKey, findSame } from './names';

/** What became of one source table. */
export interface SourceUse {
  /** Target tables that every one of its rows goes to. */
  bases: TableName[];
  /** Columns whose value reaches a target by name or in an expression. */
  carried: Set<string>;
  /** Columns that a same-named target column takes as they are, or reads in its expression. */
  kept: Map<string, 'copied' | 'read'>;
}

/** Values of one enum that arrive in a column of another (or the same-named, new) one. */
export interface EnumFlow {
  from: EnumUse;
  to: EnumUse;
  /** A column where it happens. */
  column: string;
}

export interface Compilation {
  input: MappingInput;
  findings: Set<string>;
  say: (sentence: string) => void;
  /** Entries of the mapping's `tables` by target table. */
  entries: Map<Table, TableMapping>;
  /** Source tables that are left behind as a whole, with the reason. */
  droppedTables: Map<Table, string>;
  /** Source columns that are left behind by name. */
  droppedColumns: Map<Table, Map<string, string>>;
  uses: Map<Table, SourceUse>;
  enumFlows: EnumFlow[];
  /** Source enum → the changes of its values. */
  enumChanges: (used: EnumUse) => Readonly<Record<string, string>>;
}

/** Resolves the names of a mapping; those that name nothing are findings. */
export function startCompilation(input: MappingInput): Compilation {
  const findings = new Set<string>();
  const say = (sentence: string) => void findings.add(sentence);
  const entries = new Map<Table, TableMapping>();
  const compilation: Compilation = {
    input,
    findings,
    say,
    entries,
    droppedTables: new Map(),
    droppedColumns: new Map(),
    uses: new Map(),
    enumFlows: [],
    enumChanges: (used) => {
      for (const [key, changes] of Object.entries(input.mapping.enums)) {
        if (findByKey([used], key, input.schemas).length > 0) return changes;
      }
      return {};
    },
  };
  for (const [key, entry] of Object.entries(input.mapping.tables)) {
    const table = findTable(compilation, 'target', key, `tables.${key}`);
    if (!table) continue;
    if (entries.has(table)) {
      say(`tables.${key} names the table ${readable(table)} a second time. Keep one entry.`);
    }
    entries.set(table, entry);
  }
  return compilation;
}

/** Tables that a mapping names: not partitions, whose rows belong to the partitioned table. */
export function topLevel(tables: readonly Table[]): Table[] {
  return tables.filter((table) => table.parent === null);
}

/** The table that a key of the mapping names; a finding when there is none. @param where the key's place in the file */
export function findTable(
  { input, say }: Compilation,
  side: 'source' | 'target',
  key: string,
  where: string,
): Table | null {
  const all = input[side].tables;
  const inSchema = side === 'source' ? 'Production' : 'The new schema';
  const found = findByKey(topLevel(all), key, input.schemas);
  if (found.length === 1 && found[0]) return found[0];
  if (found.length > 1) {
    say(`${where}: "${key}" names more than one table. Write the schema before the name.`);
    return null;
  }
  const parent = findByKey(all, key, input.schemas)[0]?.parent;
  if (parent) {
    say(`${where}: "${key}" is a partition of ${readable(parent)}. Name ${readable(parent)} instead.`);
    return null;
  }
  const meant = topLevel(all).find((table) => table.name.toLowerCase() === key.toLowerCase());
  const hint = meant ? ` Did you mean ${readable(meant)}?` : '';
  say(
    `${where}: ${inSchema} has no table "${key}" in the managed schemas.${hint} Correct the name or remove the entry.`,
  );
  return null;
}

/** The source table that fills a target by default. */
export function sameNamedSource({ input }: Compilation, target: TableName): Table | undefined {
  return findSame(topLevel(input.source.tables), target);
}

/** The notes about a source table, made when first asked for. */
export function useOf({ uses }: Compilation, table: Table): SourceUse {
  let use = uses.get(table);
  if (!use) {
    use = { bases: [], carried: new Set(), kept: new Map() };
    uses.set(table, use);
  }
  return use;
}
