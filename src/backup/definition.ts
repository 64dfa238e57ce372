/** Production's definition as a backup keeps it: how it was printed, how it is printed after a restore, and what the catalogues say. */
import {
  dumpSchema,
  printingsOf,
  unlikePrintings,
  type Digests,
  type Printings,
  type SchemaDump,
} from '../postgres/dump';
import type { Endpoint } from '../postgres/endpoint';
import { readInventory } from '../postgres/inventory';

interface Sealed extends Printings {
  inventory: string[];
}

/** The text that the manifest covers. @param again of entries that are printed otherwise once they were read again */
export async function sealedPrintings(
  production: Endpoint,
  { schemas, definition, again }: { schemas: readonly string[]; definition: SchemaDump; again: Digests },
): Promise<string> {
  const sealed: Sealed = {
    ...printingsOf(definition, again),
    inventory: await readInventory(production.client, schemas),
  };
  return JSON.stringify(sealed);
}

/**
 * Holds production's definition, owners and grants included, against a backup's.
 * @returns a clause for each problem, and a note where expressions are printed otherwise, but all objects are as they were
 */
export async function unlikeDefinition(
  production: Endpoint,
  text: string | null,
  schemas: readonly string[],
): Promise<{ problems: string[]; notes: string[] }> {
  const sealed = JSON.parse(text ?? 'null') as Sealed | null;
  if (!sealed) return { problems: ['the backup does not say what its definition was'], notes: [] };
  const found = await dumpSchema(production.url, schemas, { owners: true });
  const { missing, added, otherwise } = unlikePrintings(found, sealed);
  const problems = [...missing.map((name) => `${name} is missing`), ...added.map((name) => `${name} is new`)];
  if (otherwise.length === 0) return { problems, notes: [] };
  const now = await readInventory(production.client, schemas);
  const [before, after] = [new Set(sealed.inventory), new Set(now)];
  const changed = [
    ...sealed.inventory.filter((line) => !after.has(line)).map((line) => `gone: ${line}`),
    ...now.filter((line) => !before.has(line)).map((line) => `new: ${line}`),
  ];
  if (changed.length > 0)
    return {
      problems: [...problems, `the definition of ${otherwise.join(', ')} differs`, ...changed],
      notes: [],
    };
  const notes = [
    `PostgreSQL prints ${otherwise.slice(0, 5).join(', ')}${otherwise.length > 5 ? ` and ${otherwise.length - 5} more` : ''} otherwise than before, while all objects, owners and grants are as they were.`,
  ];
  return { problems, notes };
}
