/** What a database is, in one comparable piece: definition, content of every table, state of every sequence. */
import { hashTables } from '../../src/engine/compare';
import { readSequenceStates, readStoredTables } from '../../src/engine/tables';
import { hashJob } from '../../src/engine/differences';
import { withClient } from '../../src/postgres/connect';
import { dumpHash, dumpSchema } from '../../src/postgres/dump';

export interface Portrait {
  definition: string;
  tables: Map<string, { rows: number; hash: string }>;
  sequences: string;
}

/** Reads a whole database, by canonical text. */
export async function portray(url: string): Promise<Portrait> {
  return withClient(url, 'demo', async (client) => {
    const tables = await readStoredTables(client, ['public']);
    return {
      definition: dumpHash(await dumpSchema(url, ['public'], { owners: true })),
      tables: await hashTables(tables.map(hashJob), {
        url,
        label: 'demo',
        method: 'text',
        lanes: 3,
        signal: new AbortController().signal,
      }),
      sequences: JSON.stringify(await readSequenceStates(client, ['public'])),
    };
  });
}

/** Sentences about what differs; empty when both portraits show the same database. */
export function differencesBetween(before: Portrait, after: Portrait): string[] {
  const found: string[] = [];
  if (before.definition !== after.definition) found.push('the definition of the schema differs');
  if (before.sequences !== after.sequences) found.push('sequences differ');
  const names = new Set([...before.tables.keys(), ...after.tables.keys()]);
  for (const name of names) {
    const [a, b] = [before.tables.get(name), after.tables.get(name)];
    if (a?.rows !== b?.rows) found.push(`${name} had ${a?.rows ?? 'no'} rows and has ${b?.rows ?? 'none'}`);
    else if (a?.hash !== b?.hash) found.push(`the content of ${name} differs`);
  }
  return found;
}

/** Rows of all tables together. */
export function rowsOf(portrait: Portrait): number {
  return [...portrait.tables.values()].reduce((sum, table) => sum + table.rows, 0);
}
