/** A migration that is to fail: run to its end, and judged as "production is what it was before". */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { WorkflowFailedError, type Client as TemporalClient, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { MigrationInput, Status } from '../../src/contract';
import { type DatabaseState, leftovers, stateOf } from '../../lab/database-state';
import { until } from '../../lab/stage';
import { openNamespace } from './namespace';
import type { TestDatabase } from './environment';
import {
  layOutMigration,
  startRun,
  statusOf,
  withWorker,
  type Migration,
  type PlanChange,
} from './migration';
import { makeTumikiTemplate } from './tumiki-template';

export interface Scene {
  template: string;
  client: TemporalClient;
  namespace: string;
  /** For what must be known before a plan has its folder. */
  folder: string;
  close: () => Promise<void>;
}

/** A filled template and a namespace of the suite's own. */
async function openScene(name: string, users = 30): Promise<Scene> {
  const template: TestDatabase = await makeTumikiTemplate(users);
  const server = await openNamespace(name);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-scene-'));
  return {
    template: template.name,
    client: server.client,
    namespace: server.namespace,
    folder,
    close: async () => {
      rmSync(folder, { recursive: true, force: true });
      await server.close();
      await template.drop();
    },
  };
}

/** The scene of a test file. */
export interface SceneForEach extends Scene {
  /** Lays a plan out; it goes after the test. */
  layOut: (change?: PlanChange, prefix?: string) => Promise<Migration>;
}

/** To be called once at the top of a test file. */
export function sceneForEach(name: string, users?: number): SceneForEach {
  const laidOut: Migration[] = [];
  const scene = {
    layOut: async (change?: PlanChange, prefix?: string) => {
      const migration = await layOutMigration(scene.template, change, prefix);
      laidOut.push(migration);
      return migration;
    },
  } as SceneForEach;
  beforeAll(async () => {
    Object.assign(scene, await openScene(name, users));
  });
  afterAll(() => scene.close());
  afterEach(async () => {
    for (const migration of laidOut.splice(0)) await migration.drop();
  });
  return scene;
}

export interface Ending {
  status: Status;
  /** How Temporal closed the workflow: COMPLETED, FAILED or CANCELLED. */
  closed: string;
  /** Type and sentence of the failure; null when it completed. */
  type: string | null;
  sentence: string | null;
}

/** Starts a run, lets `during` act on it, and waits for its end; a run that parks instead is an error. */
export async function runToEnd(
  scene: Scene,
  migration: Migration,
  during: (handle: WorkflowHandle) => Promise<unknown> = () => Promise.resolve(),
  input: Partial<MigrationInput> = {},
): Promise<Ending> {
  return withWorker(migration, scene.namespace, async () => {
    const handle = await startRun(scene.client, input);
    try {
      await during(handle);
      await until(async () => {
        const { parked, outcome, waitingFor } = await statusOf(handle);
        if (parked) throw new Error(`The run parked, waiting for ${waitingFor}`);
        return outcome !== null;
      });
      return await endOf(handle);
    } catch (error) {
      // The next test's worker must not find it.
      await handle.terminate().catch(() => undefined);
      throw error;
    }
  });
}

/** Waits for the end of a run, however it closes. */
export async function endOf(handle: WorkflowHandle): Promise<Ending> {
  let cause: unknown = null;
  try {
    await handle.result();
  } catch (error) {
    cause = error instanceof WorkflowFailedError ? error.cause : error;
  }
  const { status } = await handle.describe();
  return {
    status: await statusOf(handle),
    closed: status.name,
    type: cause instanceof ApplicationFailure ? (cause.type ?? null) : null,
    sentence: cause instanceof Error ? cause.message : null,
  };
}

/** The run failed, was undone, and production is what `before` shows. */
export async function expectRolledBack(
  migration: Migration,
  ending: Ending,
  expected: { before: DatabaseState; step: string; because: RegExp },
): Promise<void> {
  const { before, step, because } = expected;
  expect(ending).toMatchObject({
    closed: 'FAILED',
    type: 'rolled-back',
    status: { outcome: 'rolled-back', parked: false, live: false, waitingFor: null },
  });
  expect(ending.sentence).toMatch(because);
  expect(ending.sentence).toContain(`The step ${step} failed and production is what it was before: `);
  expect(ending.status.steps.filter(({ state }) => state === 'failed').map(({ name }) => name)).toEqual([
    step,
  ]);
  await expectAsBefore(migration, before);
}

/** Production has its old rows, definitions and settings, and nothing of the run is left. */
export async function expectAsBefore(migration: Migration, before: DatabaseState): Promise<void> {
  expect(await stateOf(migration.production.url)).toEqual(before);
  expect(await leftovers(migration)).toEqual([]);
}

/** Sends an update and returns the sentence that refuses it; "accepted" when nothing does. */
export async function refusalOf(handle: WorkflowHandle, name: string, payload: unknown): Promise<string> {
  try {
    await handle.executeUpdate(name, { args: [payload] });
    return 'accepted';
  } catch (error) {
    const { cause } = error as { cause?: unknown };
    return cause instanceof Error ? cause.message : String(error);
  }
}
