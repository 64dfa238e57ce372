/** Preflight of rows meets one of every constraint that PostgreSQL has: rows that hold give no finding, and nothing is left unevaluated. */
import { withDatabase } from '../lab/stage';
import { compileMapping } from '../src/mapping/compile';
import { volatileFunctionNames } from '../src/mapping/scan';
import { parseMapping } from '../src/mapping/file';
import { readCatalog } from '../src/postgres/catalog';
import { withClient } from '../src/postgres/connect';
import { findMisfits } from '../src/preflight/misfits';
import { createDatabase } from './support/environment';
import { deployZoo, makeZoo, makeZooRoles, zooDdl, zooSchemas } from './support/zoo';

test('rows of every kind of table fit the schema that they have', async () => {
  await makeZooRoles();
  const production = await makeZoo();
  const fresh = await createDatabase('zoo_shadow');
  try {
    const ddl = await zooDdl(production.url);
    await withDatabase(production.url, (client) =>
      client.query('drop table zoo.no_columns, zoo.only_generated'),
    );
    await deployZoo(fresh.url, ddl, production.url);
    await withDatabase(fresh.url, (client) => client.query('drop table zoo.no_columns, zoo.only_generated'));
    const misfits = await withClient(production.url, 'test', (old) =>
      withClient(fresh.url, 'test', async (shadow) => {
        const schemas = zooSchemas;
        const compiled = await compileMapping({
          mapping: parseMapping('{}', 'same.yaml'),
          source: await readCatalog(old, schemas),
          target: await readCatalog(shadow, schemas),
          schemas,
          volatileFunctions: await volatileFunctionNames(old),
        });
        expect(compiled.findings).toEqual([]);
        return findMisfits(
          {
            production: { title: 'production', url: production.url, client: old },
            shadow: { title: 'the shadow', url: fresh.url, client: shadow },
          },
          { compiled, schemas },
          new AbortController().signal,
        );
      }),
    );
    expect(misfits).toEqual({ findings: [], notes: [] });
  } finally {
    await production.drop();
    await fresh.drop();
  }
});
