/** A filled Tumiki database that tests copy from; one for a suite. */
import { createDatabase, type TestDatabase } from './environment';
import { createTumikiSchema } from './tumiki-database';
import { withDatabase } from './migration';
import { generateTumiki } from '../../examples/tumiki/generate';

/** Makes the database in the before schema with that many users (0: no row at all). */
export async function makeTumikiTemplate(users: number): Promise<TestDatabase> {
  const database = await createDatabase('tumiki_template');
  await withDatabase(database.url, async (client) => {
    await createTumikiSchema(client, 'before');
    await generateTumiki(client, { users });
    await client.query('analyze');
  });
  return database;
}
