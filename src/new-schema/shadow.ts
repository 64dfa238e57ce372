/** The shadow: a throw-away database that gets the new schema first, to compile against and to compare with. */
import type { Client } from 'pg';
import { LEDGER_SCHEMA } from '../contract';
import { KirikaeError } from '../errors';
import { describeScratch } from '../ledger/scratch';
import { shadowDdl } from '../ledger/tables';
import { all, hasRelation, inTransaction, withClient } from '../postgres/connect';
import { createDatabase, dropDatabase, databaseExists, grantLike, prepareLike } from '../postgres/databases';
import type { Endpoint, Place } from '../postgres/endpoint';
import { emptySchemas } from '../postgres/managed-schemas';
import { readOutside, type Outside } from '../postgres/outside';
import { placeOf } from '../postgres/url';
import type { Plan } from '../settings/read';
import { undoOutside } from './undo-outside';

/** Makes an empty shadow like production, marked as this run's. @returns notes about grants it could not take over */
export async function prepareShadow(
  { production, shadow: { url } }: { production: Endpoint; shadow: Place },
  plan: Plan,
  owner: string,
): Promise<string[]> {
  const { schemas } = plan.databases.production;
  const created = plan.databases.shadow.create
    ? await createDatabase(url, production.client, 'shadow create')
    : false;
  return withClient(url, 'shadow', async (shadow) => {
    const found = await describeScratch(shadow);
    if (found.kind === 'foreign') throw new KirikaeError('StepFailed', foreignShadow(url, found.objects));
    const wasCreated = await shadowCreated(shadow);
    await emptyShadow(shadow, schemas);
    const before = await readOutside(shadow, schemas);
    await shadow.query(`set client_min_messages = warning;${shadowDdl}`);
    await shadow.query('insert into kirikae.shadow values ($1, $2, $3)', [
      owner,
      created || wasCreated,
      JSON.stringify(before),
    ]);
    await prepareLike(shadow, production.client, schemas);
    return grantLike(shadow, production.url, schemas);
  });
}

export function foreignShadow(url: string, objects: readonly string[]): string {
  return `The shadow database ${placeOf(url)} holds tables that aren't Kirikae's (${objects.join(', ')}); it would be emptied. Name an empty database.`;
}

/** Who made the shadow; null when it has no marker. */
export async function shadowOwner(shadow: Client): Promise<string | null> {
  if (!(await hasRelation(shadow, 'kirikae.shadow'))) return null;
  const [row] = await all<{ owner: string }>(shadow, 'select owner from kirikae.shadow');
  return row?.owner ?? null;
}

/** Removes the shadow of this owner: the database when we created it, else only what we put there. */
export async function cleanShadow(plan: Plan, url: string, owner: string): Promise<void> {
  if (!(await databaseExists(url, 'shadow drop'))) return;
  const drop = await withClient(url, 'shadow', async (shadow) => {
    if ((await shadowOwner(shadow)) !== owner) return false;
    if (await shadowCreated(shadow)) return true;
    await emptyShadow(shadow, plan.databases.production.schemas);
    return false;
  });
  if (drop) await dropDatabase(url, 'shadow drop');
}

// Of one that stays nothing is left but what it held when it was marked.
async function emptyShadow(shadow: Client, schemas: readonly string[]): Promise<void> {
  const isOurs = (await shadowOwner(shadow)) !== null;
  const [row] = isOurs
    ? await all<{ before: string | null }>(
        shadow,
        `select to_jsonb(s) ->> 'before' as before from kirikae.shadow s`,
      )
    : [];
  await inTransaction(shadow, async () => {
    await shadow.query('set local client_min_messages = warning');
    if (row?.before)
      await undoOutside(shadow, schemas, { before: JSON.parse(row.before) as Outside, wanted: null });
    else await emptySchemas(shadow, schemas);
    await shadow.query(`drop schema if exists ${LEDGER_SCHEMA} cascade`);
  });
}

async function shadowCreated(shadow: Client): Promise<boolean> {
  if ((await shadowOwner(shadow)) === null) return false;
  const [row] = await all<{ created: boolean }>(
    shadow,
    'select created_database as created from kirikae.shadow',
  );
  return row?.created ?? false;
}
