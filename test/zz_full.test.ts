// temp: apply mapping through compiler? counts of enum values & 40,000 users timing
import { Client } from 'pg';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { generateTumiki } from '../examples/tumiki/generate';
import { createTumikiSchema } from './support/tumiki-database';
import { migrateTumikiByHand } from './support/tumiki-by-hand';
import { checkTumikiMigration } from './support/tumiki-checker';
async function db(name: string, t?: string) {
  const a = new Client({ connectionString: 'postgres://postgres@127.0.0.1:55911/postgres' }); await a.connect();
  await a.query(`drop database if exists ${name}`); await a.query(`create database ${name} ${t ? 'template ' + t : ''}`); await a.end();
  const c = new Client({ connectionString: `postgres://postgres@127.0.0.1:55911/${name}` }); await c.connect(); return c;
}
test.each([2000, 40000])('%s', async (users) => {
  let c = await db('big'); await createTumikiSchema(c, 'before');
  let t = Date.now(); await generateTumiki(c, { users }); console.log(users, 'generate', Date.now() - t);
  const enums = (await c.query(`select table_name t, column_name c, udt_name u from information_schema.columns where table_schema='public' and udt_name in (select typname from pg_type where typtype='e')`)).rows;
  for (const e of enums) {
    const r = await c.query(`select array_agg(x::text) as m from unnest(enum_range(null::"${e.u}")) x where not exists (select 1 from "${e.t}" where "${e.c}" = x)`);
    if (r.rows[0].m) console.log('missing', e, r.rows[0].m);
  }
  console.log((await c.query(`select pg_size_pretty(pg_database_size('big')) s, (select count(*) from "McpServerRequestLog" where "userId" is null and "organizationId" is null) n`)).rows);
  await c.end();
  if (users > 2000) return;
  const before = await db('bigb', 'big'); const after = await db('biga', 'big');
  await migrateTumikiByHand(after);
  t = Date.now(); const v = await checkTumikiMigration(before, after); console.log('judge', Date.now() - t, v, process.memoryUsage().rss / 1e6);
  for (const a of parse(readFileSync('examples/tumiki/mapping.yaml', 'utf8')).assertions) { t = Date.now(); expect([a.name, (await after.query(a.sql)).rowCount]).toEqual([a.name, 0]); console.log(a.name, Date.now() - t); }
  await before.end(); await after.end();
}, 600000);
