-- What stands around the rows: indexes, views, triggers, rules, policies, settings, grants.
create index on zoo.changed (a) where b is not null;
create index "expr ""index""" on zoo.changed (lower(b), (a + 1) desc nulls last) include (c) with (fillfactor = 70);
alter index zoo."expr ""index""" alter column 2 set statistics 500;
create index on zoo.no_key using hash (b);
create index on zoo."every type" using gin (jb jsonb_path_ops);
create index on zoo."every type" using gin ("from" zoo.gin_trgm_ops);
create index on zoo."every type" using brin (id) with (pages_per_range = 8);
create index on zoo."every type" using spgist (i4);
create index on zoo.no_key (a zoo.int4_back);
create index on only zoo.log (note);
create unique index key_of_numbers on zoo.uses_sequence (a);
alter table zoo.uses_sequence alter a set not null;
alter table zoo.uses_sequence replica identity using index key_of_numbers;
alter table zoo.no_key replica identity full;
alter table zoo.changed cluster on "expr ""index""";
comment on index zoo."expr ""index""" is 'on expressions';
create statistics zoo.both (dependencies, ndistinct, mcv) on a, b from zoo.no_key;
create statistics "from".expressions on (a * 2) from zoo.no_key;
alter statistics zoo.both set statistics 50;
comment on statistics zoo.both is 'two columns';
comment on constraint "its egg" on zoo.hen is 'circular';
comment on constraint "must be > 0" on domain zoo.positive is 'checked';

create view zoo.plain_view with (security_barrier) as select a, b from zoo.no_key where a > 0 with local check option;
create view zoo.view_on_view as select *, zoo.glue(b) over () as glued from zoo.plain_view;
alter view zoo.plain_view alter b set default 'dflt';
-- Depends on a primary key.
create view zoo.grouped as select id, egg, count(*) as eggs from zoo.hen group by id;
create view zoo.on_grouped as select sum(eggs) as n from zoo.grouped;
create materialized view zoo.grouped_filled as select h.id, h.egg, count(*) as eggs from zoo.hen h group by h.id;
create recursive view zoo.counting (n) as select 1 union all select n + 1 from counting where n < 5;
create materialized view zoo.filled as select kind, count(*) as rows from zoo.log group by kind;
create unique index on zoo.filled (kind);
create view zoo.between_views as select sum(rows) as total from zoo.filled;
create materialized view "from"."on filled" with (autovacuum_enabled = false) as select total from zoo.between_views;
create materialized view zoo.empty_view as select 1 / 0 as never with no data;
-- Made in another order than it is read.
create view zoo.late as select 0::bigint as n;
create materialized view zoo.early as select n from zoo.late;
create materialized view zoo.after_early as select count(*) as n from zoo.no_key;
create or replace view zoo.late as select n from zoo.after_early;
refresh materialized view zoo.early;
comment on materialized view zoo.filled is 'counted';

create function zoo.stamp() returns trigger language plpgsql as $$ begin new.note := 'stamped'; return new; end $$;
create trigger stamp before insert or update of note on zoo.log for each row execute function zoo.stamp();
create trigger "when" before update on zoo.parent for each row when (old.id is distinct from new.id) execute function zoo.stamp();
create trigger off before insert on zoo.child for each row execute function zoo.stamp();
alter table zoo.child disable trigger off;
create trigger always before insert on zoo.grandchild for each row execute function zoo.stamp();
alter table zoo.grandchild enable always trigger always;
create function zoo.look() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger transitions after insert on zoo.no_key referencing new table as added for each statement execute function zoo.look();
create constraint trigger deferred after insert on zoo.hen deferrable initially deferred for each row execute function zoo.look();
create trigger into_view instead of insert on zoo.view_on_view for each row execute function zoo.look();
comment on trigger stamp on zoo.log is 'stamps';
create rule nothing as on delete to zoo.no_key do instead nothing;
create rule also as on insert to zoo.no_key do also notify zoo;
alter table zoo.no_key disable rule also;
comment on rule nothing on zoo.no_key is 'keeps';

alter table zoo.hashed enable row level security;
alter table zoo.checked enable row level security, force row level security;
create policy "own rows" on zoo.checked as restrictive for select to zoo_reader using (kind = current_user);
create policy writes on zoo.checked for insert with check (n > 0);
comment on policy writes on zoo.checked is 'above zero';
create policy forgotten on zoo.no_key using (false);

alter table zoo.changed alter b set storage external, alter b set statistics 700, alter a set (n_distinct = -0.5), alter b set compression pglz;
alter table zoo.changed set (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.5, toast.autovacuum_enabled = false);
alter table zoo."every type" alter "from" set storage main;
alter table zoo.typed owner to zoo_writer;
alter function zoo.shout_one(text) owner to zoo_writer;
alter type zoo.price_range owner to zoo_writer;
alter sequence zoo.untouched owner to zoo_writer;

grant usage on schema zoo to zoo_reader with grant option;
grant create on schema "from" to zoo_writer;
grant select on zoo.no_key, zoo.plain_view, zoo.filled, zoo.grouped_filled to zoo_reader;
grant select (a), update (b) on zoo.changed to zoo_reader with grant option;
grant usage on sequence zoo.alone to zoo_reader;
grant insert, truncate on zoo.log to zoo_writer;
revoke all on function zoo.shout(text, text[]) from public;
grant execute on function zoo.shout(text, text[]) to zoo_reader;
revoke usage on type zoo.mood from public;
grant usage on domain zoo.positive to zoo_reader;
revoke select on zoo.parent from current_user;
-- Set after the objects were made: a restore under them must not give them to those objects.
alter default privileges in schema zoo grant select on tables to zoo_reader;
alter default privileges in schema zoo grant execute on functions to zoo_writer with grant option;
alter default privileges for role zoo_writer in schema zoo grant all on sequences to zoo_reader;
alter default privileges grant update on sequences to zoo_reader;
alter default privileges revoke execute on functions from public;
alter default privileges revoke usage on types from public;
