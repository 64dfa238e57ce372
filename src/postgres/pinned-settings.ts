/** Every setting of PostgreSQL that a session can have: pinned to a value in sessions of ours, or left as production has it. */
import { literal } from './sql';

/**
 * What expressions, checks, defaults, indexes and views compute under. Pinned for dumps, copies and hashes of stored rows;
 * where production's own SQL computes, a session gets production's own values (`own-settings.ts`).
 */
export const computing: Readonly<Record<string, string>> = {
  TimeZone: 'UTC',
  timezone_abbreviations: 'Default',
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  xmlbinary: 'base64',
  lc_monetary: 'C',
  lc_numeric: 'C',
  lc_time: 'C',
  default_text_search_config: 'pg_catalog.simple',
};

/** The same in every session of ours, and known to every version from 14 on. */
export const everywhere: Readonly<Record<string, string>> = {
  // What SQL means. xmloption: a document is content too, so that nothing COPY carries is refused.
  search_path: '',
  array_nulls: 'on',
  backslash_quote: 'safe_encoding',
  standard_conforming_strings: 'on',
  transform_null_equals: 'off',
  check_function_bodies: 'on',
  xmloption: 'content',
  // What is printed.
  client_encoding: 'UTF8',
  client_min_messages: 'warning',
  extra_float_digits: '3',
  quote_all_identifiers: 'off',
  // Which rows are seen.
  row_security: 'off',
  gin_fuzzy_search_limit: '0',
  // What may be written, and how long is waited.
  default_transaction_read_only: 'off',
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  exit_on_error: 'off',
  vacuum_cost_delay: '0',
  // Where new tables go.
  default_table_access_method: 'heap',
  default_tablespace: '',
  // How the planner works: a copy by ranges of ctid must not read the whole table for each.
  constraint_exclusion: 'partition',
  cursor_tuple_fraction: '0.1',
  enable_async_append: 'on',
  enable_bitmapscan: 'on',
  enable_gathermerge: 'on',
  enable_hashagg: 'on',
  enable_hashjoin: 'on',
  enable_incremental_sort: 'on',
  enable_indexonlyscan: 'on',
  enable_indexscan: 'on',
  enable_material: 'on',
  enable_memoize: 'on',
  enable_mergejoin: 'on',
  enable_nestloop: 'on',
  enable_parallel_append: 'on',
  enable_parallel_hash: 'on',
  enable_partition_pruning: 'on',
  enable_partitionwise_aggregate: 'off',
  enable_partitionwise_join: 'off',
  enable_seqscan: 'on',
  enable_sort: 'on',
  enable_tidscan: 'on',
  geqo: 'on',
  plan_cache_mode: 'auto',
};

/** The same, for what only some versions have. */
export const someVersions: Readonly<Record<string, string>> = {
  debug_parallel_query: 'off',
  enable_distinct_reordering: 'on',
  enable_group_by_reordering: 'on',
  enable_presorted_aggregate: 'on',
  enable_self_join_elimination: 'on',
  force_parallel_mode: 'off',
  restrict_nonsystem_relation_kind: '',
  stats_fetch_consistency: 'cache',
  transaction_timeout: '0',
};

/** Pinned where the user may: a damaged page must be an error, and triggers fire. Preflight refuses another value. */
export const bySuperusers: Readonly<Record<string, string>> = {
  ignore_checksum_failure: 'off',
  session_replication_role: 'origin',
  zero_damaged_pages: 'off',
};

/** What finds a lost network; a server that doesn't allow one of them keeps its own. */
export const network: Readonly<Record<string, string>> = {
  tcp_keepalives_idle: '10',
  tcp_keepalives_interval: '5',
  tcp_keepalives_count: '3',
  tcp_user_timeout: '30s',
  client_connection_check_interval: '2s',
};

/** Left alone, each group for its reason. `word.*` is for what an extension brings. */
export const leftAlone: readonly { because: string; names: readonly string[] }[] = [
  {
    because: 'decided apart: on, or remote_apply where production wants that; off while rows are copied',
    names: ['synchronous_commit'],
  },
  {
    because: 'said by each session or transaction',
    names: ['application_name', 'transaction_deferrable', 'transaction_isolation', 'transaction_read_only'],
  },
  {
    because: 'how much of the machine may be used: no row depends on it, and people have chosen it',
    names: [
      ...[
        'backend_flush_after',
        'commit_delay',
        'commit_siblings',
        'deadlock_timeout',
        'effective_cache_size',
      ],
      ...['effective_io_concurrency', 'file_copy_method', 'file_extend_method', 'gin_pending_list_limit'],
      ...[
        'hash_mem_multiplier',
        'io_combine_limit',
        'logical_decoding_work_mem',
        'maintenance_io_concurrency',
      ],
      ...['maintenance_work_mem', 'max_parallel_maintenance_workers', 'max_parallel_workers', 'work_mem'],
      ...['max_parallel_workers_per_gather', 'max_stack_depth', 'min_parallel_index_scan_size'],
      ...['min_parallel_table_scan_size', 'parallel_leader_participation', 'synchronize_seqscans'],
      ...['temp_buffers', 'temp_file_limit', 'temp_tablespaces', 'vacuum_buffer_usage_limit'],
      ...['vacuum_cost_limit', 'vacuum_cost_page_dirty', 'vacuum_cost_page_hit', 'vacuum_cost_page_miss'],
      ...['vacuum_max_eager_freeze_failure_rate', 'vacuum_truncate', 'wal_compression', 'wal_init_zero'],
      ...['wal_recycle', 'wal_sender_timeout', 'wal_skip_threshold'],
    ],
  },
  {
    because: 'how a value is stored, not what it is: as production wants it',
    names: ['default_toast_compression'],
  },
  {
    because: "what the planner is told of the machine, and how hard it thinks: the server's own",
    names: [
      ...['cpu_index_tuple_cost', 'cpu_operator_cost', 'cpu_tuple_cost', 'default_statistics_target'],
      ...['from_collapse_limit', 'geqo_effort', 'geqo_generations', 'geqo_pool_size', 'geqo_seed'],
      ...['geqo_selection_bias', 'geqo_threshold', 'jit', 'jit_above_cost', 'jit_expressions'],
      ...['jit_inline_above_cost', 'jit_optimize_above_cost', 'jit_tuple_deforming', 'join_collapse_limit'],
      ...['parallel_setup_cost', 'parallel_tuple_cost', 'random_page_cost', 'recursive_worktable_factor'],
      'seq_page_cost',
    ],
  },
  {
    because: 'when rows are frozen: housekeeping of the server',
    names: [
      ...['vacuum_failsafe_age', 'vacuum_freeze_min_age', 'vacuum_freeze_table_age'],
      ...[
        'vacuum_multixact_failsafe_age',
        'vacuum_multixact_freeze_min_age',
        'vacuum_multixact_freeze_table_age',
      ],
    ],
  },
  {
    because: 'what the server notes, logs and counts, and in which language',
    names: [
      ...['backtrace_functions', 'compute_query_id', 'debug_pretty_print', 'debug_print_parse'],
      ...['debug_print_plan', 'debug_print_raw_parse', 'debug_print_rewritten', 'escape_string_warning'],
      ...['event_source', 'lc_messages', 'log_connections', 'log_disconnections', 'log_duration'],
      ...['log_error_verbosity', 'log_executor_stats', 'log_lock_failures', 'log_lock_waits'],
      ...['log_min_duration_sample', 'log_min_duration_statement', 'log_min_error_statement'],
      ...['log_min_messages', 'log_parameter_max_length', 'log_parameter_max_length_on_error'],
      ...['log_parser_stats', 'log_planner_stats', 'log_replication_commands', 'log_statement'],
      ...['log_statement_sample_rate', 'log_statement_stats', 'log_temp_files'],
      ...[
        'log_transaction_sample_rate',
        'md5_password_warnings',
        'trace_notify',
        'trace_sort',
        'track_activities',
      ],
      ...[
        'track_cost_delay_timing',
        'track_counts',
        'track_functions',
        'track_io_timing',
        'track_wal_io_timing',
      ],
      'update_process_title',
    ],
  },
  {
    because: "who a session is and what it loads: the server's matter",
    names: [
      ...['createrole_self_grant', 'dynamic_library_path', 'event_triggers', 'extension_control_path'],
      ...['extension_destdir', 'local_preload_libraries', 'lo_compat_privileges', 'password_encryption'],
      ...['scram_iterations', 'session_preload_libraries', 'role', 'session_authorization'],
    ],
  },
  {
    because: 'for those who develop or rescue a server',
    names: [
      ...['allow_in_place_tablespaces', 'allow_system_table_mods', 'debug_discard_caches'],
      ...['debug_logical_replication_streaming', 'ignore_system_indexes'],
      ...['jit_debugging_support', 'jit_dump_bitcode', 'jit_profiling_support', 'logical_replication_mode'],
      ...['optimize_bounded_sort', 'post_auth_delay', 'trace_lock_oidmin', 'trace_lock_table', 'trace_locks'],
      ...['trace_lwlocks', 'trace_userlocks', 'wal_consistency_checking', 'send_abort_for_crash', 'seed'],
      'allow_alter_system',
    ],
  },
  {
    because: "an extension's or an application's: production's sessions have it by themselves",
    names: ['*.*'],
  },
];

const ofUsers = { ...computing, ...everywhere, ...someVersions };

const rows = (settings: Readonly<Record<string, string>>) =>
  Object.entries(settings)
    .map(([name, value]) => `(${literal(name)}, ${literal(value)})`)
    .join(', ');

// Without pg_settings, which costs more than all the rest. What this server doesn't know, and what is so already, is left alone.
const set = (settings: Readonly<Record<string, string>>, where = '') =>
  `(select count(pg_catalog.set_config(name, value, false)) from (values ${rows(settings)}) as wanted(name, value)
  where pg_catalog.current_setting(name, true) <> value${where})`;

/** SQL, an expression: the pins hold from here on. */
export const pinned = `${set(ofUsers)} + ${set(bySuperusers, ` and pg_catalog.current_setting('is_superuser') = 'on'`)}`;

/** SQL: the network's settings. */
export const pinNetwork = `select ${set(network)}`;

/** Options for a program of PostgreSQL's that begins a session: `-c name=value`, one a word. */
export function pinOptions(
  settings: Readonly<Record<string, string>> = { ...computing, ...everywhere },
): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${optionWord(`${name}=${value}`)}`)
    .join(' ');
}

/** A text as one word of `options`, as the server cuts them. */
export function optionWord(text: string): string {
  return text.replace(/[\\\s]/g, (sign) => `\\${sign}`);
}
