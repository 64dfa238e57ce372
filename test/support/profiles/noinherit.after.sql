create table account (id int primary key, name text);
create table own (id int primary key);
