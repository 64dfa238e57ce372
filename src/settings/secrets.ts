/** Takes secrets out of texts before they reach a history, a log, the status or the report. */
import { variablesOf, type Settings } from './read';

/** Replaces the values of every variable the plans name, passwords inside URLs, and anything that looks like a connection URL. */
export function redactor(settings: Settings, env: NodeJS.ProcessEnv = process.env): (text: string) => string {
  const secrets = new Set<string>();
  for (const plan of Object.values(settings.plans)) {
    for (const name of variablesOf(plan)) {
      const value = env[name];
      if (value) for (const secret of secretsOf(value)) secrets.add(secret);
    }
  }
  const known = [...secrets].filter((secret) => secret.length > 2).sort((a, b) => b.length - a.length);
  return (text) =>
    known
      .reduce((rest, secret) => rest.replaceAll(secret, '***'), text)
      .replace(/\bpostgres(ql)?:\/\/[^\s'"]+/g, '***');
}

/** Every form of the URL's secrets that could turn up in a text. */
function secretsOf(url: string): string[] {
  try {
    const parsed = new URL(url);
    const password = parsed.password;
    const found = [
      url,
      password,
      password && decodeURIComponent(password),
      parsed.searchParams.get('password') ?? '',
    ];
    return found.filter((text) => text.length > 0);
  } catch {
    return [url];
  }
}
