create type state as enum ('new', 'done');
create table account (id int generated always as identity primary key, name text not null unique, state state default 'new');
create table entry (id bigserial primary key, account int not null references account, amount numeric(12, 2) check (amount > 0));
create index on entry (account);
