/** The shape of `kirikae.yaml`: zod schema, types and defaults. */
import ms, { type StringValue } from 'ms';
import { z } from 'zod';

const duration = z
  .string()
  .refine(isDuration, { message: 'expected a duration such as 30s, 15m or 24h' })
  .describe('A duration such as 30s, 15m or 24h');
const variable = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected the name of an environment variable, never a URL or a secret')
  .describe('Name of an environment variable');
const command = z.array(z.string().min(1)).min(1).describe('Program and its arguments; no shell');
const environment = z.array(variable).default([]);

const databaseSettings = z.strictObject({
  urlEnv: variable,
  create: z.boolean().default(false).describe('Create the database if it is missing'),
});

const probe = z.strictObject({
  url: z.url(),
  on: z.int().default(503),
  off: z.int().default(200),
  within: duration.default('30s'),
});

const maintenanceSettings = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('nginx'), flagFile: z.string().min(1), probe }),
  z.strictObject({
    kind: z.literal('command'),
    on: command,
    off: command,
    cwd: z.string().optional(),
    timeout: duration.default('2m'),
    env: environment,
    probe,
  }),
]);

const schemaSettings = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('sql'), dir: z.string().min(1) }),
  z.strictObject({
    kind: z.literal('command'),
    run: command,
    cwd: z.string().optional(),
    urlEnv: z.array(variable).min(1),
    timeout: duration.default('15m'),
    env: environment,
  }),
]);

const deploySettings = z.strictObject({
  name: z.string().min(1),
  run: command,
  timeout: duration.default('15m'),
  rollback: command.optional(),
  cwd: z.string().optional(),
  env: environment,
});

const smokeSettings = z.discriminatedUnion('kind', [
  z.strictObject({
    name: z.string().min(1),
    kind: z.literal('http'),
    url: z.url(),
    expect: z
      .strictObject({ status: z.int().default(200), bodyIncludes: z.string().optional() })
      .prefault({}),
    within: duration.default('30s'),
  }),
  z.strictObject({
    name: z.string().min(1),
    kind: z.literal('sql'),
    sql: z.string().min(1).describe('Read on production; must return no row'),
  }),
  z.strictObject({
    name: z.string().min(1),
    kind: z.literal('command'),
    run: command,
    timeout: duration.default('2m'),
    cwd: z.string().optional(),
    env: environment,
  }),
  z.strictObject({ name: z.string().min(1), kind: z.literal('manual') }),
]);

export const planSettings = z.strictObject({
  databases: z.strictObject({
    production: z.strictObject({
      urlEnv: variable,
      schemas: z.array(z.string().min(1)).min(1).default(['public']),
    }),
    backup: databaseSettings.extend({
      method: z
        .enum(['copy', 'clone'])
        .optional()
        .describe(
          'copy (default): rows by COPY. clone: CREATE DATABASE … TEMPLATE, on the server of production only',
        ),
    }),
    shadow: databaseSettings,
    rehearsal: databaseSettings.optional(),
  }),
  hostQueue: z
    .string()
    .min(1)
    .optional()
    .describe('Task queue of the host that holds the maintenance flag and deploy rights'),
  checklist: z.array(z.string().min(1)).default([]),
  maintenance: maintenanceSettings,
  approval: z
    .strictObject({
      minimum: z.int().min(1).default(1),
      timeout: duration.default('2h'),
      requesterMayApprove: z.boolean().default(true),
    })
    .prefault({}),
  schema: schemaSettings,
  mapping: z.string().min(1),
  reset: z
    .strictObject({ mode: z.enum(['drop', 'keep']) })
    .optional()
    .describe(
      'drop (default): the old objects go at the reset. keep: they wait in a schema of their own until the run ends',
    ),
  deploy: z.array(deploySettings).default([]),
  smoke: z.array(smokeSettings).default([]),
  monitor: z.strictObject({ for: duration.default('24h'), every: duration.default('5m') }).prefault({}),
  rollbackSmoke: z.array(smokeSettings).optional().describe('Default: the automatic checks of smoke'),
  retireBackup: z.strictObject({ after: z.enum(['approval', 'never']).default('approval') }).prefault({}),
  report: z.strictObject({ dir: z.string().min(1).default('./reports') }).prefault({}),
  notify: z.array(z.strictObject({ kind: z.literal('webhook'), urlEnv: variable })).default([]),
});

export const settingsSchema = z.strictObject({ plans: z.record(z.string().min(1), planSettings) });

export type SmokeCheck = z.output<typeof smokeSettings>;
export type AutomaticCheck = Exclude<SmokeCheck, { kind: 'manual' }>;
export type DeployCommand = z.output<typeof deploySettings>;
export type MaintenanceSettings = z.output<typeof maintenanceSettings>;
export type SchemaSettings = z.output<typeof schemaSettings>;
export type PlanSettings = z.output<typeof planSettings>;

/** Milliseconds of a duration that the schema has accepted. */
export function milliseconds(value: string): number {
  return ms(value as StringValue);
}

function isDuration(value: string): boolean {
  return /^\d/.test(value) && value.length <= 100 && Number.isFinite(ms(value as StringValue));
}
