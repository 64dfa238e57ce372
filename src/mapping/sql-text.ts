/** SQL fragments of a mapping, proved by PostgreSQL's own parser to be one expression, one join or one query. */
import { hasSqlDetails, loadModule, parseSync, scanSync } from 'libpg-query';

/** A node of the parse tree as PostgreSQL's parser gives it: `{ FuncCall: { … } }` or a bare struct. */
export type Node = Record<string, unknown>;

/** A fragment without its comments, ready to stand inside other SQL, and its tree; or why it is none. */
export type Parsed = { sql: string; tree: Node } | { problem: string };

/** Loads the parser; needed once before anything else here. */
export const loadParser = loadModule;

/** Clauses that would make more of a fragment than it may be. */
const plainSelect = new Set(['targetList', 'limitOption', 'op', 'fromClause']);

/** Reads exactly one expression: no list, no second statement, no clause after it, no placeholder. */
export function parseExpression(text: string): Parsed {
  const sql = withoutComments(text);
  if (sql === null || sql === '') return { problem: sql === null ? unreadable(text) : 'it is empty' };
  // Bare, it must be the only item of a select; in parentheses, a whole: "all x" and "x) from t where (y" fail one of them.
  const bare = parseSelect(`select ${sql}`);
  if ('problem' in bare) return bare;
  const inside = parseSelect(`select (${sql})`);
  if ('problem' in inside) return { problem: 'it is more, or less, than one expression' };
  const [item, ...others] = nodes(bare.tree.targetList).map((target) => target.ResTarget as Node);
  const whole = item && others.length === 0 && !bare.tree.fromClause && onlyPlain(bare.tree);
  if (
    !whole ||
    item.name !== undefined ||
    nodes(inside.tree.targetList).length !== 1 ||
    !onlyPlain(inside.tree)
  ) {
    return { problem: 'it is more, or less, than one expression' };
  }
  return { sql, tree: item.val as Node };
}

/** Reads the joins that follow the source table; only inner, left and cross joins keep to its rows. */
export function parseJoin(text: string): Parsed {
  const sql = withoutComments(text);
  if (sql === null) return { problem: unreadable(text) };
  const parsed = parseSelect(`select 1 from only t as source ${sql}`);
  if ('problem' in parsed) return parsed;
  const [from, ...others] = nodes(parsed.tree.fromClause);
  if (others.length > 0 || !onlyPlain(parsed.tree)) return { problem: 'it holds more than joins' };
  let left = from;
  while (left?.JoinExpr) {
    const join = left.JoinExpr as Node;
    if (join.jointype === 'JOIN_RIGHT' || join.jointype === 'JOIN_FULL') {
      return { problem: 'a right or full join makes rows without a source row; use a left join' };
    }
    left = join.larg as Node;
  }
  const source = left?.RangeVar as Node | undefined;
  if (
    !from?.JoinExpr ||
    (source?.alias as Node | undefined)?.aliasname !== 'source' ||
    source?.relname !== 't'
  ) {
    return { problem: 'it must begin with join, left join or cross join' };
  }
  return { sql, tree: from };
}

/** Reads exactly one query that changes nothing. */
export function parseQuery(text: string): Parsed {
  const sql = withoutComments(text)?.replace(/(\s*;)+\s*$/, '') ?? null;
  if (sql === null) return { problem: unreadable(text) };
  const parsed = parseSelect(sql);
  if ('problem' in parsed) return { problem: parsed.problem };
  for (const [type, node] of walk({ SelectStmt: parsed.tree })) {
    if (/^(Insert|Update|Delete|Merge)Stmt$/.test(type)) return { problem: 'it changes rows' };
    if (node.intoClause || node.lockingClause) return { problem: 'it writes or locks rows' };
    if (type === 'ParamRef') return { problem: 'it has a placeholder' };
  }
  return { sql, tree: { SelectStmt: parsed.tree } };
}

/** Every typed node below (and with) a tree, parents first. */
function* walk(tree: unknown): Generator<[string, Node]> {
  if (Array.isArray(tree)) {
    for (const item of tree) yield* walk(item);
  } else if (tree !== null && typeof tree === 'object') {
    for (const [key, value] of Object.entries(tree)) {
      const type = typeOf(key);
      if (type && value !== null && typeof value === 'object') yield [type, value as Node];
      yield* walk(value);
    }
  }
}

/** The node type that a key of the tree stands for; the two sides of a union carry none of their own. */
export function typeOf(key: string): string | null {
  return /^[A-Z]/.test(key) ? key : null;
}

export function nodes(value: unknown): Node[] {
  return Array.isArray(value) ? (value as Node[]) : [];
}

/** The names in a list of String nodes, e.g. of a column reference; a star is `*`. */
export function namesIn(value: unknown): string[] {
  return nodes(value).map((node) => (node.A_Star ? '*' : textOf((node.String as Node | undefined)?.sval)));
}

/** A string in the tree; empty when there is none. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function parseSelect(sql: string): { tree: Node } | { problem: string } {
  try {
    const statements = parseSync(sql).stmts ?? [];
    const tree = (statements[0]?.stmt as Node | undefined)?.SelectStmt as Node | undefined;
    if (statements.length !== 1 || !tree) return { problem: 'it is not one expression or query' };
    return { tree };
  } catch (error) {
    return { problem: `PostgreSQL's parser says: ${message(error)}` };
  }
}

function onlyPlain(tree: Node): boolean {
  return Object.keys(tree).every((key) => plainSelect.has(key)) && tree.op === 'SETOP_NONE';
}

function message(error: unknown): string {
  if (hasSqlDetails(error)) return error.sqlDetails?.message ?? error.message;
  return error instanceof Error ? error.message : String(error);
}

function unreadable(text: string): string {
  try {
    parseSync(`select ${text}`);
    return "it holds a control character; write it as an escape, e.g. e'\\x01'";
  } catch (error) {
    return `PostgreSQL's parser says: ${message(error)}`;
  }
}

// A comment could swallow what follows the fragment once it stands inside other SQL.
function withoutComments(text: string): string | null {
  try {
    const bytes = Buffer.from(text);
    let result = '';
    let from = 0;
    for (const token of scanSync(text).tokens) {
      if (token.tokenName !== 'SQL_COMMENT' && token.tokenName !== 'C_COMMENT') continue;
      result += `${bytes.toString('utf8', from, token.start)} `;
      from = token.end;
    }
    return (result + bytes.toString('utf8', from)).trim();
  } catch {
    // The caller asks `unreadable` for the reason.
    return null;
  }
}
