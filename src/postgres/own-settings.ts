/** Production's own TimeZone and the like: what its SQL computes under in sessions of its applications. */
import type { ClientBase } from 'pg';
import { computing, network, optionWord } from './pinned-settings';
import { literal } from './sql';

/** Values by the names of `computing`. */
export type OwnSettings = Readonly<Record<string, string>>;

/** What a mapping's SQL runs under: the managed schemas as search_path, and production's own settings. */
export interface MappingSession {
  schemas: readonly string[];
  own: OwnSettings;
}

/**
 * What a new session of this user's has in this database, whatever this session has been given since.
 * @returns dates are read in production's order (DMY, MDY), but always written as ISO: other forms name time zones by
 * abbreviations, which are read back as another zone's
 */
export async function readOwnSettings(
  production: ClientBase,
  names: readonly string[] = Object.keys(computing),
): Promise<OwnSettings> {
  const { rows } = await production.query<{ name: string; value: string }>(
    `select name, case name when 'DateStyle' then 'ISO, ' || split_part(reset_val, ', ', 2) else reset_val end as value
     from pg_catalog.pg_settings where name = any($1)`,
    [names],
  );
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
}

/** SQL that gives them to a session, or with `local` to a transaction. */
export function settingOwn(own: OwnSettings, scope: 'session' | 'local' = 'session'): string {
  return Object.entries(own)
    .map(([name, value]) => `set ${scope} ${name} = ${literal(value)};`)
    .join(' ');
}

// Text of one session that another reads must be in one form: these stay pinned where only the reader computes.
const forms = new Set(['IntervalStyle', 'bytea_output', 'lc_monetary']);

/** Of these, those under which a table's checks and generated columns may compute while text of pinned form comes in. */
export function forIncoming(own: OwnSettings): OwnSettings {
  return Object.fromEntries(Object.entries(own).filter(([name]) => !forms.has(name)));
}

// The fence's, what each program says for itself, and places that another server may lack.
const ofTheDatabase = [
  ...['application_name', 'client_encoding', 'default_tablespace', 'default_transaction_read_only'],
  ...['temp_tablespaces', ...Object.keys(network)],
];

/** `options` that give a program's sessions in another database what they would have in production. */
export async function optionsLike(production: ClientBase, other: ClientBase): Promise<string> {
  const [own, others] = [await readSession(production), await readSession(other)];
  return [...own]
    .filter(([name, value]) => others.get(name) !== value)
    .map(([name, value]) => `-c ${optionWord(`${name}=${value}`)}`)
    .join(' ');
}

// An application's settings (`app.tenant`) aren't among PostgreSQL's: they are where database and role were given them.
async function readSession(client: ClientBase): Promise<Map<string, string>> {
  const { rows } = await client.query<{ name: string; value: string }>(
    `select name, reset_val as value from pg_catalog.pg_settings where context = 'user' and name <> all($1)
     union (
       select distinct on (name) name, substr(setting, length(name) + 2)
       from pg_catalog.pg_db_role_setting, unnest(setconfig) as setting, split_part(setting, '=', 1) as name
       where setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_database()))
         and setrole in (0, (select oid from pg_catalog.pg_roles where rolname = session_user)) and name like '%.%'
         and name not in (select name from pg_catalog.pg_settings)
       order by name, setdatabase <> 0 and setrole <> 0 desc, setrole <> 0 desc, setdatabase <> 0 desc)`,
    [ofTheDatabase],
  );
  return new Map(rows.map(({ name, value }) => [name, value]));
}
