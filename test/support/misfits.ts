/** What preflight finds of rows between two databases for mapping tests. */
import { connect, disconnect } from '../../src/postgres/connect';
import { findMisfits } from '../../src/preflight/misfits';
import type { Misfits } from '../../src/preflight/misfit-words';
import type { MappingDatabases } from './mapping-databases';

/** Gives both databases their schema, compiles the mapping, which must be sound, and looks. */
export async function misfitsIn(
  databases: MappingDatabases,
  { before, after, mapping }: { before: string; after: string; mapping?: string },
): Promise<Misfits> {
  const compiled = await databases.compile(before, after, mapping);
  expect(compiled.findings).toEqual([]);
  const [source, target] = [databases.sourceUrl, databases.targetUrl];
  const [production, shadow] = [await connect(source, 'test'), await connect(target, 'test')];
  try {
    return await findMisfits(
      {
        production: { title: 'production', url: source, client: production },
        shadow: { title: 'the shadow', url: target, client: shadow },
      },
      { compiled, schemas: ['public'] },
      new AbortController().signal,
    );
  } finally {
    await Promise.all([production, shadow].map(disconnect));
  }
}
