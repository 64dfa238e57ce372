/** Settings of production that sessions of a run can't have, or can't do without. */
import type { Client } from 'pg';
import { isStatementsFault, sentence } from '../errors';
import { all, withClient } from '../postgres/connect';
import { readOwnSettings, settingOwn, type OwnSettings } from '../postgres/own-settings';
import { bySuperusers } from '../postgres/pinned-settings';
import { otherDatabase } from '../postgres/url';
import type { Opened } from './connections';

/** @param backupUrl the backup's, whose server is asked where the backup isn't there yet */
export async function findSettings(
  { production, backup }: Pick<Opened, 'production' | 'backup'>,
  backupUrl: string,
): Promise<{ findings: string[]; notes: string[] }> {
  const own = await readOwnSettings(production.client);
  const findings = await findUnpinned(production.client, 'production');
  const look = async (client: Client) => {
    findings.push(...(await findUnpinned(client, 'the backup')), ...(await findRefused(client, own)));
  };
  if (backup) await look(backup.client);
  else await withClient(otherDatabase(backupUrl, 'postgres'), 'preflight', look);
  return { findings, notes: await noteOnDates(production.client) };
}

// Where this user may set them they are pinned already.
async function findUnpinned(client: Client, title: string): Promise<string[]> {
  const found = await all<{ name: string; value: string }>(
    client,
    'select name, setting as value from pg_settings where name = any($1) order by name',
    [Object.keys(bySuperusers)],
  );
  return found
    .filter(({ name, value }) => bySuperusers[name] !== value)
    .map(
      ({ name, value }) =>
        `Sessions in ${title} have ${name} = ${value}, which only a superuser may change: rows could be lost or triggers not fire. Have it set to ${bySuperusers[name]} for this user or database.`,
    );
}

/** What the mapping's SQL computes under must be had in the backup too. */
async function findRefused(client: Client, own: OwnSettings): Promise<string[]> {
  const findings: string[] = [];
  for (const [name, value] of Object.entries(own)) {
    // A text search configuration of the managed schemas comes with them.
    if (name === 'default_text_search_config' && !/^pg_catalog\./.test(value)) continue;
    await client.query('begin read only');
    try {
      await client.query(settingOwn({ [name]: value }, 'local'));
    } catch (error) {
      if (!isStatementsFault(error)) throw error;
      findings.push(
        `Production has ${name} = ${value}, which the server of the backup refuses: ${sentence(error)}. Give that server what it lacks, e.g. the locale, or change the setting of the database.`,
      );
    } finally {
      await client.query('rollback');
    }
  }
  return findings;
}

async function noteOnDates(production: Client): Promise<string[]> {
  const [style] = await all<{ style: string }>(
    production,
    `select reset_val as style from pg_settings where name = 'DateStyle' and reset_val not like 'ISO%'`,
  );
  return style
    ? [
        `Production's DateStyle is ${style.style}: the mapping's SQL reads dates in its order, but dates that it casts to text are written as ISO. Say another form with to_char.`,
      ]
    : [];
}
