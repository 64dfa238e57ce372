/** How a mapping names tables and enums: by name in the first managed schema, or as `schema.name`. */
import { readable, type TableName } from '../postgres/sql';

/** The key a mapping would use, e.g. for messages. */
export function keyFor(name: TableName, schemas: readonly string[]): string {
  return name.schema === schemas[0] ? name.name : `${name.schema}.${name.name}`;
}

/** Finds what a key of the mapping names: one thing, none, or more than one (a dot in a name). */
export function findByKey<T extends TableName>(
  items: readonly T[],
  key: string,
  schemas: readonly string[],
): T[] {
  return items.filter(
    (item) => (item.schema === schemas[0] && item.name === key) || `${item.schema}.${item.name}` === key,
  );
}

/** The thing of the same schema and name. */
export function findSame<T extends TableName>(items: readonly T[], name: TableName): T | undefined {
  return items.find((item) => item.schema === name.schema && item.name === name.name);
}

/** `User.name`, as people read it. */
export function columnName(table: TableName, column: string): string {
  return `${readable(table)}.${column}`;
}
