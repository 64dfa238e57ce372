create table account (id int primary key, kept int, note text);
create table entry (id bigint generated always as identity, account int references account, at timestamptz);
create index on entry (at);
