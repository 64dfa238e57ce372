-- Types, functions, operators: what tables are made of. Runs first; names are chosen to hurt.
create schema zoo;
create schema "Sel ""ect" ;
create schema "from";
comment on schema zoo is 'A bit of everything';

create extension if not exists pgcrypto schema public;
create extension if not exists citext schema zoo;
create extension if not exists hstore schema public;
create extension if not exists pg_trgm schema zoo;
create extension if not exists btree_gist schema public;

create type zoo.mood as enum ('sad', 'ok', 'it''s "happy"', 'été');
comment on type zoo.mood is 'with quotes';
create type zoo."order" as (id int, "select" text, moods zoo.mood[]);
create type zoo.price_range as range (subtype = numeric, multirange_type_name = zoo.price_ranges);
create collation zoo.plain (provider = libc, locale = 'C');
do $$ begin
  create collation zoo.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
exception when feature_not_supported then
  create collation zoo.loose from "C"; -- a build without ICU
end $$;

create domain zoo.email as zoo.citext check (value ~ '@');
create domain zoo.positive as int default 1 not null constraint "must be > 0" check (value > 0);
create domain zoo.unchecked as int;
create domain zoo.blob as bytea;
comment on domain zoo.positive is 'a number';

-- Unqualified names inside: they work only where the schema is on the search_path.
create function zoo.limit_of(kind text) returns int language sql immutable as $$ select length(kind) + 100 $$;
create function zoo.fits(kind text, n int) returns boolean language plpgsql immutable as $$
begin
  return n is null or n <= limit_of(kind);
end
/* Lines that look like pg_dump's own:
--
-- Name: fits; Type: SCHEMA; Schema: -; Owner: nobody
--
\restrict me
SET transaction_timeout = 0;
*/ $$;
create function zoo.shout(text, variadic rest text[] default '{}') returns text language sql immutable parallel safe cost 5
  as $$ select upper($1 || array_to_string(rest, '')) $$;
comment on function zoo.shout(text, text[]) is 'loud';
create function zoo.atomic(a int, out b int, out c text) language sql begin atomic select a + 1, 'x'::text; end;
create function zoo.many(n int) returns setof zoo."order" language sql set work_mem = '8MB' security definer
  as $$ select g, 'x', null::zoo.mood[] from generate_series(1, n) g $$;
create procedure zoo."do it"(a int, inout b int, out c text) language plpgsql as $$ begin b := a; c := 'done'; end $$;
create function zoo.add_text(text, text) returns text language sql immutable as $$ select coalesce($1, '') || coalesce($2, '') $$;
create aggregate zoo.glue(text) (sfunc = zoo.add_text, stype = text, initcond = '');
create aggregate zoo.nth(float8 order by anyelement) (sfunc = ordered_set_transition, stype = internal, finalfunc = percentile_disc_final, finalfunc_extra);
create function zoo.minus_mood(zoo.mood, zoo.mood) returns int language sql immutable as $$ select length($1::text) - length($2::text) $$;
create operator zoo.-~ (leftarg = zoo.mood, rightarg = zoo.mood, function = zoo.minus_mood);
create function zoo.shout_one(text) returns text language sql immutable as $$ select upper($1) $$;
create operator zoo.+! (rightarg = text, function = zoo.shout_one);
create operator family zoo.backwards using btree;
create function zoo.compare_back(int, int) returns int language sql immutable as $$ select btint4cmp($2, $1) $$;
create operator class zoo.int4_back for type int using btree family zoo.backwards as
  operator 1 >, operator 2 >=, operator 3 =, operator 4 <=, operator 5 <, function 1 zoo.compare_back(int, int);
create conversion zoo.latin for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
create text search dictionary zoo.short (template = simple, stopwords = english);
create text search configuration zoo.search (copy = simple);
alter text search configuration zoo.search alter mapping for asciiword with zoo.short, simple;
