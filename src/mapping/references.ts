/** What an SQL fragment of a mapping reads, and what in it could give another value the next time. */
import { columnOf, type Catalog, type Table } from '../postgres/catalog';
import { repeatabilityProblems } from './repeatable';
import { namesIn, nodes, textOf, typeOf, type Node } from './sql-text';

export interface References {
  /** Columns of the source row that it reads. */
  columns: Set<string>;
  /** Ends of sentences that begin with "It …": why the fragment is refused. */
  problems: string[];
  /** The column, if the fragment is nothing but one column of the source row. */
  bareColumn: string | null;
  /** It reads no row at all. */
  constant: boolean;
}

export interface Surroundings {
  source: Table;
  /** Tree of the join that stands beside the source. */
  join: Node | null;
  catalog: Catalog;
  schemas: readonly string[];
  volatileFunctions: ReadonlySet<string>;
}

/** One FROM clause: what it brings in under which names; null columns are not known. */
interface Scope {
  items: { name: string; columns: Set<string> | null }[];
  ctes: Set<string>;
}

const sourceName = 'source';

/** Finds what a fragment reads; a join's own tree is looked at when `tree` is that join. */
export function findReferences(tree: Node, around: Surroundings): References {
  const found: References = { columns: new Set(), problems: [], bareColumn: null, constant: true };
  found.problems.push(...repeatabilityProblems(tree, around.volatileFunctions));
  const outer: Scope = { items: [], ctes: new Set() };
  // What is wrong with the join itself is said once, by the join.
  const ofJoin = tree === around.join ? found : { ...found, problems: [] };
  addItems(outer, around.join ? [around.join] : [], [], around, ofJoin, true);
  visit(tree, [outer], around, found);
  found.bareColumn = bareColumn(tree, around.source);
  found.problems = [...new Set(found.problems)];
  return found;
}

function bareColumn(tree: Node, source: Table): string | null {
  const reference = tree.ColumnRef as Node | undefined;
  const names = namesIn(reference?.fields);
  const name =
    names.length === 2 && names[0] === sourceName ? names[1] : names.length === 1 ? names[0] : undefined;
  return name !== undefined && columnOf(source, name) ? name : null;
}

function visit(value: unknown, scopes: Scope[], around: Surroundings, found: References): void {
  if (Array.isArray(value)) {
    for (const item of value) visit(item, scopes, around, found);
    return;
  }
  if (value === null || typeof value !== 'object') return;
  for (const [key, child] of Object.entries(value as Node)) {
    const type = typeOf(key);
    const isSelect = type === 'SelectStmt' || ((key === 'larg' || key === 'rarg') && 'op' in (child as Node));
    if (isSelect) visitSelect(child as Node, scopes, around, found);
    else if (type === 'ColumnRef') resolve(namesIn((child as Node).fields), scopes, around, found);
    else visit(child, scopes, around, found);
  }
}

function visitSelect(select: Node, scopes: Scope[], around: Surroundings, found: References): void {
  found.constant = false;
  const scope: Scope = { items: [], ctes: new Set() };
  const ctes = nodes((select.withClause as Node | undefined)?.ctes);
  for (const cte of ctes) scope.ctes.add(textOf((cte.CommonTableExpr as Node).ctename));
  const inner = [scope, ...scopes];
  addItems(scope, nodes(select.fromClause), scopes, around, found, false);
  for (const [key, child] of Object.entries(select)) visit({ [key]: child }, inner, around, found);
}

function addItems(
  scope: Scope,
  from: Node[],
  outer: Scope[],
  around: Surroundings,
  found: References,
  atTop: boolean,
): void {
  for (const item of from) {
    const join = item.JoinExpr as Node | undefined;
    const table = item.RangeVar as Node | undefined;
    const select = item.RangeSubselect as Node | undefined;
    const alias = ((join ?? table ?? select ?? item.RangeFunction) as Node | undefined)?.alias as
      Node | undefined;
    const name = textOf(alias?.aliasname ?? table?.relname);
    if (atTop && table && name === sourceName && table.relname === 't') continue;
    if (name === sourceName)
      found.problems.push('gives the name "source" to something else than the source row');
    if (join) addItems(scope, [join.larg as Node, join.rarg as Node], outer, around, found, atTop);
    if (table) {
      const columns = columnsOfTable(table, [scope, ...outer], around, found);
      scope.items.push({ name, columns: alias?.colnames ? null : columns });
    } else if (select) {
      scope.items.push({ name, columns: alias?.colnames ? null : outputNames(select.subquery as Node) });
    } else if (!join || alias) {
      scope.items.push({ name, columns: null });
    }
  }
}

function columnsOfTable(
  table: Node,
  scopes: Scope[],
  around: Surroundings,
  found: References,
): Set<string> | null {
  const name = textOf(table.relname);
  const schema = table.schemaname === undefined ? null : textOf(table.schemaname);
  if (schema === null && scopes.some((scope) => scope.ctes.has(name))) return null;
  for (const candidate of schema === null ? around.schemas : [schema]) {
    const known = around.catalog.tables.find((item) => item.schema === candidate && item.name === name);
    if (known) return new Set(known.columns.map((column) => column.name));
  }
  found.problems.push(
    `reads "${schema === null ? '' : `${schema}.`}${name}", which is no table of the managed schemas (the backup holds nothing else)`,
  );
  return null;
}

// null when a name cannot be told from the text alone.
function outputNames(subquery: Node | undefined): Set<string> | null {
  const select = subquery?.SelectStmt as Node | undefined;
  if (!select?.targetList) return null;
  const names = new Set<string>();
  for (const item of nodes(select.targetList)) {
    const target = item.ResTarget as Node;
    const value = target.val as Node;
    const reference = value.ColumnRef as Node | undefined;
    const name = target.name ?? (reference ? namesIn(reference.fields).at(-1) : undefined);
    if (name === '*') return null;
    // Unnamed: PostgreSQL would name it after its function or type.
    if (name === undefined) return null;
    names.add(textOf(name));
  }
  return names;
}

function resolve(names: string[], scopes: Scope[], around: Surroundings, found: References): void {
  found.constant = false;
  const [first = '', second] = names;
  if (first === sourceName && second !== undefined) return useColumn(second, around, found, true);
  if (names.length > 1) return;
  if (first === sourceName && !columnOf(around.source, first)) return useColumn('*', around, found, true);
  if (first === '*') return;
  const inner = scopes.slice(0, -1);
  // Where a name may belong to an inner table it doesn't count as the source's: better refused than lost.
  if (inner.some((scope) => scope.items.some((item) => item.columns === null || item.columns.has(first))))
    return;
  if (inner.some((scope) => scope.items.some((item) => item.name === first))) return;
  const outer = scopes.at(-1)?.items ?? [];
  const elsewhere = outer.some(
    (item) => item.columns === null || item.columns.has(first) || item.name === first,
  );
  useColumn(first, around, found, !elsewhere);
}

function useColumn(name: string, { source }: Surroundings, found: References, must: boolean): void {
  if (name === '*') {
    for (const column of source.columns) found.columns.add(column.name);
  } else if (columnOf(source, name)) {
    found.columns.add(name);
  } else if (must && !['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid'].includes(name)) {
    const meant = source.columns.find((column) => column.name.toLowerCase() === name.toLowerCase());
    const hint = meant ? `; write it as source."${meant.name}"` : '';
    found.problems.push(`reads the column "${name}", which ${source.name} doesn't have${hint}`);
  }
}
