-- A user who owns the database and what is in it, and is nothing more.
set role plain_user;
create type public.state as enum ('new', 'done');
create table public.account (id int generated always as identity primary key, name text not null unique, state public.state default 'new');
create table public.entry (id bigserial primary key, account int not null references public.account, amount numeric(12, 2) check (amount > 0));
create view public.sums as select account, sum(amount) as total from public.entry group by account;
create function public.stamp() returns trigger language plpgsql as $$ begin new.name := trim(new.name); return new; end $$;
create trigger stamp before insert on public.account for each row execute function public.stamp();
grant select on public.account to public;
insert into public.account (name) select 'name ' || n from generate_series(1, 40) n;
insert into public.entry (account, amount) select 1 + n % 40, n / 7.0 from generate_series(1, 300) n;
reset role;
