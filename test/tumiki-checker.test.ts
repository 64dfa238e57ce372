/** The judge of Tumiki migrations is itself judged: it accepts a right migration and names every kind of wrong one. */
import { Client } from 'pg';
import { generateTumiki } from '../examples/tumiki/generate';
import { createTumikiSchema, fillTumiki } from '../lab/stage';
import { createDatabase, type TestDatabase } from './support/environment';
import { migrateTumikiByHand } from './support/tumiki-by-hand';
import { checkTumikiMigration, hashDatabase } from '../lab/tumiki-checker';

const databases: TestDatabase[] = [];
const clients: Client[] = [];
let before: Client;
let migrated: TestDatabase;
let migratedRows: number;

async function open(database: TestDatabase): Promise<Client> {
  const client = new Client({ connectionString: database.url });
  await client.connect();
  clients.push(client);
  return client;
}

async function close(client: Client): Promise<void> {
  clients.splice(clients.indexOf(client), 1);
  await client.end();
}

beforeAll(async () => {
  const original = await createDatabase('judge_before');
  databases.push(original);
  await fillTumiki(original.url, 20);
  migrated = await createDatabase('judge_after', original.name);
  databases.push(migrated);
  const migrating = await open(migrated);
  await migrateTumikiByHand(migrating);
  migratedRows = await countRows(migrating);
  await close(migrating);
  before = await open(original);
});

afterAll(async () => {
  await Promise.all(clients.map((client) => client.end()));
  await Promise.all(databases.map((database) => database.drop()));
});

async function countRows(client: Client): Promise<number> {
  const hashes = await hashDatabase(client);
  return Object.values(hashes).reduce((sum, content) => sum + Number(content.split(' ')[0]), 0);
}

/** The verdict on the right migration after something has been done to it. */
async function judge(damage: string): ReturnType<typeof checkTumikiMigration> {
  const damaged = await createDatabase('judge_damaged', migrated.name);
  databases.push(damaged);
  const client = await open(damaged);
  await client.query(`set session_replication_role = replica; ${damage}`);
  const verdict = await checkTumikiMigration(before, client);
  await close(client);
  return verdict;
}

test('accepts a migration written by hand, and judges every row of it', async () => {
  expect(await judge('')).toEqual({ rowsJudged: migratedRows, problems: [] });
  expect(migratedRows).toBeGreaterThan(2000);
});

const log = `(select min(id) from "McpServerRequestLog")`;
const personal = `'porg_' || md5('auth0|awkward0')`;

test.each([
  [
    'one byte of a bytea',
    `update "McpServerRequestData" set "inputDataCompressed" = set_byte("inputDataCompressed", 3999999, 0) where length("inputDataCompressed") = 4000000`,
    /^McpServerRequestData "cawkwarddata4": "inputDataCompressed" is .*, expected /,
  ],
  [
    'the scale of a number in jsonb',
    `update "Message" set attachments = replace(attachments::text, '1.00', '1.0')::jsonb where id = 'cawkwardmessage4'`,
    /^Message "cawkwardmessage4": "attachments" is /,
  ],
  [
    'an empty array for NULL',
    `update "McpServer" set args = '{}' where id = 'cawkwardserver0'`,
    /^McpServer "cawkwardserver0": "args" is "\{\}", expected NULL\.$/,
  ],
  [
    'a deleted row',
    `delete from "McpServerRequestLog" where id = ${log}`,
    /^McpServerRequestLog "c\w+" is missing\.$/,
  ],
  [
    'a doubled row',
    `alter table "Tool" drop constraint "Tool_pkey" cascade; drop index "Tool_mcpServerId_name_key";
     insert into "Tool" select * from "Tool" where id = 'cawkwardtool3'`,
    /^Tool "cawkwardtool3" should not be there \(or not twice\)\.$/,
  ],
  [
    'an invented row',
    `insert into waiting_list (id, email) values ('zz', 'new@example.org')`,
    /^waiting_list "zz" should not be there/,
  ],
  [
    'a personal organization that is a team',
    `update "Organization" set "isPersonal" = false where id = ${personal}`,
    /^Organization "porg_\w+": "isPersonal" is "false", expected "true"\.$/,
  ],
  [
    'a personal organization with a stranger as its member',
    `update "OrganizationMember" set "userId" = 'google-oauth2|999999999999999991' where "organizationId" = ${personal}`,
    /^OrganizationMember "pmem_\w+": "userId" is "google-oauth2/,
  ],
  [
    'a team with room for one',
    `update "Organization" set "maxMembers" = 1 where id = 'cawkwardteam3'`,
    /^Organization "cawkwardteam3": "maxMembers" is "1", expected "20"\.$/,
  ],
  [
    'a user without default organization',
    `update "User" set "defaultOrganizationId" = null where id = 'auth0|awkward0'`,
    /^User "auth0\|awkward0": "defaultOrganizationId" is NULL, expected "porg_/,
  ],
  [
    'a log with another organization',
    `update "McpServerRequestLog" set "organizationId" = ${personal} where id = 'cawkwardlog2'`,
    /^McpServerRequestLog "cawkwardlog2": "organizationId" is "porg_\w+", expected "cawkwardteam0"\.$/,
  ],
  ['a table that is gone', `drop table "Vote"`, /^Table Vote is missing\.$/],
  ['a table too many', `create table stray (id text)`, /^Table stray is new: no rule makes it\.$/],
  [
    'a column too many',
    `alter table "Chat" add stray text`,
    /^Table Chat has the columns .*stray; expected /,
  ],
])('names %s', async (_what, damage, problem) => {
  const { problems } = await judge(damage);
  expect(problems).toEqual([expect.stringMatching(problem)]);
});

test('names both rows of a swap', async () => {
  const { problems } = await judge(`
    update "Chat" set title = case id when 'cawkwardchat1' then (select title from "Chat" where id = 'cawkwardchat2')
                                      else (select title from "Chat" where id = 'cawkwardchat1') end
     where id in ('cawkwardchat1', 'cawkwardchat2')`);
  expect(problems).toEqual([
    expect.stringMatching(/^Chat "cawkwardchat1": "title" is /),
    expect.stringMatching(/^Chat "cawkwardchat2": "title" is /),
  ]);
});

test('lists no more than 20 problems, and still judges all rows', async () => {
  const verdict = await judge(`update "McpServerRequestLog" set "durationMs" = 12345678`);
  expect(verdict.problems).toHaveLength(20);
  expect(verdict.rowsJudged).toBe(migratedRows);
});

test('hashes the same content the same, whatever the order of its rows', async () => {
  const copy = await createDatabase('judge_order', migrated.name);
  databases.push(copy);
  const client = await open(copy);
  await client.query(`create sequence counter`);
  const hashes = await hashDatabase(client);
  await client.query(`cluster "Chat" using "Chat_pkey"; update "Message" set role = role`);
  expect(await hashDatabase(client)).toEqual(hashes);

  await client.query(
    `select nextval('counter'); update "Message" set role = role || '.' where id = 'cawkwardmessage1'`,
  );
  const changed = await hashDatabase(client);
  const differing = Object.keys(hashes).filter((relation) => changed[relation] !== hashes[relation]);
  expect(differing.sort()).toEqual(['public."Message"', 'public.counter']);
});

test('generates the same rows for the same seed, and other rows for another', async () => {
  const hashes: Record<string, string>[] = [];
  for (const seed of [1, 1, 2]) {
    const database = await createDatabase('judge_seed');
    databases.push(database);
    const client = await open(database);
    await createTumikiSchema(client, 'before');
    await generateTumiki(client, { users: 3, seed });
    hashes.push(await hashDatabase(client));
    await close(client);
  }
  expect(hashes[1]).toEqual(hashes[0]);
  expect(hashes[2]).not.toEqual(hashes[0]);
});

test('generates nothing for no users', async () => {
  const database = await createDatabase('judge_empty');
  databases.push(database);
  await fillTumiki(database.url, 0);
  expect(await countRows(await open(database))).toBe(0);
});
