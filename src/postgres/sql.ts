/** The one place where identifiers and literals are quoted. */
import { escapeIdentifier, escapeLiteral } from 'pg';

export interface TableName {
  schema: string;
  name: string;
}

export const identifier = escapeIdentifier;
export const literal = escapeLiteral;

/** `"schema"."name"`, safe in SQL. */
export function qualified(table: TableName): string {
  return `${identifier(table.schema)}.${identifier(table.name)}`;
}

/** `name` for schema public, else `schema.name`: how people read it. */
export function readable(table: TableName): string {
  return table.schema === 'public' ? table.name : `${table.schema}.${table.name}`;
}

/** A list of quoted identifiers for a column list. */
export function identifiers(names: readonly string[]): string {
  return names.map(identifier).join(', ');
}
