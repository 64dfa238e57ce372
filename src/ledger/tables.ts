/** The tables of schema `kirikae`, wherever it stands: production, backup, shadow. */

/** Whose a database is; in every database that a run makes or claims. */
export const markerDdl = `
create schema if not exists kirikae;
create table if not exists kirikae.marker (
  singleton boolean primary key default true check (singleton),
  claim text not null, role text not null, oid oid not null, name text not null, marked_at timestamptz not null default now()
);
comment on schema kirikae is 'Ledger of an offline migration by Kirikae; removed when the run has ended.';`;

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

const stageTable = `
create table if not exists kirikae.stage (
  phase text, attempt integer, name text, done_at timestamptz not null default now(), primary key (phase, attempt, name)
);`;

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
${stageTable}`;

/** A backup's marker, which takes the definition and the manifest when they are there, and what its making has committed. */
export const backupDdl = `
create schema if not exists kirikae;
create table if not exists kirikae.backup (
  singleton boolean primary key default true check (singleton), namespace text not null, workflow_id text not null,
  chain text not null, plan text not null, created_database boolean not null, started_at timestamptz not null default now(),
  ddl_pre text, ddl_post text, ddl_post_plain text, manifest text, manifest_hash text, sealed_at timestamptz);
${stageTable}`;

/** A shadow's marker. */
export const shadowDdl = `
create schema kirikae;
create table kirikae.shadow (owner text not null, created_database boolean not null);`;

/** Where the old objects wait that a reset has set aside; in production, whose schema `kirikae` is there already. */
export const keptDdl = `
create table if not exists kirikae.kept (
  position integer primary key, home text not null unique, schema text not null unique
);`;
