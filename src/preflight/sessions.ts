/** Preflight of the room for sessions: those that a run needs against the limits of servers, users and databases. */
import type { Client } from 'pg';
import { roomOf, type Limit, type Room } from '../engine/room';
import { withClient } from '../postgres/connect';
import type { DatabaseRole, Place } from '../postgres/endpoint';
import { lanesOfHost } from '../postgres/lanes';
import { identifier } from '../postgres/sql';
import { otherDatabase } from '../postgres/url';
import type { Opened } from './connections';

// Beside those of the lanes: the step's own, and a pair (pg_dump is run twice at a time) or a look at the claim.
const beside = 3;

interface Needing {
  role: DatabaseRole;
  room: Room;
  exists: boolean;
}

/** Sessions that a run has open at a time in these databases; the shadow's are closed while lanes work in the others. */
export function sessionsNeeded(roles: readonly DatabaseRole[], lanes = lanesOfHost()): number {
  const atOnce = roles.filter((role) => role !== 'shadow').length * (lanes + beside);
  return Math.max(atOnce, beside);
}

/** Sentences for limits that a run would reach, each with the statement that raises it. */
export async function findSessionShortage(
  opened: Opened,
  places: Record<DatabaseRole, Place>,
): Promise<string[]> {
  const all: Needing[] = [];
  for (const role of ['production', 'backup', 'shadow'] as const) {
    const look = (client: Client) => roomOf(client, 'kirikae preflight');
    const client = opened[role]?.client;
    // What has to be created yet gets no limit of its own.
    const room = client
      ? await look(client)
      : await withClient(otherDatabase(places[role].url, 'postgres'), 'preflight', look);
    all.push({ role, room, exists: client !== undefined });
  }
  const found: string[] = [];
  const compare = (
    groups: Iterable<Needing[]>,
    limitOf: (room: Room) => Limit | null,
    who: (room: Room, roles: string) => string,
    advice: (room: Room, atLeast: number) => string,
  ) => {
    for (const group of groups) {
      const [first] = group;
      const limit = first && limitOf(first.room);
      if (!limit) continue;
      const roles = group.map(({ role }) => role);
      const needed = sessionsNeeded(roles);
      if (limit.most - limit.inUse >= needed) continue;
      found.push(
        `${who(first.room, roles.join(', '))} may have ${limit.most} sessions, ${limit.inUse} of them are in use, and a run needs ${needed}: it would wait for ever. ${advice(first.room, limit.inUse + needed)}`,
      );
    }
  };
  compare(
    groupBy(all, ({ room }) => room.server),
    (room) => room.ofServer,
    (_room, roles) => `The server of ${roles}`,
    (_room, atLeast) =>
      `End some, or raise max_connections, until at least ${atLeast} are there beside the reserved ones.`,
  );
  compare(
    groupBy(all, ({ room }) => `${room.server} ${room.user}`),
    (room) => room.ofUser,
    ({ user }, roles) => `User ${user} of ${roles}`,
    ({ user }, atLeast) =>
      `End some, or raise its limit: alter role ${identifier(user)} connection limit ${atLeast}`,
  );
  compare(
    all.filter(({ exists }) => exists).map((one) => [one]),
    (room) => room.ofDatabase,
    (_room, roles) => `The ${roles} database`,
    ({ database }, atLeast) =>
      `End some, or raise its limit: alter database ${identifier(database)} connection limit ${atLeast}`,
  );
  return found;
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Iterable<T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups.values();
}
