/** A gate in a database: rows of one table can't be written while a test holds it shut. Stops a copy at a known place. */
import { Client } from 'pg';
import { identifier } from '../../src/postgres/sql';
import { until } from '../../lab/stage';

const key = 4711;

/** SQL that gives a table the gate: a check that waits for an advisory lock, which is one per database. It calls nobody's function. */
export function gateSql(table: string): string {
  return `alter table public.${identifier(table)} add constraint gate check (num_nulls(pg_advisory_xact_lock_shared(${key})) = 0);`;
}

/** SQL that gives it to a table of a backup as soon as that is made: a backup takes over no check. */
export function gateOfBackupSql(table: string): string {
  const name = `public.${identifier(table)}`;
  return `
    create schema gate;
    create function gate.wait() returns trigger language plpgsql as $$
    begin
      perform pg_advisory_xact_lock_shared(${key});
      return null;
    end $$;
    create function gate.build() returns event_trigger language plpgsql as $$
    begin
      if exists (select from pg_event_trigger_ddl_commands() where objid = to_regclass('${name}')) then
        create trigger gate before insert on ${name} execute function gate.wait();
      end if;
    end $$;
    create event trigger gate on ddl_command_end when tag in ('CREATE TABLE') execute function gate.build();`;
}

export interface Gate {
  /** Waits until so many sessions stand before the gate. */
  reached: (sessions?: number) => Promise<void>;
  /** Backend of the first session that waits. */
  waitingPid: () => Promise<number | undefined>;
  /** Lets everyone pass. */
  open: () => Promise<void>;
}

/** Shuts the gate of a database. The session's name keeps it alive under the fence. */
export async function shutGate(url: string): Promise<Gate> {
  const client = new Client({ connectionString: url, application_name: 'kirikae gate of a test' });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('select pg_advisory_lock($1)', [key]);
  const waiting = async () => {
    const { rows } = await client.query<{ pid: number }>(
      `select pid from pg_locks join pg_stat_activity using (pid)
       where locktype = 'advisory' and not granted and objid = $1 and datname = current_database() order by query_start`,
      [key],
    );
    return rows.map((row) => row.pid);
  };
  return {
    reached: async (sessions = 1) => void (await until(async () => (await waiting()).length >= sessions)),
    waitingPid: async () => (await waiting())[0],
    open: () => client.end(),
  };
}

export interface Reader {
  /** Waits until somebody stands in line for the table. */
  isWaitedFor: () => Promise<void>;
  letGo: () => Promise<void>;
}

/** Reads a table in a transaction that stays open, by a session that is kept alive under the fence. */
export async function readerOf(url: string, table: string): Promise<Reader> {
  const client = new Client({ connectionString: url, application_name: 'kirikae reader of a test' });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('begin');
  await client.query(`select from ${table} limit 1`);
  const waiting = 'select from pg_locks where relation = $1::regclass and not granted';
  return {
    isWaitedFor: async () =>
      void (await until(async () => (await client.query(waiting, [table])).rows.length > 0)),
    letGo: () => client.end(),
  };
}
