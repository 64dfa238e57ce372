/** Reading `kirikae.yaml`, with every problem reported at once. */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { UsageError } from '../errors';
import { approvedParts, hashOfParts } from './approved';
import { planSettings, settingsSchema, type AutomaticCheck, type PlanSettings } from './schema';

/** One plan ready for use: settings, the folder its relative paths start at, and the hash that goes into the fingerprint. */
export interface Plan extends PlanSettings {
  name: string;
  folder: string;
  /** A hash for each part that people approve: what must not change while a run is under way. */
  parts: Record<string, string>;
  /** sha256 of all of them. */
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

/** The checks a way back runs: the automatic ones of `rollbackSmoke`, by default the `http` checks of `smoke`. */
export function rollbackChecks(plan: PlanSettings): AutomaticCheck[] {
  // What SQL or a command asks of the new schema makes no sense on the old one.
  const checks = plan.rollbackSmoke ?? plan.smoke.filter(({ kind }) => kind === 'http');
  return checks.filter((check): check is AutomaticCheck => check.kind !== 'manual');
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
  const files = plan.schema.kind === 'sql' ? sqlFiles(path.resolve(folder, plan.schema.dir)) : [];
  const schemaFiles = Object.fromEntries(
    files.map((sql) => [path.basename(sql), readFileSync(sql, 'utf8')] as const),
  );
  const parts = approvedParts(plan, { mapping: mappingText, schemaFiles });
  return { ...plan, name, folder, mappingText, parts, hash: hashOfParts(name, parts) };
}

// Which retry a plan was last read for; what a worker holds lives as long as it does.
const readFor = new WeakMap<Settings, Map<string, string>>();

/**
 * Reads one plan anew from the settings file, once for each `retry` of people; the plans of other runs stay as they were read.
 * @param retry which retry it is: a text that no other one has
 * @throws UsageError with every problem of the file, and then the plan stays as it was read
 */
export function readAnew(settings: Settings, plan: string, retry: string): void {
  const last = readFor.get(settings) ?? new Map<string, string>();
  readFor.set(settings, last);
  if (last.get(plan) === retry) return;
  settings.plans[plan] = findPlan(readSettings(settings.file), plan);
  last.set(plan, retry);
}
