-- What PostgreSQL 14 doesn't have.
alter table zoo.room add constraint nulls_too unique nulls not distinct (name);
create publication feed for tables in schema zoo;
create view zoo.as_reader with (security_invoker = true) as select a from zoo.no_key;
