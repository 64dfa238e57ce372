/** Several hosts share the copying of one run, as their free slots come. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Client } from 'pg';
import { groupsInFlight } from '../src/engine/room';
import { withClient } from '../src/postgres/connect';
import { createDatabase, testPostgres, type TestDatabase } from './support/environment';
import { approve, ending, layOutMigration, startRun, withWorker, type Migration } from './support/migration';
import { openNamespace } from './support/namespace';
import { withDatabase } from '../lab/stage';

const tableCount = 160;
const ddl = Array.from(
  { length: tableCount },
  (_, index) => `create table t${index} (id integer primary key, name text);`,
).join('\n');

let server: Awaited<ReturnType<typeof openNamespace>>;
let template: TestDatabase;
let migration: Migration;

beforeAll(async () => {
  server = await openNamespace('workers-share');
  template = await createDatabase('share_template');
  await withDatabase(template.url, async (client) => {
    await client.query(ddl);
    for (let index = 0; index < tableCount; index++)
      await client.query(`insert into t${index} select n, 'row ' || n from generate_series(1, 20) n`);
  });
  migration = await layOutMigration(template.name, (plan) => {
    plan.mapping = 'mapping.yaml';
    plan.schema = { kind: 'sql', dir: 'schema' };
    plan.deploy = [];
  });
  const schema = path.join(migration.folder, 'schema');
  mkdirSync(schema);
  writeFileSync(path.join(schema, 'all.sql'), ddl);
  writeFileSync(path.join(migration.folder, 'mapping.yaml'), '{}\n');
});

afterAll(async () => {
  await migration.drop();
  await template.drop();
  await server.close();
});

/** Who completed how many groups of each phase: phase → worker → groups. */
async function sharesOf(workflowId: string): Promise<Record<string, Record<string, number>>> {
  const { events } = await server.client.workflow.getHandle(workflowId).fetchHistory();
  const shares: Record<string, Record<string, number>> = {};
  for (const { activityTaskCompletedEventAttributes: completed } of events ?? []) {
    if (!completed) continue;
    const scheduled = events?.find((event) => event.eventId?.eq(completed.scheduledEventId ?? 0));
    const { activityType, input } = scheduled?.activityTaskScheduledEventAttributes ?? {};
    if (activityType?.name !== 'copyGroup') continue;
    const data = input?.payloads?.[0]?.data ?? new Uint8Array();
    const { phase } = JSON.parse(Buffer.from(data).toString()) as { phase: { name: string } };
    const share = (shares[phase.name] ??= {});
    const worker = completed.identity ?? '';
    share[worker] = (share[worker] ?? 0) + 1;
  }
  return shares;
}

test('four hosts share backup and migration, and none takes more than half of the groups', async () => {
  const hosts = ['host-a', 'host-b', 'host-c', 'host-d'];
  await withWorker(
    migration,
    server.namespace,
    async () => {
      const handle = await startRun(server.client);
      await approve(handle);
      expect((await ending(handle)).outcome).toBe('migrated');
      const shares = await sharesOf(handle.workflowId);
      for (const phase of ['backup', 'migrate']) {
        const share = shares[phase] ?? {};
        const groups = Object.values(share).reduce((sum, count) => sum + count, 0);
        expect(groups).toBeGreaterThanOrEqual(12);
        expect(Object.keys(share).sort()).toEqual(hosts);
        expect(Math.max(...Object.values(share))).toBeLessThanOrEqual(groups / 2);
      }
    },
    hosts,
  );
});

test('no more groups are in flight than the servers have sessions for', async () => {
  const admin = testPostgres().url('postgres');
  const limited = await createDatabase('room');
  const role = `room_${process.pid}`;
  await withDatabase(admin, (client) =>
    client.query(`create role ${role} login password 'room' connection limit 17`),
  );
  try {
    const url = new URL(limited.url);
    url.username = role;
    url.password = 'room';
    await withClient(url.toString(), 'test', async (client) => {
      // 17 less this one, less ten that are kept, two a group.
      expect(await groupsInFlight([client])).toBe(3);
      const others = await Promise.all(
        Array.from({ length: 6 }, async () => {
          const other = new Client({ connectionString: url.toString() });
          await other.connect();
          return other;
        }),
      );
      expect(await groupsInFlight([client])).toBe(1);
      await Promise.all(others.map((other) => other.end()));
    });
    await withClient(limited.url, 'test', async (client) => {
      expect(await groupsInFlight([client])).toBeGreaterThan(8);
    });
  } finally {
    await limited.drop();
    await withDatabase(admin, (client) => client.query(`drop role ${role}`));
  }
});
