/** Takes secrets out of texts before they reach a history, a log, the status or the report. */
import { passwordsOf } from '../postgres/url';
import { variablesOf, type Plan, type Settings } from '../settings/read';

/**
 * Replaces the values of every variable the plans name, passwords inside URLs, and anything that looks like a connection URL.
 * A plan that is read anew may name other variables than before: what was hidden once stays hidden.
 */
export function redactor(settings: Settings, env: NodeJS.ProcessEnv = process.env): (text: string) => string {
  const secrets = new Set<string>();
  const looked = new WeakSet<Plan>();
  let known: string[] = [];
  const look = (plan: Plan) => {
    looked.add(plan);
    for (const value of variablesOf(plan).map((name) => env[name])) {
      if (value) for (const secret of secretsOf(value)) secrets.add(secret);
    }
    known = [...secrets].filter((secret) => secret.length > 2).sort((a, b) => b.length - a.length);
  };
  return (text) => {
    for (const plan of Object.values(settings.plans)) if (!looked.has(plan)) look(plan);
    return known
      .reduce((rest, secret) => rest.replaceAll(secret, '***'), text)
      .replace(/\bpostgres(ql)?:\/\/[^\s'"]+/g, '***');
  };
}

/** The value, and every form of a URL's password that could turn up in a text. */
function secretsOf(value: string): string[] {
  try {
    return [value, ...passwordsOf(value)];
  } catch {
    return [value];
  }
}
