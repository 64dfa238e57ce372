/** Preflight of the new schema: deployed to the shadow, and the mapping looked at against both schemas and production's rows. */
import type { Client } from 'pg';
import { UsageError, sentence } from '../errors';
import { checkAssertions, scanMapping } from '../mapping/scan';
import { compilePlan } from '../migrate/plan';
import { runSchemaStep } from '../new-schema/deploy';
import { learn } from './learn';
import { settingsOf, writeLearnt } from '../new-schema/learnt';
import { withClient } from '../postgres/connect';
import { dumpHash, dumpSchema, type SchemaDump } from '../postgres/dump';
import { placesOf } from '../postgres/endpoint';
import { withLettingGo } from '../postgres/let-go';
import { readOwnSettings } from '../postgres/own-settings';
import { listObjects } from '../postgres/managed-schemas';
import type { Plan } from '../settings/read';
import { findMisfits } from './misfits';
import { lookOutsideAfter, lookOutsideBefore } from './outside';
import { findUnwritable } from './privileges';
import type { PreflightResult } from './result';
import { lookAtSchemaStep } from './schema-step';
import { lookAtSequences } from './sequences';
import { watchingProduction } from './strays';

/** Production's definition, and what is set for its database, as one text that tells whether either has changed. */
export async function catalogueOf(production: Client, definition: SchemaDump): Promise<string> {
  const settings = await settingsOf(production);
  return [dumpHash(definition), ...settings].join('\n');
}

/** Runs the schema step on the shadow, which must gain objects, where nothing of it reaches beyond. @returns findings */
export async function deployToShadow(plan: Plan, key: string, signal?: AbortSignal): Promise<string[]> {
  const places = placesOf(plan);
  const [production, shadow] = [places.production.url, places.shadow.url];
  const { schemas } = plan.databases.production;
  const beyond = await lookAtSchemaStep(plan);
  if (beyond.length > 0) return beyond.slice(0, 20);
  try {
    return await withClient(shadow, 'shadow', async (client) => {
      await lookOutsideBefore(client, schemas);
      await withClient(production, 'preflight', (like) =>
        watchingProduction(production, (stray, onStart) => {
          const ending = signal ? AbortSignal.any([signal, stray]) : stray;
          return runSchemaStep({ url: shadow, client }, plan, { key, signal: ending, like, onStart });
        }),
      );
      const gained = await listObjects(client, schemas);
      if (gained.length > 0) return [];
      return [
        `The schema step ended well but the shadow database has gained nothing: it went to another database, or does nothing. Look which URL its tool reads (a .env file, a directUrl) and name every such variable in schema.urlEnv.`,
      ];
    });
  } catch (error) {
    return [`The schema step fails on the shadow database: ${sentence(error)}`];
  }
}

/**
 * Compiles the mapping against both schemas and scans production for what would not fit.
 * @param shadow.catalogue as `checkDatabases` returned it, before the shadow's deploy
 * @param shadow.deployed false when that deploy failed: then only production's definition is looked at
 */
export async function checkMapping(
  plan: Plan,
  { catalogue, deployed, signal }: { catalogue: string; deployed: boolean; signal: AbortSignal },
): Promise<Pick<PreflightResult, 'findings' | 'notes' | 'dropped' | 'tables'>> {
  const { production: old, shadow: fresh } = placesOf(plan);
  const { schemas } = plan.databases.production;
  const result: Pick<PreflightResult, 'findings' | 'notes' | 'dropped' | 'tables'> = {
    findings: [],
    notes: [],
    dropped: [],
    tables: [],
  };
  const definition = await dumpSchema(old.url, schemas, { owners: true });
  const now = await withClient(old.url, 'preflight', (client) => catalogueOf(client, definition));
  if (now !== catalogue) {
    result.findings.push(
      `Production's schema, or what is set for its database, changed while the schema step ran on the shadow database. If nobody else changed it, the step ignores the URL it is given and has hit production: look at production now, and name every variable its tool reads in schema.urlEnv.`,
    );
  }
  // Against a schema that isn't there every entry would look wrong, and the one real problem would be buried.
  if (!deployed) {
    result.notes.push(
      'The mapping was not checked: that needs the new schema, which the schema step did not give.',
    );
    return result;
  }
  try {
    await withClient(old.url, 'preflight', (production) =>
      withClient(fresh.url, 'preflight', async (shadow) => {
        const compiled = await compilePlan(plan, production, shadow);
        const sides = { production: { ...old, client: production }, shadow: { ...fresh, client: shadow } };
        const { scan, sequences, misfits } = await withLettingGo(production, old.url, async () => ({
          scan: await scanMapping(production, compiled, schemas),
          sequences: await lookAtSequences(production, shadow, { compiled, schemas }),
          misfits: await findMisfits(sides, { compiled, schemas }, signal),
        }));
        result.notes.push(...sequences.notes, ...misfits.notes);
        result.findings.push(
          ...compiled.findings,
          ...scan.findings,
          ...sequences.findings,
          ...misfits.findings,
          ...(await findUnwritable(
            shadow,
            compiled.tables.map(({ target }) => target),
          )),
          ...(await checkAssertions(shadow, compiled, {
            schemas,
            own: await readOwnSettings(production),
          })),
        );
        result.dropped = scan.dropped;
        result.tables = scan.tables;
        const keeps = plan.reset?.mode === 'keep';
        const outside = await lookOutsideAfter({ production, shadow: sides.shadow, schemas, keeps });
        result.findings.push(...outside.findings);
        const tried = await learn(
          { production, shadow: sides.shadow },
          { definition, schemas, outside: outside.step },
          { label: 'preflight', lanes: 2, signal },
        );
        result.findings.push(...tried.findings);
        result.notes.push(...tried.notes);
        await writeLearnt(shadow, tried.learnt);
      }),
    );
  } catch (error) {
    if (error instanceof UsageError) result.findings.push(...error.problems);
    else result.findings.push(`The mapping could not be checked: ${sentence(error)}.`);
  }
  return result;
}
