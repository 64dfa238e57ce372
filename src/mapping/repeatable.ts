/** Why an expression might not give the same value twice, or not one value per row: found in its parse tree. */
import { namesIn, nodes, typeOf, type Node } from './sql-text';

/** Stable within a statement, yet dependent on the moment, the session or the server. */
const dependsOnSession = new Set(
  `now statement_timestamp transaction_timestamp clock_timestamp timeofday random gen_random_uuid nextval currval lastval
   current_user session_user user current_role current_database current_catalog current_schema current_schemas
   current_setting set_config pg_backend_pid version txid_current txid_current_if_assigned txid_current_snapshot txid_status
   pg_current_xact_id pg_current_xact_id_if_assigned pg_current_snapshot pg_postmaster_start_time pg_conf_load_time
   inet_client_addr inet_client_port inet_server_addr inet_server_port pg_my_temp_schema
   pg_current_wal_lsn pg_is_in_recovery pg_last_xact_replay_timestamp`.split(/\s+/),
);
const systemColumns = new Set(['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid']);
const orderedAggregates =
  /^(array_agg|string_agg|(json|jsonb|xml)(_object)?_?agg(_strict|_unique|_unique_strict)?)$/;
const aggregates =
  /^(count|sum|avg|min|max|bool_and|bool_or|every|bit_and|bit_or|bit_xor|stddev|variance|any_value)$/;
const orderedWindows = /^(row_number|ntile|lag|lead|first_value|last_value|nth_value)$/;
const dateTypes = /^(date|time|timetz|timestamp|timestamptz)$/;
const movingDates = /^\s*(now|today|tomorrow|yesterday)\s*$/i;

interface Place {
  /** Inside a sub-select: aggregates and windows there don't run over the driving rows. */
  nested: boolean;
  /** Directly inside `exists (…)`: which row it finds is all the same. */
  inExists: boolean;
}

/** Ends of sentences that begin with "It …"; empty when the fragment is repeatable. */
export function repeatabilityProblems(tree: Node, volatileFunctions: ReadonlySet<string>): string[] {
  const problems: string[] = [];
  look(tree, { nested: false, inExists: false });
  return problems;

  function look(value: unknown, place: Place): void {
    if (Array.isArray(value)) {
      for (const item of value) look(item, place);
      return;
    }
    if (value === null || typeof value !== 'object') return;
    for (const [key, child] of Object.entries(value as Node)) {
      if (child === null || typeof child !== 'object') continue;
      const node = child as Node;
      const type = typeOf(key);
      let within = place;
      if (type === 'FuncCall') callProblems(node, place);
      else if (type === 'SQLValueFunction') problems.push(notRepeatable(`${valueFunction(node)}`));
      else if (type === 'ParamRef') problems.push('has a placeholder ($1), which nothing fills');
      else if (type === 'ColumnRef') columnProblems(node);
      else if (type === 'TypeCast') castProblems(node);
      else if (type === 'RangeTableSample') problems.push(notRepeatable('tablesample'));
      else if (type === 'SubLink') {
        within = { nested: place.nested, inExists: node.subLinkType === 'EXISTS_SUBLINK' };
        const select = (node.subselect as Node | undefined)?.SelectStmt as Node | undefined;
        if (node.subLinkType === 'ARRAY_SUBLINK' && select && !select.sortClause) {
          problems.push('makes an array of a query without order by, so its order may differ the next time');
        }
      } else if (type === 'SelectStmt' || 'targetList' in node) {
        selectProblems(node, place);
        within = { nested: true, inExists: false };
      }
      look(child, within);
    }
  }

  function callProblems(call: Node, place: Place): void {
    const name = namesIn(call.funcname).at(-1) ?? '';
    if (volatileFunctions.has(name) || dependsOnSession.has(name)) problems.push(notRepeatable(`${name}()`));
    // With one argument age() counts from today.
    if (name === 'age' && nodes(call.args).length === 1)
      problems.push(notRepeatable('age() of one argument'));
    const ordered = call.agg_order !== undefined;
    if (orderedAggregates.test(name) && !ordered && !call.over) {
      problems.push(`calls ${name}() without order by inside it, so its order may differ the next time`);
    }
    const over = call.over as Node | undefined;
    if (over && orderedWindows.test(name) && !over.orderClause && !over.name) {
      problems.push(`calls ${name}() over rows without an order, which may differ the next time`);
    }
    if (place.nested) return;
    if (over)
      problems.push(
        `calls the window function ${name}() over the source rows, which are read in parts; put it into a sub-select`,
      );
    const marks =
      call.agg_star ?? call.agg_distinct ?? call.agg_filter ?? call.agg_within_group ?? call.agg_order;
    if (!over && (marks || aggregates.test(name) || orderedAggregates.test(name))) {
      problems.push(
        `calls the aggregate ${name}() over the source rows, which are read in parts; put it into a sub-select`,
      );
    }
  }

  function columnProblems(reference: Node): void {
    const name = namesIn(reference.fields).at(-1) ?? '';
    if (systemColumns.has(name))
      problems.push(`reads the system column ${name}, which differs on the backup`);
  }

  function castProblems(cast: Node): void {
    const type = namesIn((cast.typeName as Node | undefined)?.names).at(-1) ?? '';
    const text = constantText(cast.arg as Node | undefined);
    if (dateTypes.test(type) && text !== null && isMovingDate(text))
      problems.push(notRepeatable(`'${text}'`));
  }

  function selectProblems(select: Node, place: Place): void {
    if (!place.inExists && (select.limitCount ?? select.limitOffset) && !select.sortClause) {
      problems.push('has limit or offset without order by, so it may find another row the next time');
    }
    const on = nodes(select.distinctClause).some((item) => Object.keys(item).length > 0);
    if (on && !select.sortClause) {
      problems.push('has distinct on without order by, so it may find another row the next time');
    }
    if (select.lockingClause) problems.push('locks rows');
    if (select.intoClause) problems.push('writes a table');
  }
}

/** True for the words that a date or time type reads as the present. */
export function isMovingDate(text: string): boolean {
  return movingDates.test(text);
}

/** The text of a string constant. */
export function constantText(node: Node | undefined): string | null {
  const constant = node?.A_Const as Node | undefined;
  const text = (constant?.sval as Node | undefined)?.sval;
  return typeof text === 'string' ? text : null;
}

function notRepeatable(what: string): string {
  return `uses ${what}, which gives another value the next time`;
}

function valueFunction(node: Node): string {
  return String(node.op)
    .replace(/^SVFOP_/, '')
    .replace(/_N$/, '')
    .toLowerCase();
}
