/** The tables of schema `kirikae`, wherever it stands: production, backup, shadow. */

/** Whose a database is; in every database that a run makes or claims. */
export const markerDdl = `
create schema if not exists kirikae;
create table if not exists kirikae.marker (
  singleton boolean primary key default true check (singleton),
  claim text not null, role text not null, oid oid not null, name text not null, marked_at timestamptz not null default now()
);
comment on schema kirikae is 'Ledger of an offline migration by Kirikae; removed when the run has ended.';`;

/** Production's ledger: what one run did, and may do. */
export const claimDdl = `${markerDdl}
create table if not exists kirikae.claim (
  singleton boolean primary key default true check (singleton),
  id text not null, namespace text not null, workflow_id text not null, first_run_id text not null, plan text not null,
  holder text not null,
  claimed_at timestamptz not null default now(),
  phase text not null, seq integer not null default 1, window_no integer not null default 1, goes_back_from text,
  plan_hash text not null, backup text not null,
  fence_on boolean not null default false, fence_before text,
  manifest_hash text, fingerprint text,
  server text, timeline text
);
create table if not exists kirikae.event (
  n integer generated always as identity primary key, at timestamptz not null default clock_timestamp(), seq integer,
  kind text not null, who text not null, text text not null
);
create table if not exists kirikae.intent (
  database text primary key, kind text not null check (kind in ('creating', 'dropping')), role text not null,
  noted_at timestamptz not null default now()
);
create table if not exists kirikae.deploy (
  name text primary key, position integer not null, begun_at timestamptz not null default now(), host text not null, pid integer, pid_started text,
  ended_at timestamptz, failed_at timestamptz, undone_at timestamptz
);
create table if not exists kirikae.passed (name text primary key, at timestamptz not null default now(), who text not null);
create table if not exists kirikae.counters (
  table_schema text, table_name text, written bigint not null, primary key (table_schema, table_name)
);
create table if not exists kirikae.reading (at timestamptz not null default now(), stats_reset timestamptz, started timestamptz);`;

/** The large objects of production at the seal. */
export const largeObjectDdl = `
create table if not exists kirikae.large_object (oid oid primary key, owner oid not null, grants aclitem[] not null)`;

/** The backup's mirror of the claim: a second witness. */
export const mirrorDdl = `${markerDdl}
create table if not exists kirikae.mirror (
  singleton boolean primary key default true check (singleton),
  claim text not null, phase text not null, seq integer not null, window_no integer not null, content text not null,
  written_at timestamptz not null default now()
);`;

/** Every table that Kirikae makes in schema `kirikae`, for dropping them by name. */
export const ledgerTables = [
  'backup',
  'claim',
  'counters',
  'deploy',
  'event',
  'intent',
  'kept',
  'kept_manifest',
  'kept_table',
  'large_object',
  'learnt',
  'marker',
  'mirror',
  'outside',
  'outside_table',
  'part',
  'passed',
  'reading',
  'sealed_table',
  'shadow',
  'stage',
  'table_hash',
] as const;

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

/**
 * What a backup says of itself, which takes the definition and the manifest when they are there; witnesses of its tables as they
 * were when they were read for the seal; and what its making has committed.
 */
export const backupDdl = `
create schema if not exists kirikae;
create table if not exists kirikae.sealed_table (name text primary key, witness text not null);
create table if not exists kirikae.backup (
  singleton boolean primary key default true check (singleton), namespace text not null, workflow_id text not null,
  first_run_id text not null, plan text not null, created_database boolean not null, started_at timestamptz not null default now(),
  ddl_pre text, ddl_post text, ddl_post_plain text, printings text, manifest text, manifest_hash text, sealed_at timestamptz);
${stageTable}`;

/** What preflight learnt of the new schema: in the shadow first, then in production's ledger. */
export const learntDdl = `
create table if not exists kirikae.learnt (singleton boolean primary key default true check (singleton), content text not null);`;

/**
 * What stood outside the managed schemas before the schema step, what that changed there on the shadow (null there itself) and what
 * it changed here; tables that it writes to, as they were.
 */
export const outsideDdl = `
create table if not exists kirikae.outside (
  singleton boolean primary key default true check (singleton), before text not null, expected text, changes text
);
create table if not exists kirikae.outside_table (schema text, name text, content text not null, after text, primary key (schema, name));`;

/** A shadow's marker, with what stood in it before anything was made there. */
export const shadowDdl = `
create schema kirikae;
create table kirikae.shadow (owner text not null, created_database boolean not null, before text not null);
create table kirikae.outside_inventory (content text not null);`;

/**
 * Where the old objects wait that a reset has set aside, with the witness of their definition, witnesses of the tables, and the
 * sealed manifest: they come home without the backup. In production, whose schema `kirikae` is there already.
 */
export const keptDdl = `
create table if not exists kirikae.kept (
  position integer primary key, home text not null unique, schema text not null unique, definition text
);
create table if not exists kirikae.kept_manifest (manifest text not null);
create table if not exists kirikae.kept_table (name text primary key, witness text not null);`;
