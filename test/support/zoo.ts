/** The zoo: a database with one of everything, what a person would compare of it, and the product's steps on it. */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { escapeIdentifier, type Client } from 'pg';
import { packageRoot } from '../../tools/provide';
import { beginBackup } from '../../src/backup/build';
import { sealedManifest } from '../../src/backup/manifest';
import { copyGroup } from '../../src/engine/copy';
import type { PartPlan, Phase } from '../../src/engine/parts';
import { createDatabase as createLike, prepareLike } from '../../src/postgres/databases';
import type { Pair } from '../../src/postgres/endpoint';
import { dumpSchema, dumpSql } from '../../src/postgres/dump';
import { noChanges } from '../../src/postgres/outside';
import { withClient } from '../../src/postgres/connect';
import { databaseOf, otherDatabase } from '../../src/postgres/url';
import { resetProduction } from '../../src/reset/reset';
import { beginRestore, compareWithManifest, finishRestore } from '../../src/restore/copy-back';
import { learn } from '../../src/preflight/learn';
import { BareRun } from '../../lab/bare-run';
import { withDatabase } from '../../lab/stage';
import { createDatabase, testPostgres, type TestDatabase } from './environment';
import { MIGRATE_PHASE, beginMigrate, finishMigrate } from '../../src/migrate/plan';
import type { Plan } from '../../src/settings/read';
import { verifyMigration } from '../../src/migrate/verify';
import { majorVersion } from '../../src/postgres/versions';
import { indexBackup, sealBackup } from '../../src/backup/seal';

export const zooFolder = path.join(packageRoot, 'test', 'zoo');
export const zooSchemas = ['zoo', 'Sel "ect', 'from', 'public'];
const zooRun = new BareRun('zoo');

const reading = () => ({
  lanes: 2,
  signal: new AbortController().signal,
  label: 'zoo',
});

/** Makes the roles of the zoo, which the cluster keeps. */
export async function makeZooRoles(): Promise<void> {
  await withDatabase(testPostgres().url('postgres'), (client) =>
    client.query(`do $$ begin
      create role zoo_reader; create role zoo_writer;
    exception when duplicate_object then null; end $$`),
  );
}

/** A database with the zoo in it; its search_path is the one that the functions of the zoo need. */
export async function makeZoo(): Promise<TestDatabase> {
  const database = await createDatabase('zoo');
  await withDatabase(database.url, (client) =>
    client.query(`alter database ${escapeIdentifier(database.name)} set search_path = zoo, public`),
  );
  const version = await withClient(database.url, 'zoo', majorVersion);
  for (const file of readdirSync(zooFolder).sort()) {
    const [, before, major = version] = /(before_)?postgres_(\d+)/.exec(file) ?? [];
    if (before ? version >= Number(major) : version < Number(major)) continue;
    await withDatabase(database.url, (client) =>
      client.query(readFileSync(path.join(zooFolder, file), 'utf8')),
    );
  }
  return database;
}

/** A database's definition as pg_dump gives it, without schemas and extensions. */
export async function zooDdl(url: string, schemas = zooSchemas): Promise<string> {
  const dump = await dumpSchema(url, schemas, { owners: true });
  return dumpSql(dump, [...dump.pre, ...dump.post], await withClient(url, 'zoo', majorVersion));
}

/** What a schema step would do: the definition, on empty schemas like production's. */
export async function deployInto(
  url: string,
  ddl: string,
  { like, schemas }: { like: string; schemas: readonly string[] },
): Promise<void> {
  await withClient(url, 'zoo', async (client) => {
    await withClient(like, 'zoo', (production) => prepareLike(client, production, schemas));
    await client.query(ddl);
  });
}

/** The zoo's definition deployed, its views filled. */
export async function deployZoo(url: string, ddl: string, like: string): Promise<void> {
  await deployInto(url, ddl, { like, schemas: zooSchemas });
  await withClient(url, 'zoo', async (client) => {
    // As a step that makes its views anew would leave them; the empty one stays empty.
    await client.query(`set search_path = zoo, public; refresh materialized view zoo.grouped_filled; refresh materialized view zoo.filled;
      refresh materialized view "from"."on filled"; refresh materialized view zoo.after_early; refresh materialized view zoo.early`);
  });
}

/** A plan whose mapping is empty. */
export function identityPlan(schemas = zooSchemas): Plan {
  return {
    name: 'zoo',
    hash: 'plan',
    mapping: 'mapping.yaml',
    mappingText: '{}',
    databases: { production: { urlEnv: 'ZOO', schemas } },
  } as unknown as Plan;
}

/** Rows of every table and filled view, state of every sequence, and large objects, by plain SQL of the test's own. */
export async function contentsOf(url: string): Promise<Record<string, string>> {
  return withDatabase(url, async (client) => {
    await client.query(`set search_path = ''; set datestyle = 'ISO'; set extra_float_digits = 3`);
    const { rows: relations } = await client.query<{ name: string; kind: string }>(
      `select c.oid::regclass::text as name, c.relkind as kind from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.relkind in ('r', 'm', 'S') and n.nspname !~ '^pg_|^information_schema$|^kirikae$' order by 1`,
    );
    const contents: Record<string, string> = {};
    for (const { name, kind } of relations) contents[name] = await contentOf(client, name, kind);
    const { rows: objects } = await client.query<{ oid: string; hash: string }>(
      'select oid, md5(lo_get(oid)) as hash from pg_largeobject_metadata',
    );
    for (const { oid, hash } of objects) contents[`large object ${oid}`] = hash;
    return contents;
  });
}

async function contentOf(client: Client, name: string, kind: string): Promise<string> {
  const { rows: filled } = await client.query<{ filled: boolean }>(
    'select relispopulated as filled from pg_class where oid = $1::regclass',
    [name],
  );
  if (!filled[0]?.filled) return 'not filled';
  const { rows } = await client.query<{ content: string }>(
    kind === 'S'
      ? `select last_value || ' ' || is_called as content from ${name}`
      : `select count(*) || ' ' || coalesce(md5(string_agg(row, '' order by row)), '') as content
         from (select md5(t::text) collate "C" as row from only ${name} t) rows`,
  );
  return rows[0]?.content ?? '';
}

/**
 * The product's steps on a database, in the order of the runbook and without Temporal. ZOO_BACKUP_SERVER is the URL of another
 * server for the backup, e.g. of a newer version.
 */
export class ZooRun {
  readonly backupUrl: string;

  constructor(
    readonly url: string,
    readonly schemas: string[] = zooSchemas,
  ) {
    const server = process.env.ZOO_BACKUP_SERVER;
    this.backupUrl = server ? otherDatabase(server, `${databaseOf(url)}_backup`) : `${url}_backup`;
  }

  /** Claims, backs up, seals and indexes the backup. */
  async backUp(): Promise<void> {
    await this.onProduction(async (production) => {
      await zooRun.claim(production, {
        planHash: 'plan',
        backup: databaseOf(this.backupUrl),
        learn: () => Promise.resolve(),
      });
      const created = await createLike(this.backupUrl, production, 'zoo');
      await this.onBackup(async (backup) => {
        const { schemas } = this;
        const pair = this.pair(production, backup);
        const plan = await beginBackup(pair, { schemas, owner: zooRun.owner(created) });
        await this.copy(plan, { name: 'backup', attempt: 1 });
        await sealBackup(pair, { name: 'zoo', hash: 'plan', schemas }, reading());
        await indexBackup(pair.backup, reading());
      });
    });
  }

  async reset(): Promise<void> {
    await this.onBoth(async (production, backup) => {
      await zooRun.reach(production, 'approved');
      await resetProduction(
        this.pair(production, backup),
        {
          schemas: this.schemas,
          mode: 'drop',
          manifest: await sealedManifest(backup),
          isDone: zooRun.isAt('reset'),
          note: zooRun.advancing('reset'),
          mayWrite: zooRun.mayWrite,
        },
        reading(),
      );
    });
  }

  async restore(attempt = 1): Promise<void> {
    const phase: Phase = { name: 'restore', attempt };
    await this.onBoth(async (production, backup) => {
      const pair = this.pair(production, backup);
      await zooRun.goBack(production);
      const { mayWrite } = zooRun;
      const what = {
        schemas: this.schemas,
        isInPlace: true,
        phase,
        mayWrite,
        note: zooRun.advancing('emptied'),
      };
      await this.copy(await beginRestore(pair, what), phase);
      await finishRestore(pair, what, reading());
      const manifest = await sealedManifest(backup);
      await compareWithManifest(pair, { schemas: this.schemas, manifest }, reading());
    });
  }

  /** The mapping `{}` into the schema that the folder's SQL deploys, compared with a shadow that it deployed to as well. */
  async migrate(plan: Plan, shadowUrl: string): Promise<void> {
    await this.onBoth(async (production, backup) => {
      const manifest = await sealedManifest(backup);
      const pair = this.pair(production, backup);
      const { mayWrite } = zooRun;
      const definition = await dumpSchema(this.url, this.schemas, { owners: true });
      const { learnt, findings } = await withClient(shadowUrl, 'zoo', (client) => {
        const shadow = { title: 'the shadow', client, url: shadowUrl };
        const outside = { changes: noChanges, tables: [] };
        return learn({ production, shadow }, { definition, schemas: this.schemas, outside }, reading());
      });
      expect(findings).toEqual([]);
      await this.copy(await beginMigrate(pair, { plan, learnt, mayWrite }), MIGRATE_PHASE);
      await finishMigrate(pair.production, { plan, learnt, manifest, mayWrite }, reading());
      await verifyMigration(pair, { plan, manifest, learnt }, reading());
    });
  }

  async copy(plan: PartPlan, phase: Phase): Promise<void> {
    const [sourceUrl, targetUrl] =
      phase.name === 'backup' ? [this.url, this.backupUrl] : [this.backupUrl, this.url];
    for (let group = 0; group < plan.groups; group++) {
      await copyGroup({
        sourceUrl,
        targetUrl,
        phase,
        group,
        searchPath: phase.name === 'migrate' ? this.schemas : [],
        targetPath: this.schemas,
        label: 'zoo',
        mayWrite: () => Promise.resolve(),
        onProgress: () => undefined,
        signal: new AbortController().signal,
      });
    }
  }

  onBoth<T>(work: (production: Client, backup: Client) => Promise<T>): Promise<T> {
    return this.onProduction((production) => this.onBackup((backup) => work(production, backup)));
  }

  onProduction<T>(work: (production: Client) => Promise<T>): Promise<T> {
    return withClient(this.url, 'zoo', work);
  }

  onBackup<T>(work: (backup: Client) => Promise<T>): Promise<T> {
    return withClient(this.backupUrl, 'zoo', work);
  }

  private pair(production: Client, backup: Client): Pair {
    return {
      production: { title: 'production', url: this.url, client: production },
      backup: { title: 'the backup', url: this.backupUrl, client: backup },
    };
  }
}
