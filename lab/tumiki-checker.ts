/** The independent judge of a Tumiki migration: reads both databases and shares nothing with the product. */
import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import {
  beginReading,
  compareKeys,
  keyed,
  mergeOrdered,
  must,
  readRows,
  readTables,
  transform,
  type KeyedRow,
  type Row,
  type Table,
} from './ordered-rows';

interface TableRules {
  /** Columns of the table before that are gone. */
  dropped?: string[];
  /** Columns that are new or follow a rule, from the row before. */
  computed?: (row: Row, facts: Facts) => Row;
  /** Rows nobody had before: one for each user. */
  perUser?: (user: Row) => Row;
}

/** What rules need to know beyond their own row. */
interface Facts {
  users: Row[];
  memberCounts: Map<string, number>;
  instances: Map<string, Row>;
}

const md5 = (text: string) => createHash('md5').update(text, 'utf8').digest('hex');
const personalOrganization = (userId: string) => `porg_${md5(userId)}`;
const teamOrPersonal = ({ organizationId, userId }: Row) =>
  organizationId ?? (userId === null || userId === undefined ? null : personalOrganization(userId));
const withoutBoth = (authType: string | null | undefined) =>
  authType === 'BOTH' ? 'OAUTH' : (authType ?? null);
const maxProblems = 20;
const goneTables = ['_ToolToUserMcpServerConfig'];
const foreignTables = ['_prisma_migrations'];

const rules: Record<string, TableRules> = {
  User: {
    dropped: ['hasCompletedOnboarding'],
    computed: (user) => ({ defaultOrganizationId: personalOrganization(must(user.id)) }),
  },
  Organization: {
    computed: (team, { memberCounts }) => ({
      isPersonal: 'false',
      maxMembers: String(Math.max(10, memberCounts.get(must(team.id)) ?? 0)),
    }),
    perUser: (user) => ({
      id: personalOrganization(must(user.id)),
      name: `${user.name || user.email || 'User'}'s Workspace`,
      description: 'Personal workspace',
      logoUrl: null,
      isDeleted: 'false',
      createdBy: must(user.id),
      createdAt: must(user.createdAt),
      updatedAt: must(user.updatedAt),
      isPersonal: 'true',
      maxMembers: '1',
    }),
  },
  OrganizationMember: {
    perUser: (user) => ({
      id: `pmem_${md5(must(user.id))}`,
      organizationId: personalOrganization(must(user.id)),
      userId: must(user.id),
      isAdmin: 'true',
      createdAt: must(user.createdAt),
      updatedAt: must(user.updatedAt),
    }),
  },
  McpApiKey: { dropped: ['userId'] },
  McpServer: { computed: (server) => ({ authType: withoutBoth(server.authType) }) },
  UserMcpServerConfig: {
    dropped: ['userId', 'oauthScopes'],
    computed: (config) => ({ organizationId: teamOrPersonal(config) }),
  },
  UserToolGroup: { dropped: ['userId'], computed: (group) => ({ organizationId: teamOrPersonal(group) }) },
  UserMcpServerInstance: {
    dropped: ['userId'],
    computed: (instance) => ({
      organizationId: teamOrPersonal(instance),
      authType: withoutBoth(instance.authType),
    }),
  },
  McpServerRequestLog: {
    dropped: ['userId'],
    computed: (log, { instances }) => ({
      organizationId:
        teamOrPersonal(log) ?? teamOrPersonal(instances.get(must(log.mcpServerInstanceId)) ?? {}),
    }),
  },
};

/**
 * Judges every column of every row of a migrated Tumiki against the database it came from.
 * Both clients must be idle; each is used for one read-only transaction.
 * @returns the rows judged in `after`, and up to 20 sentences about what is wrong
 */
export async function checkTumikiMigration(
  before: ClientBase,
  after: ClientBase,
): Promise<{ rowsJudged: number; problems: string[] }> {
  const problems: string[] = [];
  let rowsJudged = 0;
  const report = (problem: string) => {
    if (problems.length < maxProblems) problems.push(problem);
  };
  try {
    await beginReading(before);
    await beginReading(after);
    const tablesBefore = await readTables(before);
    const tablesAfter = await readTables(after);
    const facts = await readFacts(before);
    for (const name of tablesAfter.keys()) {
      if (!tablesBefore.has(name) && !foreignTables.includes(name))
        report(`Table ${name} is new: no rule makes it.`);
    }
    for (const name of goneTables) if (tablesAfter.has(name)) report(`Table ${name} should be gone.`);
    for (const [name, source] of tablesBefore) {
      if (goneTables.includes(name) || foreignTables.includes(name)) continue;
      const target = tablesAfter.get(name);
      if (!target) {
        report(`Table ${name} is missing.`);
        continue;
      }
      rowsJudged += await judgeTable({ before, after, source, target, facts, report });
    }
  } finally {
    await before.query('rollback');
    await after.query('rollback');
  }
  return { rowsJudged, problems };
}

async function judgeTable(task: {
  before: ClientBase;
  after: ClientBase;
  source: Table;
  target: Table;
  facts: Facts;
  report: (problem: string) => void;
}): Promise<number> {
  const { before, after, source, target, facts, report } = task;
  const { dropped = [], computed, perUser } = rules[source.name] ?? {};
  const anyRow: Row = Object.fromEntries(source.columns.map((column) => [column, '']));
  const computedColumns = Object.keys(computed?.(anyRow, facts) ?? {});
  const columns = [...new Set([...source.columns, ...computedColumns])].filter(
    (column) => !dropped.includes(column),
  );
  if ([...columns].sort().join() !== [...target.columns].sort().join()) {
    report(
      `Table ${target.name} has the columns ${target.columns.join(', ')}; expected ${columns.join(', ')}.`,
    );
    return 0;
  }

  const copied = transform(readRows(before, source), source.key, (row) => ({
    ...row,
    ...computed?.(row, facts),
  }));
  const added = perUser ? facts.users.map((user) => keyed(perUser(user), source.key)).sort(compareKeys) : [];
  const expected = mergeOrdered(copied, added);
  const actual = readRows(after, { ...target, key: source.key });

  let rowsJudged = 0;
  let wanted = await expected.next();
  let found = await actual.next();
  while (!wanted.done || !found.done) {
    const order = wanted.done ? 1 : found.done ? -1 : compareKeys(wanted.value, found.value);
    if (order < 0 && !wanted.done) {
      report(`${describe(source.name, wanted.value)} is missing.`);
    } else if (order > 0 && !found.done) {
      report(`${describe(source.name, found.value)} should not be there (or not twice).`);
    } else if (!wanted.done && !found.done) {
      for (const column of columns) {
        const [is, should] = [found.value.row[column] ?? null, wanted.value.row[column] ?? null];
        if (is === should) continue;
        report(
          `${describe(source.name, found.value)}: "${column}" is ${shown(is)}, expected ${shown(should)}.`,
        );
      }
    }
    if (order >= 0) rowsJudged++;
    if (order <= 0) wanted = await expected.next();
    if (order >= 0) found = await actual.next();
  }
  return rowsJudged;
}

async function readFacts(before: ClientBase): Promise<Facts> {
  const facts: Facts = { users: [], memberCounts: new Map(), instances: new Map() };
  const table = (name: string, columns: string[]): Table => ({ name, columns, key: ['id'] });
  const userColumns = ['id', 'name', 'email', 'createdAt', 'updatedAt'];
  for await (const { row } of readRows(before, table('User', userColumns))) facts.users.push(row);
  for await (const { row } of readRows(before, table('OrganizationMember', ['id', 'organizationId']))) {
    const team = must(row.organizationId);
    facts.memberCounts.set(team, (facts.memberCounts.get(team) ?? 0) + 1);
  }
  const instanceColumns = ['id', 'organizationId', 'userId'];
  for await (const { row } of readRows(before, table('UserMcpServerInstance', instanceColumns))) {
    facts.instances.set(must(row.id), row);
  }
  return facts;
}

function describe(table: string, { key }: KeyedRow): string {
  return `${table} ${key.map((value) => JSON.stringify(value)).join(', ')}`;
}

function shown(value: string | null): string {
  if (value === null) return 'NULL';
  return value.length <= 60
    ? JSON.stringify(value)
    : `${JSON.stringify(value.slice(0, 60))}… (md5 ${md5(value)})`;
}

/**
 * The content of a database: row count and hash of every table, independent of the order of rows, and the state of every sequence.
 * `client` must be idle. Equal results mean equal content.
 */
export async function hashDatabase(
  client: ClientBase,
  schemas = ['public'],
): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  try {
    await beginReading(client);
    const { rows } = await client.query<{ relation: string; kind: string }>(
      `select format('%I.%I', nspname, relname) as relation, relkind as kind
         from pg_class join pg_namespace n on n.oid = relnamespace
        where nspname = any ($1) and relkind in ('r', 'm', 'S') order by 1`,
      [schemas],
    );
    for (const { relation, kind } of rows) {
      const half = (from: number) => `sum(('x' || substr(md5(t::text), ${from}, 16))::bit(64)::bigint)`;
      const content =
        kind === 'S'
          ? `select last_value || ' ' || is_called as content from ${relation}`
          : `select concat_ws(' ', count(*), ${half(1)}, ${half(17)}) as content from only ${relation} t`;
      const result = await client.query<{ content: string }>(content);
      hashes[relation] = result.rows[0]?.content ?? '';
    }
  } finally {
    await client.query('rollback');
  }
  return hashes;
}
