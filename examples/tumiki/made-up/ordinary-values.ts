/** SQL expressions for made-up values, all computed from a number: the same seed gives the same rows, and references need no look-up. */
import { identifier, identifiers, literal } from '../../../src/postgres/sql';

/** Expressions over row numbers; `n` is SQL text such as `n` or `n / 2`, `kind` keeps the values of different columns apart. */
export function tumikiValues(users: number, seed: number) {
  const hash = (kind: string, n: string) => `md5(${literal(`${seed}:${kind}:`)} || (${n}))`;
  const id = (kind: string, n: string) => `'c' || substr(${hash(kind, n)}, 1, 24)`;
  const pick = (kind: string, n: string, choices: number) =>
    `(('x' || substr(${hash(`${kind}?`, n)}, 1, 7))::bit(28)::int % ${choices})`;
  const oneOf = (type: string, kind: string, n: string, choices: number) =>
    `(enum_range(null::${identifier(type)}))[1 + ${pick(kind, n, choices)}]`;
  const time = (kind: string, n: string) =>
    `timestamp '2023-04-01' + ${pick(`${kind}.time`, n, 70_000_000)} * interval '1.001 second'`;
  const times = (kind: string, n: string) => ({
    createdAt: time(kind, n),
    updatedAt: `timestamp '2025-08-01' + ${pick(`${kind}.update`, n, 700_000)} * interval '1.001 second'`,
  });
  const words = (kind: string, n: string, repeats: string) =>
    `repeat('Lorem ipsum dolor, ça va 切り替え ' || substr(${hash(kind, n)}, 1, 12) || '. ', ${repeats})`;

  const teams = Math.max(3, Math.ceil(users / 20));
  const servers = Math.max(5, Math.ceil(users / 10));
  const documents = Math.ceil(users * 1.5);
  const logs = Math.max(22 * users, users >= 200 ? 10_500 : 0);
  const members = `generate_series(0, ${teams - 1}) t, generate_series(0, least(2 + t % 19, ${users}) - 1) k`;
  const inTeams = (count: number) => `generate_series(0, ${teams - 1}) t, generate_series(0, ${count - 1}) k`;

  const user = (n: string) => `case (${n}) % 3
      when 0 then 'auth0|' || substr(${hash('user', n)}, 1, 24)
      when 1 then 'google-oauth2|1' || lpad(((${n})::bigint * 7919)::text, 20, '0')
      else ${id('user', n)} end`;
  const userOrNone = (kind: string, n: string, owner: string) => `case
      when ${pick(kind, n, 10)} < 7 then ${user(owner)}
      when ${pick(kind, n, 10)} = 7 then ${user(pick(`${kind}.other`, n, users))} end`;
  const team = (n: string) => id('team', `(${n}) % ${teams}`);
  const teamOrNone = (kind: string, n: string, owner: string) =>
    `case when ${pick(kind, n, 3)} = 0 then ${team(`(${owner}) / 20`)} end`;
  const member = id('member', `t || '.' || k`);
  const half = (kind: string) => id(kind, `t || '.' || k % 2`);
  const serverOf = (config: string) => pick('config.server', config, servers);

  return {
    teams,
    servers,
    documents,
    logs,
    members,
    inTeams,
    hash,
    id,
    pick,
    oneOf,
    time,
    times,
    words,
    user,
    userOrNone,
    team,
    teamOrNone,
    member,
    half,
    serverOf,
  };
}

/** SQL that fills one table: an expression a column, over `n` (or what `from` names). */
export function fill(table: string, from: number | string, columns: Record<string, string>): string {
  const rows = typeof from === 'number' ? `generate_series(0, ${from - 1}) n` : from;
  return `insert into ${identifier(table)} (${identifiers(Object.keys(columns))})
          select ${Object.values(columns).join(', ')} from ${rows}`;
}
