/** Tumiki databases for tests: its schema on either side of the migration. */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { ClientBase } from 'pg';

export type TumikiSide = 'before' | 'after';

/** The folder of the example. */
export const tumikiFolder = path.resolve(__dirname, '..', '..', 'examples', 'tumiki');

/** Builds the schema of one side in an empty database. */
export async function createTumikiSchema(client: ClientBase, side: TumikiSide): Promise<void> {
  const folder = path.join(tumikiFolder, 'schema', side);
  for (const file of readdirSync(folder).sort()) {
    await client.query(readFileSync(path.join(folder, file), 'utf8'));
  }
}
