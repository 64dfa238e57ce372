/** Users at the door: whenever the page is off, production must be completely old or completely new; the first to come in writes. */
import { existsSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from 'pg';
import { sentence } from '../src/errors';
import type { Place } from './database-state';
import { query, until } from './stage';

export interface UserWatch {
  /** What was seen while the page was off and production was neither; empty when all is well. */
  problems: string[];
  hasWritten: () => boolean;
  /** Takes back what a user wrote. @returns false when it was gone, null when nobody had written */
  takeBack: () => Promise<boolean | null>;
  writeAgain: () => Promise<void>;
  /** application_name of the watching session. */
  session: string;
  stop: () => Promise<void>;
}

// Like the run's own, so that the fence spares it.
const session = 'kirikae watch of a test';
const written = ' (wrote)';
// A server that is being started again isn't one that keeps users out.
const patienceMs = 20_000;

/** Looks about ten times a second until it is stopped. */
export async function watchUsers(
  { urls, flagFile }: Pick<Place, 'urls' | 'flagFile'>,
  reference: { old: { shape: string }; new: { shape: string } },
): Promise<UserWatch> {
  const problems: string[] = [];
  let ended = false;
  let wasOn = false;
  let hasWritten = false;
  let client = await open(urls.production);
  const isOff = () => !existsSync(flagFile);
  const look = async () => {
    if (!isOff()) wasOn = true;
    if (!wasOn || !isOff()) return;
    const { phase, from, shape } = await standing(client);
    // On again meanwhile: what was seen may belong to that.
    if (!isOff()) return;
    const allowed = allowedAt(phase, from, reference);
    if (!allowed.includes(shape)) {
      const text = `The page was off while the ledger was at ${phase ?? 'nothing'} and production ${describe(shape, reference)}.`;
      if (!problems.includes(text)) problems.push(text);
    }
    if (hasWritten || (phase !== null && phase !== 'live' && phase !== 'home')) return;
    // A crash right after it may not take it back, whatever the database says of its commits.
    await query(urls.production, `set synchronous_commit = on; ${change(`name || '${written}'`)}`);
    hasWritten = true;
  };
  const looking = (async () => {
    while (!ended) {
      try {
        await look();
      } catch (error) {
        if (ended) break;
        await client.end().catch(() => undefined);
        let refused: unknown;
        const isIn = await until(async () => {
          refused = await open(urls.production).then(
            (opened) => void (client = opened),
            (again: unknown) => again ?? error,
          );
          return ended || refused === undefined;
        }, patienceMs);
        if (isIn) continue;
        problems.push(`The users can't get in: ${sentence(error)}, ${sentence(refused)}`);
        ended = true;
      }
      await wait(100);
    }
  })();
  return {
    problems,
    session,
    hasWritten: () => hasWritten,
    takeBack: async () => {
      if (!hasWritten) return null;
      const rows = await query(
        urls.production,
        `${change(`replace(name, '${written}', '')`)} and name like '%${written}' returning 1`,
      );
      return rows.length === 1;
    },
    writeAgain: async () => void (await query(urls.production, change(`name || '${written}'`))),
    stop: async () => {
      ended = true;
      await looking;
      await client.end().catch(() => undefined);
    },
  };
}

function change(name: string): string {
  return `update public."User" set name = ${name} where id = (select min(id) from public."User" where name is not null)`;
}

async function open(url: string): Promise<Client> {
  const client = new Client({ connectionString: url, application_name: session });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function standing(
  client: Client,
): Promise<{ phase: string | null; from: string | null; shape: string }> {
  await client.query('begin isolation level repeatable read read only');
  try {
    const shape = await shapeOf(client);
    const there = await client.query(`select 1 where to_regclass('kirikae.claim') is not null`);
    if (there.rows.length === 0) return { phase: null, from: null, shape };
    const { rows } = await client.query<{ phase: string; from: string | null }>(
      'select phase, goes_back_from as "from" from kirikae.claim',
    );
    return { phase: rows[0]?.phase ?? null, from: rows[0]?.from ?? null, shape };
  } finally {
    await client.query('rollback').catch(() => undefined);
  }
}

/** Tables, columns, indexes, constraints and users, in short. */
export async function shapeOf(client: Pick<Client, 'query'>): Promise<string> {
  const { rows } = await client.query<{ shape: string; users: boolean }>(
    `select concat_ws(' ', count(*), (select count(*) from pg_attribute a join pg_class t on t.oid = a.attrelid
         where t.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped and t.relkind in ('r', 'i')),
       (select count(*) from pg_constraint where connamespace = 'public'::regnamespace and contype <> 'n')) as shape,
       to_regclass('public."User"') is not null as users
     from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'i', 'S')`,
  );
  const [found] = rows;
  if (!found?.users) return `${found?.shape} no users`;
  const { rows: users } = await client.query<{ n: string }>('select count(*) as n from public."User"');
  return `${found.shape} ${users[0]?.n} users`;
}

function allowedAt(
  phase: string | null,
  from: string | null,
  reference: { old: { shape: string }; new: { shape: string } },
): string[] {
  switch (phase) {
    case null:
      return [reference.old.shape, reference.new.shape];
    case 'live':
      return [reference.new.shape];
    case 'claimed':
    case 'closed':
    case 'home':
      return [reference.old.shape];
    case 'over':
      return [from === null ? reference.new.shape : reference.old.shape];
    case 'returning':
      return from === 'live' ? [reference.new.shape] : from === 'claimed' ? [reference.old.shape] : [];
    default:
      return [];
  }
}

function describe(shape: string, reference: { old: { shape: string }; new: { shape: string } }): string {
  if (shape === reference.old.shape) return 'old';
  return shape === reference.new.shape ? 'new' : `neither old nor new (${shape})`;
}
