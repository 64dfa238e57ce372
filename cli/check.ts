/** `kirikae check`: preflight from the command line, every problem at once. */
import Table from 'cli-table3';
import { sentence } from '../src/errors';
import type { PreflightResult } from '../src/preflight/result';
import { type Plan, findPlan, missingVariables, readSettings, settingsFile } from '../src/settings/read';
import { describeAbout, describeBytes, describeCount } from '../src/report/quantities';
import { type Colors, type CommonOptions, type Io, colorsOf, print, printJson } from './terminal';

interface PlanCheck {
  plan: string;
  /** One sentence a problem; empty when the plan may start. */
  findings: string[];
  /** Null when preflight itself could not finish. */
  result: PreflightResult | null;
}

/**
 * Runs preflight for the named plan, or for every plan.
 * @returns 0, or 2 when a plan has findings
 * @throws UsageError with every problem of the settings
 */
export async function checkPlans(
  io: Io,
  planName: string | undefined,
  options: CommonOptions & { config?: string },
): Promise<number> {
  const settings = readSettings(settingsFile(options.config, io.env));
  const plans = planName === undefined ? Object.values(settings.plans) : [findPlan(settings, planName)];
  const checks: PlanCheck[] = [];
  for (const plan of plans) {
    const check = await checkPlan(io, plan);
    checks.push(check);
    if (!options.json) print(io, `${renderCheck(plan, check, colorsOf(io))}\n`);
  }
  const problems = checks.flatMap((check) => check.findings);
  if (options.json) printJson(io, { settings: settings.file, ok: problems.length === 0, plans: checks });
  else if (plans.length === 0) print(io, `${settings.file} holds no plan. Add one under "plans".`);
  return problems.length === 0 ? 0 : 2;
}

async function checkPlan(io: Io, plan: Plan): Promise<PlanCheck> {
  const missing = missingVariables(plan, io.env);
  try {
    const result = await runPreflight(plan);
    return { plan: plan.name, findings: [...new Set([...missing, ...result.findings])], result };
  } catch (error) {
    // Without its variables preflight can't get far: naming them says it all.
    const findings =
      missing.length > 0 ? missing : [`Plan "${plan.name}" could not be checked: ${sentence(error)}`];
    return { plan: plan.name, findings, result: null };
  }
}

// Loaded on demand: the SQL parser that preflight needs would slow every other command.
function runPreflight(plan: Plan): Promise<PreflightResult> {
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const { preflight } = require('../src/preflight/preflight') as {
    preflight: (plan: Plan) => Promise<PreflightResult>;
  };
  return preflight(plan);
}

function renderCheck(plan: Plan, { findings, result }: PlanCheck, colors: Colors): string {
  const sections = [colors.bold(`Plan ${plan.name}`)];
  if (result) sections.push(renderTables(result, colors), renderDrops(result, colors));
  if (result && result.notes.length > 0) {
    sections.push([colors.bold('Notes'), ...result.notes.map((note) => `  - ${note}`)].join('\n'));
  }
  sections.push(
    findings.length === 0
      ? colors.green('No problem found: the run may start.')
      : [
          colors.red(colors.bold(`${describeCount(findings.length)} to solve before a run may start`)),
          ...findings.map((finding, index) => `  ${index + 1}. ${finding}`),
        ].join('\n'),
  );
  return sections.filter((section) => section !== '').join('\n\n');
}

function renderTables(result: PreflightResult, colors: Colors): string {
  if (result.tables.length === 0) return '';
  const table = new Table({
    head: ['target table', 'from', 'rows', 'expressions'].map((title) => colors.dim(title)),
    style: { head: [], border: colors.isColorSupported ? ['gray'] : [], compact: true },
    colAligns: ['left', 'left', 'right', 'left'],
  });
  for (const { target, sources, rows, isEstimate, expressions } of result.tables) {
    const from = sources.length > 0 ? sources.join('\n') : colors.dim('filled by the schema step');
    table.push([target, from, describeAbout(rows, isEstimate), expressions.map(shorten).join('\n')]);
  }
  const unit = result.rows === 1 ? 'row' : 'rows';
  const total = `${describeAbout(result.rows, result.rowsAreEstimate)} ${unit}, ${describeBytes(result.bytes)} in production`;
  return `${table.toString()}\n${total}`;
}

function renderDrops({ dropped }: PreflightResult, colors: Colors): string {
  if (dropped.length === 0) return '';
  const lines = dropped.map(({ what, rows, reason }) => `  ${what} (${describeCount(rows)}): ${reason}`);
  return [colors.bold('Left behind (rows of a table, values of a column)'), ...lines].join('\n');
}

function shorten(expression: string): string {
  const line = expression.replace(/\s+/g, ' ');
  return line.length > 80 ? `${line.slice(0, 79)}…` : line;
}
