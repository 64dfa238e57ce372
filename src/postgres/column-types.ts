/** Column types as SQL writes them, with domains seen through: what a value is stored as, and whether it is an enum. */
import type { ClientBase } from 'pg';

/** An enum column, an array of an enum, or a domain over either. */
export interface EnumUse {
  schema: string;
  name: string;
  array: boolean;
}

export interface ColumnShape {
  /** As `format_type` writes it under an empty search_path: exact, with length or precision. */
  type: string;
  /** `type` with domains replaced by what they stand for. */
  storageType: string;
  /** `storageType` without length or precision. */
  baseType: string;
  enum: EnumUse | null;
}

export interface TypeUse {
  typeOid: number;
  typmod: number;
}

export interface ResolvedType extends ColumnShape {
  domainNotNull: boolean;
  domainDefault: string | null;
}

interface TypeRow {
  oid: number;
  schema: string;
  name: string;
  kind: string;
  base: number;
  baseTypmod: number;
  element: number;
  arrayOid: number;
  notNull: boolean;
  default: string | null;
}

/**
 * Reads the types that columns use.
 * @returns a function that answers for each of the given uses
 */
export async function readColumnTypes(
  client: ClientBase,
  uses: readonly TypeUse[],
): Promise<(use: TypeUse) => ResolvedType> {
  const types = await readTypes(client);
  const resolved = new Map<string, Storage>();
  for (const use of uses) resolved.set(keyOf(use), seeThrough(types, use));
  const written = await formatTypes(
    client,
    [...resolved].flatMap(([key, { storage }]) => [
      parseKey(key),
      storage,
      { typeOid: storage.typeOid, typmod: -1 },
    ]),
  );
  return (use) => {
    const { storage, notNull, default: expression } = resolved.get(keyOf(use)) ?? seeThrough(types, use);
    const text = (wanted: TypeUse) => written.get(keyOf(wanted)) ?? '';
    return {
      type: text(use),
      storageType: text(storage),
      baseType: text({ typeOid: storage.typeOid, typmod: -1 }),
      enum: enumUse(types, storage.typeOid),
      domainNotNull: notNull,
      domainDefault: expression,
    };
  };
}

/** How PostgreSQL writes types; a typmod of -1 means without length or precision, in a form that a cast understands. */
async function formatTypes(client: ClientBase, uses: readonly TypeUse[]): Promise<Map<string, string>> {
  const { rows } = await client.query<{ typeOid: number; typmod: number; text: string }>(
    `select u.oid as "typeOid", u.typmod, format_type(u.oid, u.typmod) as text
     from unnest($1::oid[], $2::int[]) as u(oid, typmod)`,
    [uses.map((use) => use.typeOid), uses.map((use) => use.typmod)],
  );
  return new Map(rows.map((row) => [keyOf(row), row.text]));
}

function keyOf({ typeOid, typmod }: TypeUse): string {
  return `${typeOid} ${typmod}`;
}

function parseKey(key: string): TypeUse {
  const [typeOid, typmod] = key.split(' ').map(Number);
  return { typeOid: typeOid ?? 0, typmod: typmod ?? -1 };
}

async function readTypes(client: ClientBase): Promise<Map<number, TypeRow>> {
  const { rows } = await client.query<TypeRow>(
    `select t.oid, n.nspname as schema, t.typname as name, t.typtype as kind,
       t.typbasetype as base, t.typtypmod as "baseTypmod",
       case when t.typcategory = 'A' and t.typlen = -1 then t.typelem else 0::oid end as element,
       t.typarray as "arrayOid", t.typnotnull as "notNull", t.typdefault as default
     from pg_type t join pg_namespace n on n.oid = t.typnamespace`,
  );
  return new Map(rows.map((row) => [row.oid, row]));
}

interface Storage {
  storage: TypeUse;
  notNull: boolean;
  default: string | null;
}

function seeThrough(types: Map<number, TypeRow>, use: TypeUse): Storage {
  let { typeOid, typmod } = use;
  let notNull = false;
  let expression: string | null = null;
  for (let type = types.get(typeOid); type?.kind === 'd'; type = types.get(typeOid)) {
    notNull ||= type.notNull;
    expression ??= type.default;
    typmod = type.baseTypmod;
    typeOid = type.base;
  }
  const element = types.get(types.get(typeOid)?.element ?? 0);
  if (element?.kind === 'd') {
    const inner = seeThrough(types, { typeOid: element.oid, typmod: -1 }).storage;
    const array = types.get(inner.typeOid)?.arrayOid;
    // An array over a domain of arrays has no plain array type; it stays what it is.
    if (array) return { storage: { typeOid: array, typmod: inner.typmod }, notNull, default: expression };
  }
  return { storage: { typeOid, typmod }, notNull, default: expression };
}

function enumUse(types: Map<number, TypeRow>, oid: number): EnumUse | null {
  const type = types.get(oid);
  if (type?.kind === 'e') return { schema: type.schema, name: type.name, array: false };
  const element = types.get(type?.element ?? 0);
  return element?.kind === 'e' ? { schema: element.schema, name: element.name, array: true } : null;
}
