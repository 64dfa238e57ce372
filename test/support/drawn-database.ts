/** Draws a database: a seed gives the SQL of one, with objects of all kinds, owners, grants, settings and rows. */
import { seededRandom } from '../../lab/soak/random';
import { identifier, literal } from '../../src/postgres/sql';
import {
  drawComments,
  drawFunctions,
  drawKeysAndIndexes,
  drawTriggersAndPolicies,
  drawViews,
} from './drawn-around';
import { drawnUser, owners, readers, Sketch, stranger } from './drawn-sketch';
import { drawSchemas, drawSequences, drawTables, drawTypes } from './drawn-tables';

export interface DrawnDatabase {
  /** By a superuser, in this order, each alone; one that this server refuses is left out. */
  statements: string[];
  /** The managed schemas. */
  schemas: string[];
}

/** @param draw its number under that seed, from 1 */
export function drawDatabase(seed: number, draw: number): DrawnDatabase {
  const sketch = new Sketch(seededRandom(seed * 100_003 + draw));
  // Neighbouring seeds begin alike.
  sketch.times(5, 5, () => sketch.random.next());
  sketch.add(`set role ${drawnUser}`);
  drawSchemas(sketch);
  drawTypes(sketch);
  drawSequences(sketch);
  drawFunctions(sketch);
  drawTables(sketch);
  drawKeysAndIndexes(sketch);
  drawViews(sketch);
  drawTriggersAndPolicies(sketch);
  drawComments(sketch);
  sketch.add('reset role');
  drawOwners(sketch);
  drawGrants(sketch);
  drawDefaultPrivileges(sketch);
  drawBeside(sketch);
  drawSettings(sketch);
  drawHindrances(sketch);
  return { statements: sketch.statements, schemas: sketch.schemas };
}

function drawOwners(sketch: Sketch): void {
  const others = sketch.some(owners, 0.4);
  for (const schema of sketch.schemas)
    for (const owner of others)
      sketch.add(`grant usage, create on schema ${identifier(schema)} to ${identifier(owner)}`);
  if (others.length === 0) return;
  for (const { kind, at } of sketch.some(sketch.objects, 0.3)) {
    const owner = identifier(sketch.random.pick(others));
    sketch.add(`alter ${kind} ${at} owner to ${owner}`);
  }
  if (sketch.chance(0.15)) {
    const schema = identifier(sketch.schema());
    sketch.add(`alter schema ${schema} owner to ${identifier(sketch.random.pick(others))}`);
    sketch.add(`grant usage, create on schema ${schema} to ${drawnUser}`);
  }
}

const wordsFor: Record<string, string> = { view: 'table', 'materialized view': 'table', domain: 'type' };
const privileges: Record<string, string[]> = {
  table: ['select', 'insert, update', 'all', 'references, trigger'],
  sequence: ['usage', 'all'],
  function: ['execute'],
  procedure: ['execute'],
  type: ['usage'],
};

function drawGrants(sketch: Sketch): void {
  for (const { kind, at, isGrantable } of sketch.some(sketch.objects, 0.35)) {
    if (!isGrantable) continue;
    const what = wordsFor[kind] ?? kind;
    const right = sketch.random.pick(privileges[what] ?? ['all']);
    const to = sketch.random.pick(['public', ...readers.map(identifier), ...owners.map(identifier)]);
    if (sketch.chance(0.15)) sketch.add(`revoke all on ${what} ${at} from public`);
    if (sketch.chance(0.08) && what === 'table') sketch.add(`revoke insert on table ${at} from current_user`);
    sketch.add(`grant ${right} on ${what} ${at} to ${to}`);
    // Another grantor: whom the owner let grant.
    if (!sketch.chance(0.3)) continue;
    const between = identifier(sketch.random.pick(owners));
    const last = sketch.random.pick([...readers.map(identifier), drawnUser]);
    sketch.add(
      `grant ${right} on ${what} ${at} to ${between} with grant option`,
      `set role ${between}`,
      `grant ${right} on ${what} ${at} to ${last}`,
      'reset role',
    );
  }
  for (const { at, columns } of sketch.tables.filter(() => sketch.chance(0.1))) {
    const column = identifier(sketch.random.pick(columns).name);
    sketch.add(
      `grant select (${column}), update (${column}) on ${at} to ${identifier(sketch.random.pick(readers))}`,
    );
  }
  for (const schema of sketch.some(sketch.schemas, 0.4))
    sketch.add(`grant usage on schema ${identifier(schema)} to ${identifier(sketch.random.pick(readers))}`);
}

function drawDefaultPrivileges(sketch: Sketch): void {
  sketch.times(0, 3, () => {
    const role = sketch.random.pick([drawnUser, drawnUser, ...owners.map(identifier), stranger]);
    const where = sketch.chance(0.6) ? ` in schema ${identifier(sketch.schema())}` : '';
    const to = sketch.random.pick(['public', ...readers.map(identifier)]);
    const what = sketch.random.pick([
      `grant select on tables to ${to}`,
      `grant all on sequences to ${to}`,
      `grant execute on functions to ${to}`,
      `grant usage on types to ${to}`,
      ...(where ? [] : ['revoke execute on functions from public', 'revoke usage on types from public']),
    ]);
    sketch.add(`alter default privileges for role ${role}${where} ${what}`);
  });
}

// What no managed schema holds, and a run leaves where it is.
function drawBeside(sketch: Sketch): void {
  if (sketch.chance(0.2)) {
    const schema = identifier(sketch.name());
    sketch.add(
      `create schema ${schema}`,
      `create table ${schema}.kept (id integer primary key, note text default ${sketch.text()})`,
      `insert into ${schema}.kept select n, 'n' || n from generate_series(1, 5) n`,
    );
  }
  if (sketch.chance(0.15)) {
    const name = identifier(sketch.name());
    sketch.add(
      'create schema audit',
      `create function audit.watch() returns event_trigger language plpgsql as $f$ begin notify drawn; end $f$`,
      `create event trigger ${name} on ${sketch.random.pick(['ddl_command_end', 'sql_drop', 'ddl_command_start'])} execute function audit.watch()`,
    );
  }
  if (sketch.chance(0.1)) sketch.add(`create publication ${identifier(sketch.name())} for all tables`);
  if (sketch.chance(0.1)) sketch.add(`select lo_from_bytea(0, 'large'::bytea)`);
  if (sketch.chance(0.1)) sketch.add(inDatabase(`comment on database %I is ${sketch.text()}`));
  if (sketch.chance(0.2)) sketch.add(inDatabase(`grant connect, temporary on database %I to ${readers[0]}`));
}

const settings = [
  `TimeZone = 'America/New_York'`,
  `TimeZone = 'Asia/Kathmandu'`,
  `DateStyle = 'SQL, DMY'`,
  `DateStyle = 'German'`,
  `IntervalStyle = 'sql_standard'`,
  'quote_all_identifiers = on',
  'array_nulls = off',
  'standard_conforming_strings = off',
  `client_encoding = 'LATIN1'`,
  `bytea_output = 'escape'`,
  'extra_float_digits = -5',
  'transform_null_equals = on',
  'check_function_bodies = off',
  `xmloption = 'document'`,
  `xmlbinary = 'hex'`,
  'row_security = off',
  `search_path = '', extensions`,
  `search_path = pg_catalog, public`,
  `default_transaction_isolation = 'serializable'`,
  'default_transaction_deferrable = on',
  `statement_timeout = '5min'`,
  `lock_timeout = '1min'`,
  `idle_in_transaction_session_timeout = '1min'`,
  `default_text_search_config = 'pg_catalog.german'`,
  `default_toast_compression = 'pglz'`,
  `lc_numeric = 'C'`,
  `backslash_quote = on`,
  `synchronous_commit = off`,
  `client_min_messages = 'debug1'`,
  'enable_seqscan = off',
  'enable_indexscan = off',
  `plan_cache_mode = 'force_generic_plan'`,
  `default_statistics_target = 1`,
  `"drawn.tenant" = 'it''s "mine"'`,
  `timezone_abbreviations = 'India'`,
  'exit_on_error = off',
];

function drawSettings(sketch: Sketch): void {
  const wanted = sketch.some(settings, 0.08);
  for (const setting of wanted) {
    const whose = sketch.random.pick([
      'alter database %I set ',
      'alter database %I set ',
      `alter role ${drawnUser} in database %I set `,
      `alter role ${readers[0]} in database %I set `,
    ]);
    sketch.add(inDatabase(`${whose}${setting}`));
  }
}

// Now and then what preflight is to find, and a run would stumble over.
function drawHindrances(sketch: Sketch): void {
  if (!sketch.chance(0.1)) return;
  const table = sketch.table('table')?.at ?? '';
  sketch.add(
    sketch.random.pick([
      `alter table ${table} owner to ${stranger}`,
      `alter table ${table} force row level security`,
      `alter table ${table} set unlogged`,
      `create publication listed for table ${table}`,
      `create view extensions.outside as select * from ${table}`,
    ]),
  );
}

// DDL takes no expression where the database's name stands.
function inDatabase(sql: string): string {
  return `do $do$ begin execute format(${literal(sql.replaceAll('%s', '%%s'))}, current_database()); end $do$`;
}
