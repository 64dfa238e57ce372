/** `kirikae.yaml`: its zod schema, and reading it with every problem reported at once. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { msToNumber, type StringValue } from '@temporalio/common';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { UsageError } from './errors';

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

const planSettings = z.strictObject({
  databases: z.strictObject({
    production: z.strictObject({
      urlEnv: variable,
      schemas: z.array(z.string().min(1)).min(1).default(['public']),
    }),
    backup: databaseSettings,
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

/** One plan ready for use: settings, the folder its relative paths start at, and the hash that goes into the fingerprint. */
export interface Plan extends PlanSettings {
  name: string;
  folder: string;
  /** sha256 of the plan's settings, its mapping and its schema folder. */
  hash: string;
  /** Text of the mapping file. */
  mappingText: string;
}

export interface Settings {
  file: string;
  plans: Record<string, Plan>;
}

/** The settings file to read: `--config`, else `KIRIKAE_CONFIG`, else `./kirikae.yaml`. */
export function settingsFile(option: string | undefined, env: NodeJS.ProcessEnv = process.env): string {
  return path.resolve(option ?? env.KIRIKAE_CONFIG ?? 'kirikae.yaml');
}

/**
 * Reads and checks a settings file, all problems at once; files named by plans must exist.
 * @throws UsageError with one sentence a problem
 */
export function readSettings(file: string): Settings {
  if (!existsSync(file)) {
    throw new UsageError([
      `Settings file ${file} does not exist. Name one with --config or KIRIKAE_CONFIG, or create ./kirikae.yaml.`,
    ]);
  }
  const document = parseDocument(readFileSync(file, 'utf8'), { prettyErrors: true });
  if (document.errors.length > 0) {
    throw new UsageError(
      document.errors.map(
        (error) => `${file} is not valid YAML: ${error.message.split('\n')[0]} Correct it there.`,
      ),
    );
  }
  const content = document.toJS() as unknown;
  const parsed = settingsSchema.safeParse(content);
  const problems = parsed.success ? [] : parsed.error.issues.map((issue) => describeIssue(file, issue));
  const plans: Record<string, Plan> = {};
  for (const [name, plan] of Object.entries(parsed.success ? parsed.data.plans : soundPlans(content))) {
    const found = planProblems(file, name, plan);
    problems.push(...found);
    if (found.length === 0) plans[name] = completePlan(file, name, plan);
  }
  if (problems.length > 0) throw new UsageError(problems);
  return { file, plans };
}

/** The plan of that name. @throws UsageError naming the plans there are */
export function findPlan(settings: Settings, name: string): Plan {
  const plan = Object.hasOwn(settings.plans, name) ? settings.plans[name] : undefined;
  if (plan) return plan;
  const known = Object.keys(settings.plans).join(', ') || 'none';
  throw new UsageError([
    `There is no plan "${name}" in ${settings.file}. Plans there: ${known}. Name one of them.`,
  ]);
}

/** Names of environment variables a plan needs before it can run; `env` of commands included. */
export function variablesOf(plan: PlanSettings): string[] {
  const { production, backup, shadow } = plan.databases;
  const names = [production.urlEnv, backup.urlEnv, shadow.urlEnv, ...plan.notify.map((n) => n.urlEnv)];
  for (const item of [
    ...plan.deploy,
    ...plan.smoke,
    ...(plan.rollbackSmoke ?? []),
    plan.schema,
    plan.maintenance,
  ]) {
    if ('env' in item) names.push(...item.env);
  }
  return [...new Set(names)];
}

/** Sentences for the variables of a plan that are not set. */
export function missingVariables(plan: Plan, env: NodeJS.ProcessEnv = process.env): string[] {
  return variablesOf(plan)
    .filter((name) => !env[name])
    .map(
      (name) =>
        `Plan "${plan.name}" needs the environment variable ${name}, which is not set where the worker runs. Set it and start the worker again.`,
    );
}

/** The checks a rollback runs: `rollbackSmoke`, by default the automatic checks of `smoke`. */
export function rollbackChecks(plan: PlanSettings): AutomaticCheck[] {
  return (plan.rollbackSmoke ?? plan.smoke).filter(
    (check): check is AutomaticCheck => check.kind !== 'manual',
  );
}

/** Milliseconds of a duration that the schema has accepted. */
export function milliseconds(value: string): number {
  return msToNumber(value as StringValue);
}

// In a file with mistakes: the plans without any, whose missing files are worth naming in the same breath.
function soundPlans(content: unknown): Record<string, PlanSettings> {
  const { data } = z.object({ plans: z.record(z.string(), z.unknown()) }).safeParse(content);
  const parsed = Object.entries(data?.plans ?? {}).map(
    ([name, plan]) => [name, planSettings.safeParse(plan)] as const,
  );
  return Object.fromEntries(
    parsed.flatMap(([name, plan]) => (plan.success ? [[name, plan.data] as const] : [])),
  );
}

function isDuration(value: string): boolean {
  try {
    return /^\d/.test(value) && Number.isFinite(msToNumber(value as StringValue));
  } catch {
    return false;
  }
}

function describeIssue(file: string, issue: z.core.$ZodIssue): string {
  const where = issue.path.map(String).join('.') || 'the file';
  if (issue.code === 'unrecognized_keys') {
    return `${file}: ${where} has the unknown key ${issue.keys.map((key) => `"${key}"`).join(', ')}. Remove it or correct its spelling.`;
  }
  return `${file}: ${where}: ${issue.message}. Correct it there.`;
}

function planProblems(file: string, name: string, plan: PlanSettings): string[] {
  const folder = path.dirname(file);
  const problems: string[] = [];
  const must = (kind: 'file' | 'folder', what: string, where: string) => {
    const full = path.resolve(folder, where);
    const there =
      existsSync(full) && (kind === 'file' ? statSync(full).isFile() : statSync(full).isDirectory());
    if (!there)
      problems.push(
        `${file}: plans.${name}.${what}: there is no ${kind} ${full}. Create it or correct the path.`,
      );
  };
  must('file', 'mapping', plan.mapping);
  if (plan.schema.kind === 'sql') {
    must('folder', 'schema.dir', plan.schema.dir);
    const dir = path.resolve(folder, plan.schema.dir);
    if (existsSync(dir) && statSync(dir).isDirectory() && sqlFiles(dir).length === 0) {
      problems.push(
        `${file}: plans.${name}.schema.dir: ${dir} holds no *.sql file. Put the new schema there.`,
      );
    }
  }
  for (const [list, items] of [
    ['deploy', plan.deploy],
    ['smoke', plan.smoke],
    ['rollbackSmoke', plan.rollbackSmoke ?? []],
  ] as const) {
    const names = items.map((item) => item.name);
    for (const twice of new Set(names.filter((item, index) => names.indexOf(item) !== index))) {
      problems.push(`${file}: plans.${name}.${list}: the name "${twice}" stands twice. Give each its own.`);
    }
  }
  return problems;
}

/** The `*.sql` files of a schema folder, in name order. */
export function sqlFiles(dir: string): string[] {
  return readdirSync(dir)
    .filter((entry) => entry.endsWith('.sql'))
    .sort()
    .map((entry) => path.join(dir, entry));
}

function completePlan(file: string, name: string, plan: PlanSettings): Plan {
  const folder = path.dirname(file);
  const mappingText = readFileSync(path.resolve(folder, plan.mapping), 'utf8');
  const hash = createHash('sha256')
    .update(JSON.stringify([name, plan]))
    .update('\0')
    .update(mappingText);
  if (plan.schema.kind === 'sql') {
    for (const sql of sqlFiles(path.resolve(folder, plan.schema.dir)))
      hash.update('\0').update(readFileSync(sql));
  }
  return { ...plan, name, folder, mappingText, hash: hash.digest('hex') };
}
