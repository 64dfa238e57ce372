/** What a mapping leaves behind by name, and the proof that nothing else of the source is left behind. */
import { columnOf, storageOf, type Table } from '../postgres/catalog';
import { identifier, qualified, readable, type TableName } from '../postgres/sql';
import { findTable, sameNamedSource, topLevel, useOf, type Compilation } from './compilation';
import type { DropSpec } from './compiled';
import { columnName, keyFor } from './names';

/** Reads `drop` and `filledBySchema`; what they say of single tables and columns is noted in the compilation. */
export function compileDrops(compilation: Compilation): { drops: DropSpec[]; filledBySchema: TableName[] } {
  const { mapping } = compilation.input;
  const drops: DropSpec[] = [];
  for (const [key, reason] of Object.entries(mapping.drop.tables)) {
    const where = `drop.tables.${key}`;
    const table = findTable(compilation, 'source', key, where);
    needReason(compilation, where, reason);
    if (!table) continue;
    compilation.droppedTables.set(table, reason);
    drops.push(...tableDrops(compilation, table, reason));
  }
  for (const [key, columns] of Object.entries(mapping.drop.columns)) {
    const table = findTable(compilation, 'source', key, `drop.columns.${key}`);
    for (const [column, reason] of Object.entries(columns)) {
      const where = `drop.columns.${key}.${column}`;
      needReason(compilation, where, reason);
      if (!table) continue;
      if (!columnOf(table, column)) {
        compilation.say(
          `${where}: production's ${readable(table)} has no column "${column}". Correct the name or remove the drop.`,
        );
        continue;
      }
      const known = compilation.droppedColumns.get(table) ?? new Map<string, string>();
      compilation.droppedColumns.set(table, known.set(column, reason));
      drops.push(columnDrop(table, column, reason));
    }
  }
  return { drops, filledBySchema: compileFilled(compilation, drops) };
}

function compileFilled(compilation: Compilation, drops: DropSpec[]): TableName[] {
  const { say, input, entries, droppedTables } = compilation;
  return Object.entries(input.mapping.filledBySchema).flatMap(([key, reason]) => {
    const where = `filledBySchema.${key}`;
    needReason(compilation, where, reason);
    const target = findTable(compilation, 'target', key, where);
    if (!target) return [];
    if (entries.has(target)) {
      say(`${where}: tables.${key} says how to fill the same table. Keep one of the two.`);
    }
    const source = sameNamedSource(compilation, target);
    if (source && !droppedTables.has(source)) {
      droppedTables.set(source, reason);
      drops.push(...tableDrops(compilation, source, reason));
    }
    return [{ schema: target.schema, name: target.name }];
  });
}

/** Adds a finding for every source table and column that goes nowhere; call it when all tables are compiled. */
export function explainSources(compilation: Compilation): void {
  const { input, say, droppedTables, droppedColumns } = compilation;
  for (const table of topLevel(input.source.tables)) {
    const { bases, carried, kept } = useOf(compilation, table);
    const key = keyFor(table, input.schemas);
    for (const leaf of storageOf(input.source, table)) {
      if (leaf.kind === 'foreign-leaf' && !droppedTables.has(table)) {
        say(
          `${readable(leaf)}, a partition of ${readable(table)}, keeps its rows on another server, which a run does not copy. Detach it first.`,
        );
      }
    }
    if (droppedTables.has(table)) {
      for (const target of bases) {
        say(
          `${readable(table)} is both dropped and copied to ${readable(target)}. Remove drop.tables.${key}, or fill ${readable(target)} by rows.`,
        );
      }
      continue;
    }
    if (bases.length === 0) {
      say(
        `Table ${readable(table)} of production goes nowhere: the new schema has no table of that name, and no "from" of the mapping takes all its rows. Name it as the "from" of a new table, or say why it is left behind: drop: { tables: { ${key}: reason } }.`,
      );
      continue;
    }
    const dropped = droppedColumns.get(table);
    for (const { name } of table.columns) {
      if (dropped?.has(name)) {
        const how = kept.get(name);
        if (how === 'copied') {
          say(
            `${columnName(table, name)} is both dropped and copied to the column of that name. Remove drop.columns.${key}.${name}, or give the new column an expression.`,
          );
        } else if (how === 'read') {
          say(
            `${columnName(table, name)} is both dropped and read by the expression of the column of that name. Remove drop.columns.${key}.${name}.`,
          );
        }
      } else if (!carried.has(name)) {
        say(
          `Column ${columnName(table, name)} of production goes nowhere: no new column takes its value. Use it in an expression as source.${identifier(name)}, or say why it is left behind: drop: { columns: { ${key}: { ${name}: reason } } }.`,
        );
      }
    }
  }
}

function needReason({ say }: Compilation, where: string, reason: string): void {
  if (reason.trim() === '')
    say(`${where} has no reason. Say why it may go: the person who approves reads it.`);
}

function tableDrops({ input }: Compilation, table: Table, reason: string): DropSpec[] {
  return storageOf(input.source, table).map((stored) => ({
    what: stored === table ? readable(table) : `${readable(table)} (partition ${readable(stored)})`,
    reason,
    countSql: `select count(*) as rows from only ${qualified(stored)}`,
    table: qualified(stored),
    column: null,
  }));
}

function columnDrop(table: Table, column: string, reason: string): DropSpec {
  const only = table.kind === 'partitioned' ? '' : 'only ';
  return {
    what: columnName(table, column),
    reason,
    countSql: `select count(${identifier(column)}) as rows from ${only}${qualified(table)}`,
    table: null,
    column: { table: { schema: table.schema, name: table.name }, name: column },
  };
}
