/** The migrations of a test file: one filled Tumiki database to start from, and for each test a namespace and a plan of its own. */
import { contentOf } from '../../lab/database-state';
import type { TestDatabase } from './environment';
import { layOutMigration, type Migration, type PlanChange } from './migration';
import { openNamespace, type TestNamespace } from './namespace';
import { makeTumikiTemplate } from './tumiki-template';

/** What stands for the present test. */
export interface LaidOut {
  /** A namespace of its own for each test: a worker that a failing test left behind takes no work of the next. */
  server: TestNamespace;
  migration: Migration;
  /** Production's content before the run. */
  before: Record<string, string>;
  /** Lays the plan out; once in each test. */
  layOut: (change?: PlanChange) => Promise<void>;
}

/** To be called once at the top of a test file. @param name of the file's namespaces */
export function laidOutForEach(name: string): LaidOut {
  let template: TestDatabase;
  const scene = {
    layOut: async (change?: PlanChange) => {
      scene.migration = await layOutMigration(template.name, change);
      scene.before = await contentOf(scene.migration.urls.production);
    },
  } as LaidOut;
  beforeAll(async () => {
    template = await makeTumikiTemplate(20);
  });
  afterAll(async () => {
    await template.drop();
  });
  beforeEach(async () => {
    scene.server = await openNamespace(name);
  });
  afterEach(async () => {
    await scene.server.close();
    await scene.migration.drop();
  });
  return scene;
}
