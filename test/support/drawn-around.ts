/** What stands around the tables of a drawn database: functions, keys, indexes, views, triggers, rules, policies and the like. */
import { identifier, literal } from '../../src/postgres/sql';
import type { DrawnTable, Sketch } from './drawn-sketch';

/** Functions of every kind, operators, aggregates, text search, conversions. */
export function drawFunctions(sketch: Sketch): void {
  sketch.times(1, 4, () => {
    const { at } = sketch.place();
    const says = sketch.text();
    const kinds = [
      `create function ${at}(integer) returns integer language sql immutable as $f$ select $1 + 1 $f$`,
      `create function ${at}(a integer, out b integer, out c text) language plpgsql as $f$ begin b := a; c := ${says}; end $f$`,
      `create function ${at}(a text default ${says}, variadic rest text[] default '{}') returns text language sql stable parallel safe cost 7 as $f$ select $1 $f$`,
      `create function ${at}(n integer) returns table (x integer, y text) language sql security definer set search_path = '' set work_mem = '8MB' rows 5
         as $f$ select n, 'y' $f$`,
      `create function ${at}(a integer) returns integer language sql begin atomic select a * 2; end`,
      `create procedure ${at}(inout a integer) language plpgsql as $f$ begin a := a + 1; end $f$`,
    ];
    const sql = sketch.random.pick(kinds);
    sketch.add(sql);
    const isProcedure = sql.startsWith('create procedure');
    sketch.made(isProcedure ? 'procedure' : 'function', at);
  });
  const trigger = sketch.place().at;
  sketch.add(
    `create function ${trigger}() returns trigger language plpgsql as $f$ begin /* ${sketch.random.pick(['--', '\\restrict x', ''])} */ return new; end $f$`,
  );
  sketch.made('function', `${trigger}()`);
  sketch.functions.push({ at: trigger, trigger: true });
  if (sketch.chance(0.3)) drawAggregateAndOperator(sketch);
  if (sketch.chance(0.25)) drawTextSearch(sketch);
  if (sketch.chance(0.1))
    sketch.add(`create conversion ${sketch.place().at} for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8`);
}

function drawAggregateAndOperator(sketch: Sketch): void {
  const [step, aggregate, schema] = [sketch.place().at, sketch.place().at, identifier(sketch.schema())];
  sketch.add(
    `create function ${step}(text, text) returns text language sql immutable as $f$ select coalesce($1, '') || coalesce($2, '') $f$`,
    `create aggregate ${aggregate}(text) (sfunc = ${step}, stype = text, initcond = '')`,
    `create operator ${schema}.|%| (leftarg = text, rightarg = text, function = ${step})`,
  );
  sketch.made('function', `${step}(text, text)`);
  sketch.made('aggregate', `${aggregate}(text)`, false);
  sketch.made('operator', `${schema}.|%| (text, text)`, false);
}

function drawTextSearch(sketch: Sketch): void {
  const [dictionary, configuration] = [sketch.place().at, sketch.place().at];
  sketch.add(
    `create text search dictionary ${dictionary} (template = simple, stopwords = english)`,
    `create text search configuration ${configuration} (copy = simple)`,
    `alter text search configuration ${configuration} alter mapping for asciiword with ${dictionary}, simple`,
  );
  sketch.made('text search dictionary', dictionary, false);
  sketch.made('text search configuration', configuration, false);
}

export function drawKeysAndIndexes(sketch: Sketch): void {
  for (const table of sketch.tables) {
    if (sketch.chance(0.35)) drawForeignKey(sketch, table);
    sketch.times(0, 2, () => drawIndex(sketch, table));
    if (sketch.chance(0.15) && table.columns.length > 1) {
      const at = sketch.place().at;
      const [a, b] = table.columns.map(({ name }) => identifier(name));
      sketch.add(`create statistics ${at} (dependencies, ndistinct) on ${a}, ${b} from ${table.at}`);
      sketch.made('statistics', at, false);
    }
  }
}

function drawForeignKey(sketch: Sketch, table: DrawnTable): void {
  const target = sketch.table('table');
  const key = target && sketch.column(target, ({ isKey }) => isKey === true);
  if (!target || !key || target.rows === 0) return;
  const name = sketch.name();
  const how = sketch
    .some([' on delete cascade', ' on update set null', ' deferrable initially deferred'], 0.3)
    .join('');
  const late = sketch.chance(0.2) ? ' not valid' : '';
  sketch.add(
    `alter table ${table.at} add column ${identifier(name)} integer`,
    `update ${table.at} set ${identifier(name)} = 1`,
    `alter table ${table.at} add constraint ${identifier(sketch.name())} foreign key (${identifier(name)}) references ${target.at} (${identifier(key.name)})${how}${late}`,
  );
}

function drawIndex(sketch: Sketch, table: DrawnTable): void {
  const column = sketch.random.pick(table.columns);
  const [name, at, of] = [identifier(sketch.name()), table.at, identifier(column.name)];
  const { isOrdered, index } = column.type;
  const key = identifier(table.columns.find(({ isKey }) => isKey)?.name ?? column.name);
  const ordered = [
    `create index ${name} on ${at} (${of} desc nulls last) with (fillfactor = 80)`,
    `create index ${name} on ${at} using hash (${of})`,
    `create index ${name} on ${at} using brin (${key})`,
    `create index ${name} on ${at} ((${key} + 1), ${of}) include (${key}) where ${key} > 3`,
    `create unique index ${name} on ${at} (${key}, ${of})`,
    `create index ${name} on ${at} (${of}) where ${key} in (1, 2, 3)`,
  ];
  const others = [`create index ${name} on ${at} using ${index} (${of})`];
  sketch.add(
    sketch.random.pick(index && sketch.chance(0.6) ? others : isOrdered ? ordered : ordered.slice(2, 3)),
  );
  if (sketch.chance(0.1)) sketch.add(`alter table ${at} replica identity full`);
  if (sketch.chance(0.1)) sketch.add(`alter table ${at} cluster on ${name}`);
}

export function drawViews(sketch: Sketch): void {
  sketch.times(0, 3, () => {
    const from = sketch.table();
    if (!from) return;
    const place = sketch.place();
    const [first] = from.columns;
    const key = identifier(first?.name ?? '');
    const named = sketch.name();
    const columns = [{ name: named, type: { sql: 'text', value: '', isOrdered: true } }];
    const drawn = (kind: DrawnTable['kind']): DrawnTable => ({ ...place, columns, rows: 0, kind });
    if (sketch.chance(0.4)) {
      const filled = sketch.chance(0.8);
      sketch.add(
        `create materialized view ${place.at} as select ${key}::text as ${identifier(named)}, count(*) as rows from ${from.at} group by 1 with ${filled ? '' : 'no '}data`,
      );
      if (filled && sketch.chance(0.5))
        sketch.add(`create unique index ${identifier(sketch.name())} on ${place.at} (${identifier(named)})`);
      sketch.made('materialized view', place.at);
      if (filled) sketch.tables.push(drawn('materialized view'));
      return;
    }
    const options = sketch.random.pick(['', ' with (security_barrier)', ' with (security_invoker = true)']);
    const select = sketch.random.pick([
      `select ${key}::text as ${identifier(named)}, 1 as one from ${from.at}`,
      `select a.${key}::text as ${identifier(named)}, b.* from ${from.at} a left join (select 1 as two) b on true where a.${key}::text in ('1', '2')`,
      `with w as (select ${key}::text as ${identifier(named)} from ${from.at}) select * from w union all select 'x'`,
    ]);
    sketch.add(`create view ${place.at}${options} as ${select}`);
    sketch.made('view', place.at);
    sketch.tables.push(drawn('view'));
  });
}

export function drawTriggersAndPolicies(sketch: Sketch): void {
  const [{ at: act } = { at: '' }] = sketch.functions.filter(({ trigger }) => trigger);
  for (const table of sketch.tables.filter(({ kind }) => kind === 'table' || kind === 'partitioned')) {
    const { at } = table;
    if (act && sketch.chance(0.35)) {
      const name = identifier(sketch.name());
      const key = identifier(table.columns[0]?.name ?? '');
      sketch.add(
        sketch.random.pick([
          `create trigger ${name} before insert or update on ${at} for each row execute function ${act}()`,
          `create trigger ${name} after update on ${at} for each row when (old.* is distinct from new.*) execute function ${act}(${sketch.text()}, 'b')`,
          `create constraint trigger ${name} after insert on ${at} deferrable initially deferred for each row execute function ${act}()`,
          `create trigger ${name} after update of ${key} on ${at} referencing old table as gone new table as come for each statement execute function ${act}()`,
        ]),
      );
      const state = sketch.random.pick(['', '', 'disable', 'enable always', 'enable replica']);
      if (state) sketch.add(`alter table ${at} ${state} trigger ${name}`);
      if (sketch.chance(0.3)) sketch.add(`comment on trigger ${name} on ${at} is ${sketch.text()}`);
    }
    if (sketch.chance(0.15)) {
      const name = identifier(sketch.name());
      sketch.add(`create rule ${name} as on delete to ${at} do also notify drawn`);
      if (sketch.chance(0.3)) sketch.add(`alter table ${at} disable rule ${name}`);
    }
    if (sketch.chance(0.25)) {
      const name = identifier(sketch.name());
      const [role] = sketch.some(['public', identifier('drawn_reader'), 'current_user'], 0.6);
      sketch.add(
        `alter table ${at} enable row level security`,
        `create policy ${name} on ${at}${sketch.chance(0.3) ? ' as restrictive' : ''} for select to ${role ?? 'public'} using (${literal('x')} <> current_user)`,
      );
      if (sketch.chance(0.3)) sketch.add(`comment on policy ${name} on ${at} is ${sketch.text()}`);
    }
  }
}

export function drawComments(sketch: Sketch): void {
  for (const { kind, at } of sketch.some(sketch.objects, 0.25))
    sketch.add(`comment on ${kind} ${at} is ${sketch.text()}`);
  for (const { at, columns, kind } of sketch.tables.filter(() => sketch.chance(0.2))) {
    const column = sketch.random.pick(columns);
    sketch.add(`comment on column ${at}.${identifier(column.name)} is ${sketch.text()}`);
    if (kind === 'table' && sketch.chance(0.5))
      sketch.add(`alter table ${at} alter column ${identifier(column.name)} set default null`);
  }
  for (const schema of sketch.some(sketch.schemas, 0.4))
    sketch.add(`comment on schema ${identifier(schema)} is ${sketch.text()}`);
}
