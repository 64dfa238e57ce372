/** Databases as a whole: looked for, made like another, dropped. */
import type { Client } from 'pg';
import { failureType, sentence } from '../errors';
import { one, withClient } from './connect';
import { shortly } from './deadline';
import { dumpSchema } from './dump';
import { identifier, literal } from './sql';
import { databaseOf, otherDatabase } from './url';

/** True when the URL's server has the database (asked through the database `postgres`). */
export async function databaseExists(url: string, label: string): Promise<boolean> {
  return withClient(otherDatabase(url, 'postgres'), label, async (client) => {
    const rows = await shortly(client, 'select 1 from pg_database where datname = $1', [databaseOf(url)]);
    return rows.length > 0;
  });
}

/** Creates the URL's database with the encoding and locale of `like`; false when it was there. */
export async function createDatabase(url: string, like: Client, label: string): Promise<boolean> {
  if (await databaseExists(url, label)) return false;
  // What older versions don't have is null.
  const model = await one<
    Record<'encoding' | 'collate' | 'ctype', string> & Record<'provider' | 'locale' | 'rules', string | null>
  >(
    like,
    `select pg_encoding_to_char(encoding) as encoding, datcollate as collate, datctype as ctype, d->>'datlocprovider' as provider,
       coalesce(d->>'datlocale', d->>'daticulocale') as locale, d->>'daticurules' as rules
     from pg_database, to_jsonb(pg_database) d where datname = current_database()`,
  );
  const provider = model.provider === 'i' ? 'icu' : model.provider === 'b' ? 'builtin' : null;
  const locale =
    provider && model.locale
      ? ` locale_provider ${provider} ${provider}_locale ${literal(model.locale)}`
      : '';
  const rules = model.rules ? ` icu_rules ${literal(model.rules)}` : '';
  await withClient(otherDatabase(url, 'postgres'), label, (client) =>
    client.query(
      `create database ${identifier(databaseOf(url))} template template0 encoding ${literal(model.encoding)}
       lc_collate ${literal(model.collate)} lc_ctype ${literal(model.ctype)}${locale}${rules}`,
    ),
  );
  return true;
}

/** Drops the URL's database and ends its sessions; nothing when it isn't there. */
export async function dropDatabase(url: string, label: string): Promise<void> {
  await withClient(otherDatabase(url, 'postgres'), label, (client) =>
    client.query(`drop database if exists ${identifier(databaseOf(url))} with (force)`),
  );
}

/** Gives a database the extensions and managed schemas of production. */
export async function prepareLike(
  target: Client,
  production: Client,
  schemas: readonly string[],
): Promise<void> {
  await target.query('set client_min_messages = warning');
  for (const schema of schemas) await target.query(`create schema if not exists ${identifier(schema)}`);
  const extensions = await shortly<{ name: string; schema: string; version: string }>(
    production,
    `select extname as name, nspname as schema, extversion as version
     from pg_extension e join pg_namespace n on n.oid = e.extnamespace order by e.oid`,
  );
  for (const { name, schema, version } of extensions) {
    const there = await shortly(target, 'select 1 from pg_extension where extname = $1', [name]);
    if (there.length > 0) continue;
    // Some stand in pg_catalog, which "create schema if not exists" refuses.
    if (schema !== 'pg_catalog') await target.query(`create schema if not exists ${identifier(schema)}`);
    await target.query(
      `create extension ${identifier(name)} schema ${identifier(schema)} version ${literal(version)} cascade`,
    );
  }
}

/**
 * Gives a shadow the grants, comments and default privileges of production's schemas, where their roles exist.
 * @returns sentences about those that could not be given
 */
export async function grantLike(
  shadow: Client,
  productionUrl: string,
  schemas: readonly string[],
): Promise<string[]> {
  const dump = await dumpSchema(productionUrl, schemas, { owners: true });
  const wanted = dump.pre
    .concat(dump.post)
    .filter(
      (entry) =>
        entry.type === 'DEFAULT ACL' || (/^(ACL|COMMENT)$/.test(entry.type) && /^SCHEMA /.test(entry.name)),
    );
  const notes: string[] = [];
  for (const entry of wanted) {
    await shadow.query(entry.sql).catch((error: unknown) => {
      if (failureType(error) !== 'StepFailed') throw error;
      notes.push(`Left out on the shadow database: ${entry.type} ${entry.name}: ${sentence(error)}.`);
    });
  }
  // The schemas are this user's here. What their owners have in production needs no grant there.
  const owned = await withClient(productionUrl, 'shadow owners', (production) =>
    shortly<{ schema: string; owner: string }>(
      production,
      `select nspname as schema, rolname as owner from pg_namespace join pg_roles r on r.oid = nspowner
       where nspname = any($1) and rolname <> current_user and has_schema_privilege(r.oid, pg_namespace.oid, 'create, usage')`,
      [schemas],
    ),
  );
  for (const { schema, owner } of owned)
    await shadow
      .query(`grant create, usage on schema ${identifier(schema)} to ${identifier(owner)}`)
      .catch((error: unknown) => {
        if (failureType(error) !== 'StepFailed') throw error;
      });
  return notes;
}
