-- A superuser, over objects of others, with what only a superuser makes: a leakproof function, an event trigger, grants by others.
create schema audit;
create function audit.watch() returns event_trigger language plpgsql as $$ begin end $$;
create event trigger watch_ends on ddl_command_end execute function audit.watch();
create event trigger watch_drops on sql_drop execute function audit.watch();
grant create on schema public to super_app;
create function public.leakproof(int) returns int language sql immutable leakproof as $$ select $1 $$;
set role super_app;
create table public.account (id int primary key, kept int, note text);
alter table public.account enable row level security;
create policy everything on public.account using (true);
create table public.entry (id bigint generated always as identity, account int references public.account, at timestamptz);
grant select on public.account to super_reader with grant option;
reset role;
set role super_reader;
grant select on public.account to public;
reset role;
insert into public.account select n, public.leakproof(n), 'note ' || n from generate_series(1, 60) n;
insert into public.entry (account, at) select 1 + n % 60, '2024-01-01T00:00:00Z'::timestamptz + n * interval '1 hour' from generate_series(1, 200) n;
