/** The variables that a command gets. */

/** PATH, HOME, LANG and TMPDIR of this process, and what the caller adds; nothing else reaches a command. */
export function baseEnvironment(more: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { PATH, HOME, LANG, TMPDIR } = process.env;
  return { PATH, HOME, LANG, ...(TMPDIR === undefined ? {} : { TMPDIR }), ...more };
}

/** The variables of the worker's environment that a command's `env` names. */
export function namedVariables(names: readonly string[]): NodeJS.ProcessEnv {
  return Object.fromEntries(names.map((name) => [name, process.env[name]]));
}
