-- A hosted service like Supabase: production's user is no superuser, a superuser's event triggers look at every DDL, and schemas of the
-- service's own stand beside public. Its user is called postgres there, which is the superuser's name here.
grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role, authenticator, pg_monitor, pg_read_all_data, pg_signal_backend to supabase_postgres with admin option;
alter role authenticator set statement_timeout = '8s';
alter role anon set statement_timeout = '3s';
alter role supabase_postgres set search_path = "$user", public, extensions;
do $$ begin
  execute format('alter database %I set "app.settings.jwt_exp" = 3600', current_database());
  execute format('alter role supabase_auth_admin in database %I set search_path = auth', current_database());
end $$;
create schema extensions authorization supabase_postgres;
create schema auth authorization supabase_admin;
create schema storage authorization supabase_admin;
create schema realtime authorization supabase_admin;
create schema graphql authorization supabase_admin;
create schema vault authorization supabase_admin;
grant usage on schema public, extensions, graphql to supabase_postgres, anon, authenticated, service_role;
grant usage on schema auth to anon, authenticated, service_role, supabase_postgres;
grant all on schema auth to supabase_auth_admin;
grant all on schema storage to supabase_storage_admin with grant option;
grant usage on schema storage to supabase_postgres, anon, authenticated, service_role;
create extension citext schema extensions;
create extension pg_trgm schema extensions;

set role supabase_auth_admin;
create table auth.users (id uuid primary key, email varchar(255) unique, raw_user_meta_data jsonb, created_at timestamptz);
create function auth.uid() returns uuid language sql stable as
  $$ select nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
grant select on auth.users to supabase_postgres with grant option;
reset role;
insert into auth.users select md5(n::text)::uuid, 'user' || n || '@example.org', '{}', '2024-01-01' from generate_series(1, 20) n;
set role supabase_storage_admin;
create table storage.buckets (id text primary key, name text not null, public boolean default false);
create table storage.objects (id uuid primary key, bucket text references storage.buckets, name text);
alter table storage.objects enable row level security;
reset role;
set role supabase_admin;
create table realtime.messages (topic text not null, inserted_at timestamp not null) partition by range (inserted_at);
create table realtime.messages_2024 partition of realtime.messages for values from ('2024-01-01') to ('2025-01-01');
create table vault.secrets (id uuid primary key, secret text not null);
create function graphql.resolve(query text) returns jsonb language sql as $$ select '{}'::jsonb $$;
reset role;

-- What the service does after DDL; each lets it pass.
set role supabase_admin;
create function extensions.grant_pg_cron_access() returns event_trigger language plpgsql as $$ begin
  if exists (select from pg_event_trigger_ddl_commands() where object_type = 'extension' and object_identity = 'pg_cron') then
    grant usage on schema cron to supabase_postgres with grant option;
  end if; end $$;
create function extensions.grant_pg_net_access() returns event_trigger language plpgsql as $$ begin
  if exists (select from pg_event_trigger_ddl_commands() where object_type = 'extension' and object_identity = 'pg_net') then
    grant usage on schema net to supabase_postgres;
  end if; end $$;
create function extensions.grant_pg_graphql_access() returns event_trigger language plpgsql as $$ begin
  if exists (select from pg_event_trigger_ddl_commands() where object_identity = 'graphql.resolve') then
    grant usage on schema graphql to anon;
  end if; end $$;
create function extensions.set_graphql_placeholder() returns event_trigger language plpgsql as $$ begin
  if exists (select from pg_event_trigger_dropped_objects() where object_type = 'extension' and object_name = 'pg_graphql') then
    notify graphql, 'gone';
  end if; end $$;
create function extensions.pgrst_ddl_watch() returns event_trigger language plpgsql as $$
declare cmd record;
begin
  for cmd in select * from pg_event_trigger_ddl_commands() loop
    if cmd.command_tag in ('CREATE SCHEMA', 'ALTER SCHEMA', 'CREATE TABLE', 'ALTER TABLE', 'CREATE VIEW', 'ALTER VIEW', 'CREATE FUNCTION',
        'CREATE TRIGGER', 'CREATE TYPE', 'CREATE RULE', 'COMMENT') and cmd.schema_name is distinct from 'pg_temp' then
      notify pgrst, 'reload schema';
    end if;
  end loop;
end $$;
create function extensions.pgrst_drop_watch() returns event_trigger language plpgsql as $$
declare obj record;
begin
  for obj in select * from pg_event_trigger_dropped_objects() loop
    if obj.object_type in ('schema', 'table', 'view', 'function', 'trigger', 'type', 'rule') and obj.is_temporary is false then
      notify pgrst, 'reload schema';
    end if;
  end loop;
end $$;
create event trigger issue_pg_cron_access on ddl_command_end when tag in ('CREATE EXTENSION') execute function extensions.grant_pg_cron_access();
create event trigger issue_pg_net_access on ddl_command_end when tag in ('CREATE EXTENSION') execute function extensions.grant_pg_net_access();
create event trigger issue_pg_graphql_access on ddl_command_end when tag in ('CREATE FUNCTION') execute function extensions.grant_pg_graphql_access();
create event trigger issue_graphql_placeholder on sql_drop when tag in ('DROP EXTENSION') execute function extensions.set_graphql_placeholder();
create event trigger pgrst_ddl_watch on ddl_command_end execute function extensions.pgrst_ddl_watch();
create event trigger pgrst_drop_watch on sql_drop execute function extensions.pgrst_drop_watch();
reset role;

alter default privileges for role supabase_postgres in schema public grant all on tables to supabase_postgres, anon, authenticated, service_role;
alter default privileges for role supabase_postgres in schema public grant all on functions to supabase_postgres, anon, authenticated, service_role;
alter default privileges for role supabase_postgres in schema public grant all on sequences to supabase_postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public grant all on tables to supabase_postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public grant all on functions to supabase_postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public grant all on sequences to supabase_postgres, anon, authenticated, service_role;

-- The application's own.
set role supabase_postgres;
create publication supabase_realtime;
create table public.profile (id uuid primary key, name extensions.citext not null unique, website text, updated_at timestamptz);
create table public.post (id bigint generated by default as identity primary key, author uuid not null references public.profile, title text,
  words tsvector generated always as (to_tsvector('simple', coalesce(title, ''))) stored);
create index post_title on public.post using gin (title extensions.gin_trgm_ops);
alter table public.profile enable row level security;
alter table public.post enable row level security;
create policy "Public profiles are viewable by everyone." on public.profile for select using (true);
create policy "Users can insert their own posts." on public.post for insert to authenticated
  with check (author = nullif(current_setting('request.jwt.claim.sub', true), '')::uuid);
create function public.touch() returns trigger language plpgsql security definer set search_path = '' as
  $$ begin new.updated_at := now(); return new; end $$;
create trigger touch before update on public.profile for each row execute function public.touch();
revoke delete on public.post from anon;
insert into public.profile select md5(n::text)::uuid, 'Name ' || n, null, '2024-02-29' from generate_series(1, 20) n;
insert into public.post (author, title) select md5((1 + n % 20)::text)::uuid, 'Title ' || n from generate_series(1, 200) n;
reset role;
