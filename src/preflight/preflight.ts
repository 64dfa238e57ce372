/** Preflight: everything that can be known before the downtime, without changing production. */
import { randomUUID } from 'node:crypto';
import { readStoredTables } from '../engine/tables';
import { KirikaeError, sentence } from '../errors';
import { claimedByAnother, isSameWorkflow, readClaim, type RunIdentity } from '../ledger/claim';
import { countRows, sumRows } from '../mapping/row-counts';
import { cleanShadow, prepareShadow } from '../new-schema/shadow';
import { inTransaction, withClient } from '../postgres/connect';
import { dumpSchema } from '../postgres/dump';
import { placesOf } from '../postgres/endpoint';
import { readAgain, withLettingGo } from '../postgres/let-go';
import { sameMajor } from '../postgres/versions';
import type { Plan } from '../settings/read';
import { findSubscriptions, findUncarriable, noteOnLargeObjects } from './carried';
import { cloneNote, findCloneObstacles } from './clone';
import { closeDatabases, compareDatabases, openDatabases, type Opened } from './connections';
import { checkHost } from './host';
import { findUnmovable } from './keep';
import { catalogueOf, checkMapping, deployToShadow } from './new-schema';
import { tryRollbackChecks } from './old-version';
import { giveOutside } from './outside';
import { findOversizedRows } from './oversized';
import { findLockShortage, findMissingPrivileges } from './privileges';
import type { PreflightResult } from './result';
import { tryRights } from './rights';
import { findSessionShortage } from './sessions';
import { noteOnStrays } from './strays';
import { findUnreadableValues } from './unreadable';
import { findSettings } from './settings';

/** What the database part of preflight leaves for the parts that follow. */
export interface DatabaseFindings {
  findings: string[];
  notes: string[];
  /** The shadow is empty and like production, so that the schema step may run. */
  shadowReady: boolean;
  /** Hash of production's definition, and of what is set for it, before the shadow's deploy. */
  catalogue: string;
  rows: number;
  rowsAreEstimate: boolean;
  bytes: number;
  tables: number;
}

/**
 * Connections, versions, privileges, what can't be carried; then an empty shadow like production.
 * @throws KirikaeError Overtaken when this very workflow has a claim already (after a Temporal reset)
 */
export async function checkDatabases(plan: Plan, run: RunIdentity): Promise<DatabaseFindings> {
  const places = placesOf(plan);
  const result: DatabaseFindings = {
    findings: [],
    notes: [],
    shadowReady: false,
    catalogue: '',
    rows: 0,
    rowsAreEstimate: false,
    bytes: 0,
    tables: 0,
  };
  const opened = await openDatabases(plan, result.findings);
  if (!opened) return result;
  try {
    const production = opened.production.client;
    const claim = await readClaim(production);
    if (claim && isSameWorkflow(claim, run)) {
      throw new KirikaeError(
        'Overtaken',
        `Production is claimed by this workflow already (phase ${claim.phase}), as after a Temporal reset. This run took no backup and dropped nothing.`,
      );
    }
    if (claim) {
      result.findings.push(claimedByAnother(claim));
      return result;
    }
    const { schemas } = plan.databases.production;
    // Added at the end: what a check says must not keep the mapping from being looked at.
    const ofOldVersion = await tryRollbackChecks(plan, ['http', 'sql'], { key: run.runId });
    result.findings.push(
      ...(await compareDatabases(opened, places, run)),
      ...(await findUncarriable(production, schemas)),
      ...(await findUncopiable(opened, places, schemas)),
      ...(await findSubscriptions(production)),
      ...(await findMissingPrivileges(production, schemas)),
      ...(await findLockShortage(production, schemas)),
      ...(await findSessionShortage(opened, places)),
    );
    const rights = await tryRights(places.production.url, schemas);
    result.findings.push(...rights.findings);
    result.notes.push(...rights.notes);
    const settings = await findSettings(opened, places.backup.url);
    result.findings.push(...settings.findings);
    result.notes.push(...settings.notes);
    const clones = plan.databases.backup.method === 'clone';
    if (clones) result.findings.push(...(await findCloneObstacles(opened, places.backup.url)));
    const keeps = plan.reset?.mode === 'keep';
    if (keeps) result.findings.push(...(await findUnmovable(production, schemas)));
    const tables = await readStoredTables(production, schemas);
    result.notes.push(...(await noteOnLargeObjects(production)), ...noteOnStrays(plan));
    result.bytes = tables.reduce((sum, table) => sum + table.bytes, 0);
    result.notes.push(
      clones
        ? await cloneNote(production)
        : `The backup will need about ${Math.ceil((result.bytes * 1.5) / 1_000_000)} MB, indexes included, on its server; its free space can't be read from here.`,
    );
    if (keeps) {
      result.notes.push(
        `Production keeps its old objects beside the new ones until the run ends (reset.mode: keep), so its server needs about ${Math.ceil((result.bytes * 1.5) / 1_000_000)} MB more as well.`,
      );
    }
    const blocking = result.findings.length > 0;
    const oids = tables.map((table) => table.oid);
    const counted = sumRows((await countRows(production, oids)).values());
    result.rows = counted.rows;
    result.rowsAreEstimate = counted.isEstimate;
    result.tables = tables.length;
    if (blocking) {
      result.findings.push(...ofOldVersion);
      return result;
    }
    const definition = await dumpSchema(places.production.url, schemas, { owners: true });
    result.catalogue = await catalogueOf(production, definition);
    // Under the lock that claims take: nobody can claim between this look and the shadow's marker.
    await inTransaction(production, async () => {
      await production.query(`select pg_advisory_xact_lock(hashtextextended('kirikae claim', 0))`);
      const late = await readClaim(production);
      if (late) result.findings.push(claimedByAnother(late));
      else
        result.notes.push(
          ...(await prepareShadow(
            { production: opened.production, shadow: places.shadow },
            plan,
            run.firstRunId,
          )),
        );
    });
    result.shadowReady = result.findings.length === 0;
    if (result.shadowReady)
      await withClient(places.shadow.url, 'shadow', (shadow) =>
        giveOutside(opened.production, shadow, schemas),
      );
    result.findings.push(...ofOldVersion);
    return result;
  } catch (error) {
    if (error instanceof KirikaeError && error.type === 'Overtaken') throw error;
    result.findings.push(`Preflight could not finish looking at the databases: ${sentence(error)}.`);
    return result;
  } finally {
    await closeDatabases(opened);
  }
}

// Values that COPY can't carry; whoever waits for a table meanwhile gets it.
async function findUncopiable(
  opened: Opened,
  { production: { url } }: ReturnType<typeof placesOf>,
  schemas: readonly string[],
): Promise<string[]> {
  const { client } = opened.production;
  const format = await likelyFormat(opened);
  return withLettingGo(client, url, async () => [
    ...(await readAgain(client, () => findOversizedRows(client, schemas, format))),
    ...(await readAgain(client, () => findUnreadableValues(client, schemas))),
  ]);
}

// A backup that has to be created yet is taken for one of production's version: mostly it is on the same kind of server.
async function likelyFormat({ production, backup }: Opened): Promise<'binary' | 'text'> {
  return backup === null || (await sameMajor(production.client, backup.client)) ? 'binary' : 'text';
}

/** All of preflight in this process, for `kirikae check`; the shadow is removed afterwards. */
export async function preflight(plan: Plan): Promise<PreflightResult> {
  const owner = `check ${randomUUID()}`;
  const run = {
    namespace: '',
    workflowId: 'kirikae check',
    firstRunId: owner,
    runId: owner,
    plan: plan.name,
  };
  const findings = await checkHost(plan, { key: owner });
  const databases = await checkDatabases(plan, run);
  findings.push(...databases.findings);
  const result: PreflightResult = {
    findings,
    notes: databases.notes,
    tables: [],
    dropped: [],
    rows: databases.rows,
    rowsAreEstimate: databases.rowsAreEstimate,
    bytes: databases.bytes,
  };
  if (!databases.shadowReady) return result;
  try {
    const deploy = await deployToShadow(plan, owner);
    const mapping = await checkMapping(plan, {
      catalogue: databases.catalogue,
      deployed: deploy.length === 0,
      signal: new AbortController().signal,
    });
    findings.push(...deploy, ...mapping.findings);
    return {
      ...result,
      notes: [...result.notes, ...mapping.notes],
      tables: mapping.tables,
      dropped: mapping.dropped,
    };
  } finally {
    await cleanShadow(plan, placesOf(plan).shadow.url, owner);
  }
}
