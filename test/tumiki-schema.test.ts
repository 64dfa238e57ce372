/** The example's schemas: what their SQL builds is, whole, what Tumiki's own migrations built. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Client } from 'pg';
import { createTumikiSchema, tumikiFolder, withDatabase, type TumikiSide } from '../lab/stage';
import { createDatabase } from './support/environment';

test.each<TumikiSide>(['before', 'after'])(
  'the %s schema equals its reference in every detail',
  async (side) => {
    const database = await createDatabase(`tumiki_${side}`);
    const reference = path.join(tumikiFolder, 'reference', `tumiki-schema-${side}.json`);
    try {
      const built = await withDatabase(database.url, async (client) => {
        await createTumikiSchema(client, side);
        return introspect(client);
      });
      expect(built).toEqual(JSON.parse(readFileSync(reference, 'utf8')));
    } finally {
      await database.drop();
    }
  },
);

/** The schema public in the form of the reference: enums, tables, columns, keys and indexes. */
async function introspect(client: Client): Promise<unknown> {
  const { rows } = await client.query<{ schema: unknown }>(`
    select json_build_object(
      'enums', (select json_object_agg(typname, (${enumLabels})) from pg_type t
                 where typtype = 'e' and typnamespace = 'public'::regnamespace),
      'tables', (select json_object_agg(relname, json_build_object(
          'columns', (${columns}),
          'primaryKey', (${primaryKey}),
          'indexes', coalesce((${indexes}), '[]'),
          'foreignKeys', coalesce((${foreignKeys}), '[]')))
        from pg_class c where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace)
    ) as schema`);
  return rows[0]?.schema;
}

const enumLabels = `select json_agg(enumlabel order by enumsortorder) from pg_enum where enumtypid = t.oid`;

const columns = `
  select json_agg(json_strip_nulls(json_build_object(
      'name', attname,
      'type', format_type(atttypid, atttypmod),
      'nullable', case when not attnotnull then true end,
      'default', pg_get_expr(adbin, adrelid))) order by attnum)
    from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
   where attrelid = c.oid and attnum > 0 and not attisdropped`;

const namesOf = (relation: string, numbers: string) => `
  (select json_agg(attname order by position)
     from unnest(${numbers}) with ordinality as k (number, position)
     join pg_attribute on attrelid = ${relation} and attnum = number)`;

const primaryKey = `
  select ${namesOf('conrelid', 'conkey')} from pg_constraint where conrelid = c.oid and contype = 'p'`;

const indexes = `
  select json_agg(json_build_object(
      'name', i.relname,
      'unique', indisunique,
      'columns', (select json_agg(pg_get_indexdef(indexrelid, n, true) order by n)
                    from generate_series(1, indnatts) n)) order by i.relname collate "C")
    from pg_index join pg_class i on i.oid = indexrelid
   where indrelid = c.oid and not indisprimary`;

const action = (column: string) =>
  `case ${column} when 'c' then 'CASCADE' when 'n' then 'SET NULL' when 'r' then 'RESTRICT' else ${column}::text end`;

const foreignKeys = `
  select json_agg(json_build_object(
      'columns', ${namesOf('conrelid', 'conkey')},
      'references', r.relname,
      'referencedColumns', ${namesOf('confrelid', 'confkey')},
      'onDelete', ${action('confdeltype')},
      'onUpdate', ${action('confupdtype')}) order by conname collate "C")
    from pg_constraint join pg_class r on r.oid = confrelid
   where conrelid = c.oid and contype = 'f'`;
