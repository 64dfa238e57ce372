/** Preflight of `backup.method: clone`: one server, a free name, and who may copy production's files. */
import { randomInt } from 'node:crypto';
import type { Client } from 'pg';
import { sentence } from '../errors';
import { describeScratch } from '../ledger/scratch';
import { one, withClient } from '../postgres/connect';
import type { Endpoint } from '../postgres/endpoint';
import { databaseOf, otherDatabase, placeOf } from '../postgres/url';
import type { Opened } from './connections';

const instead = 'or set databases.backup.method to copy';

/** Sentences for everything that would stop the server from cloning production. */
export async function findCloneObstacles(
  { production, backup }: Pick<Opened, 'production' | 'backup'>,
  backupUrl: string,
): Promise<string[]> {
  const findings: string[] = [];
  if (backup && (await describeScratch(backup.client)).kind === 'empty') {
    findings.push(
      `The backup database ${placeOf(backupUrl)} is there already, and a clone is always made anew. Name one that isn't there (kirikae remove-backup removes a backup of this plan), ${instead}.`,
    );
  }
  try {
    findings.push(...(await lookFromBackup(production, backupUrl)));
    await withClient(otherDatabase(production.url, 'postgres'), 'preflight', () => Promise.resolve());
  } catch (error) {
    findings.push(
      `The database postgres of production's server, from where it would be cloned, can't be used: ${sentence(error)}. Grant connect on it, ${instead}.`,
    );
  }
  return findings;
}

/** What a clone needs and holds, for people. */
export async function cloneNote(production: Client): Promise<string> {
  const { bytes } = await one<{ bytes: string }>(
    production,
    'select pg_database_size(current_database()) as bytes',
  );
  return `The backup is a clone of the whole database, schemas that aren't managed included: about ${Math.ceil(Number(bytes) / 1_000_000)} MB on production's own server, whose loss it would not survive; its free space can't be read from here.`;
}

// Copies of a server share its identifiers, and addresses differ for one server: but a lock of a random key is seen from every
// database of the server that has it, and from no other.
async function lookFromBackup({ url, client: production }: Endpoint, backupUrl: string): Promise<string[]> {
  return withClient(otherDatabase(backupUrl, 'postgres'), 'preflight', async (creator) => {
    const key = randomInt(2 ** 47);
    await production.query('select pg_advisory_lock($1)', [key]);
    try {
      const { seen, may, me, owner } = await one<{ seen: boolean; may: boolean; me: string; owner: string }>(
        creator,
        `select current_user as me, pg_get_userbyid(d.datdba) as owner,
           (select rolsuper or (rolcreatedb and pg_has_role(d.datdba, 'usage')) from pg_roles where rolname = current_user) as may,
           exists (select from pg_locks where locktype = 'advisory' and granted and database = d.oid and objsubid = 1
             and (classid::bigint << 32 | objid::bigint) = $2) as seen
         from (select 1) always left join pg_database d on d.datname = $1`,
        [databaseOf(url), key],
      );
      if (!seen) {
        return [
          `The backup database ${placeOf(backupUrl)} is not on production's server, so production can't be cloned into it. Name a database of that server, ${instead}.`,
        ];
      }
      if (may) return [];
      return [
        `The backup's user ${me} may not clone production, which belongs to ${owner}. Grant it (alter role ${me} createdb; grant ${owner} to ${me}), ${instead}.`,
      ];
    } finally {
      await production.query('select pg_advisory_unlock($1)', [key]);
    }
  });
}
