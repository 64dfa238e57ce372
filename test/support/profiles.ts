/** Profiles: who owns what in production, as it is found with people and hosts. Each is SQL, with a run each way over it. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Client } from 'pg';
import { definitionOf, leftovers } from '../../lab/database-state';
import { query } from '../../lab/stage';
import { clientConfig } from '../../src/postgres/url';
import { packageRoot } from '../../tools/provide';
import { BareMigration } from './bare-migration';
import { onServer, testPostgres } from './environment';
import type { Migration } from './migration';
import { asUser, layOutOther, passwordOfUsers } from './other-database';
import { contentsOf } from './zoo';

export interface Profile {
  name: string;
  /** Stem of its two files of SQL: production by a superuser, and the new schema. */
  file: string;
  /** Production's user. */
  user: string;
  /** Attributes of its roles, the user's included; dropped in the reverse order. */
  roles: Record<string, string>;
  schemas: string[];
  /** The statements that `check` asks for before it lets a run pass; N stands for a process. */
  asked: (version: number) => string[];
  /** A superuser's sessions that stay in production. */
  sessionOf?: string;
}

const login = `login createdb password '${passwordOfUsers}'`;

// From PostgreSQL 16 on a membership has options.
const inFull = (role: string, user: string) => `grant "${role}" to "${user}" with inherit true, set true`;

export const profiles: readonly Profile[] = [
  {
    name: 'plain owner',
    file: 'plain-owner',
    user: 'plain_user',
    roles: { plain_user: `${login} in role pg_signal_backend, pg_read_all_stats` },
    schemas: ['public'],
    asked: () => [],
  },
  {
    name: 'many owners',
    file: 'many-owners',
    user: 'many_user',
    roles: {
      many_db: '',
      many_app: '',
      many_types: '',
      many_functions: '',
      many_reports: '',
      many_reader: '',
      many_user: login,
    },
    schemas: ['app', 'public'],
    asked: (version) => [
      'grant pg_read_all_stats to many_user',
      'grant pg_signal_backend to many_user',
      ...(version < 16
        ? ['grant many_reports to many_user']
        : ['functions', 'reports', 'types'].map((of) => inFull(`many_${of}`, 'many_user'))),
    ],
  },
  {
    name: 'member that inherits nothing',
    file: 'noinherit',
    user: 'noinherit_user',
    roles: {
      noinherit_owner: '',
      noinherit_user: `${login} noinherit in role pg_signal_backend, pg_read_all_stats`,
    },
    schemas: ['public'],
    asked: (version) =>
      version < 16
        ? ['alter role "noinherit_user" inherit']
        : ['noinherit_owner', 'pg_read_all_stats', 'pg_signal_backend'].map((of) =>
            inFull(of, 'noinherit_user'),
          ),
  },
  {
    name: 'like Supabase',
    file: 'supabase',
    user: 'supabase_postgres',
    roles: {
      supabase_admin: `superuser login password '${passwordOfUsers}'`,
      supabase_postgres: `${login} createrole bypassrls replication`,
      anon: '',
      authenticated: '',
      service_role: 'bypassrls',
      authenticator: 'login noinherit',
      supabase_auth_admin: 'login noinherit createrole',
      supabase_storage_admin: 'login noinherit createrole',
    },
    schemas: ['public'],
    asked: () => ['select pg_terminate_backend(N)'],
    sessionOf: 'supabase_admin',
  },
  {
    name: 'superuser',
    file: 'superuser',
    user: 'super_user',
    roles: { super_app: '', super_reader: '', super_user: `superuser ${login}` },
    schemas: ['public'],
    asked: () => [],
  },
];

/** Runs `work` over a profile's production, laid out anew; its roles and all it left go afterwards. */
export async function withProfile<T>(
  profile: Profile,
  work: (migration: Migration) => Promise<T>,
): Promise<T> {
  const { roles, file, user, schemas } = profile;
  await dropRoles(Object.keys(roles));
  let migration: Migration | undefined;
  try {
    for (const [name, attributes] of Object.entries(roles))
      await onServer(`create role ${name} ${attributes}`);
    migration = await layOutOther({
      prepared: sqlOf(file),
      before: '',
      after: sqlOf(`${file}.after`),
      user,
      change: (plan) => {
        Object.assign(plan, { deploy: [], smoke: [], rollbackSmoke: [] });
        (plan.databases as { production: { schemas?: string[] } }).production.schemas = schemas;
      },
    });
    return await work(migration);
  } finally {
    await migration?.drop();
    await dropRoles(Object.keys(roles));
  }
}

/** Drops roles, as SQL names them, with their memberships, whoever granted these; harmless where there are none. */
export async function dropRoles(names: readonly string[]): Promise<void> {
  const last = [...names].reverse();
  for (const name of last) {
    const there = await query(testPostgres().url('postgres'), 'select to_regrole($1) is not null as there', [
      name,
    ]);
    if (there[0]?.there === true) await onServer(`drop owned by ${name} cascade`);
  }
  await onServer(`drop role if exists ${last.join(', ')}`);
}

function sqlOf(name: string): string {
  return readFileSync(path.join(packageRoot, 'test', 'support', 'profiles', `${name}.sql`), 'utf8');
}

/** The statement that a finding asks for, as production's superuser would type it. */
export function mendOf(finding: string, user: string): string | null {
  const [, sql] =
    /(?:Grant it|Let it): ((?:grant|alter role) [^.]+)\./.exec(finding) ??
    /: (select pg_terminate_backend\(\d+\)|alter (?:event trigger|role) [^.]+)\.?$/.exec(finding) ??
    [];
  if (sql) return sql;
  const [, role] = /Grant it (pg_\w+)\./.exec(finding) ?? [];
  return role ? `grant ${role} to ${user}` : null;
}

/**
 * Checks as a run does, and does what the findings ask for, until nothing is found.
 * @returns the statements that it asked for
 * @throws Error with the findings that name no remedy, or that stay after it
 */
export async function checkedAndMended(migration: Migration, user: string): Promise<string[]> {
  const done: string[] = [];
  for (;;) {
    const findings = await new BareMigration(migration).check();
    if (findings.length === 0) return done;
    const mends = findings.flatMap((finding) => mendOf(finding, user) ?? []);
    const fresh = mends.filter((sql) => !done.includes(sql));
    if (fresh.length === 0)
      throw new Error(`No remedy (asked for: ${done.join('; ')}): ${findings.join('\n')}`);
    for (const sql of new Set(fresh)) {
      await query(migration.production.url, sql);
      done.push(sql);
    }
  }
}

/** What a person compares after a way back: the whole definition, and what is in every table, view and sequence. */
export async function portraitOf({ production: { url } }: Migration) {
  return { definition: (await definitionOf(url)).sort(), contents: await contentsOf(url) };
}

/** What must be as it was under a new schema too: the definition beside the managed schemas, and the rows of all tables. */
export async function keptPortraitOf({ production: { url } }: Migration, schemas: readonly string[]) {
  const beside = ['--create', ...schemas.map((schema) => `--exclude-schema=${schema}`)];
  const tables = await query<{ name: string }>(
    url,
    `select format('%I.%I', nspname, relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and n.nspname !~ '^pg_|^information_schema$|^kirikae$' order by 1`,
  );
  const contents = await contentsOf(url);
  const isTable = new Set(tables.map(({ name }) => name));
  return {
    definition: (await definitionOf(url, beside)).sort(),
    rows: Object.fromEntries(Object.entries(contents).filter(([name]) => isTable.has(name))),
  };
}

/** What a run left, settings of the database's own aside. */
export async function leftBy(migration: Migration): Promise<string[]> {
  const found = await leftovers(migration);
  return found.filter((what) => !/^the database setting (?!default_transaction_read_only)/.test(what));
}

/** A session in production that a host's own superuser keeps. */
export async function sessionIn(url: string, user: string): Promise<Client> {
  const client = new Client({ ...clientConfig(asUser(url, user)), application_name: 'of the host' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
