/** A filled Tumiki database that tests copy from; one for a suite. */
import { fillTumiki } from '../../lab/stage';
import { createDatabase, type TestDatabase } from './environment';

/** Makes the database in the before schema with that many users (0: no row at all). */
export async function makeTumikiTemplate(users: number): Promise<TestDatabase> {
  const database = await createDatabase('tumiki_template');
  await fillTumiki(database.url, users);
  return database;
}
