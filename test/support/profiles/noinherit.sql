-- A user that inherits nothing of the roles that it is a member of, as a login role of a hosted service may be.
grant noinherit_owner to noinherit_user;
grant usage, create on schema public to noinherit_owner, noinherit_user;
set role noinherit_owner;
create table public.account (id int primary key, name text);
create view public.names as select name from public.account;
insert into public.account select n, 'name ' || n from generate_series(1, 30) n;
reset role;
set role noinherit_user;
create table public.own (id int primary key);
insert into public.own values (1), (2);
reset role;
