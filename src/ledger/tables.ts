/** The tables of schema `kirikae`, wherever it stands: production, backup, shadow. */

export const claimDdl = `
create schema if not exists kirikae;
create table if not exists kirikae.claim (
  singleton boolean primary key default true check (singleton),
  namespace text not null, workflow_id text not null, chain text not null, run_id text not null, plan text not null,
  claimed_at timestamptz not null default now(),
  page_on boolean not null default false,
  fence_on boolean not null default false,
  fence_before text,
  backup_database text,
  reset_at timestamptz,
  verified_at timestamptz,
  live_at timestamptz,
  loss_accepted_at timestamptz
);
create table if not exists kirikae.counters (
  table_schema text, table_name text, written bigint not null, primary key (table_schema, table_name)
);
comment on schema kirikae is 'Ledger of an offline migration by Kirikae; removed when the run has ended.';`;

/** Where parts and hashes of a copy are noted: on the copy's target, in the transaction of the rows themselves. */
export const checkpointDdl = `
create schema if not exists kirikae;
create table if not exists kirikae.part (
  phase text, attempt integer, part integer, part_group integer not null,
  target text not null, columns text[] not null, source_oid oid not null, source_filenode oid,
  source_sql text not null, is_binary boolean not null,
  rows bigint, bytes bigint, done_at timestamptz, flushed boolean not null default false,
  primary key (phase, attempt, part)
);
create table if not exists kirikae.table_hash (
  phase text, attempt integer, side text, name text, rows numeric not null, hash text not null,
  primary key (phase, attempt, side, name)
);
create table if not exists kirikae.stage (
  phase text, attempt integer, name text, done_at timestamptz not null default now(), primary key (phase, attempt, name)
);`;
