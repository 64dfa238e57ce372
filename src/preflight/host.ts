/** Preflight of the host: the page, the programs that commands start with, and the commands that check the old version. */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { sentence } from '../errors';
import { probeMaintenance } from '../host/probe';
import type { Plan } from '../settings/read';
import { tryRollbackChecks } from './old-version';

/** Sentences for what the host lacks. @param attempt `key` is the same for every attempt, so that a command is never run twice at a time */
export async function checkHost(
  plan: Plan,
  attempt: { key: string; signal?: AbortSignal },
): Promise<string[]> {
  const { signal } = attempt;
  const findings = commandsOf(plan).flatMap(({ what, program, cwd }) => {
    const folder = path.resolve(plan.folder, cwd ?? '.');
    if (!existsSync(folder))
      return [`${what}: its folder ${folder} does not exist. Create it or correct cwd.`];
    return findProgram(program, folder)
      ? []
      : [
          `${what}: the program ${program} is not on the worker's PATH. Install it there or correct the command.`,
        ];
  });
  // A program that is missing is named already.
  if (findings.length === 0) findings.push(...(await tryRollbackChecks(plan, ['command'], attempt)));
  const { maintenance } = plan;
  if (maintenance.kind === 'nginx') {
    const file = path.resolve(plan.folder, maintenance.flagFile);
    if (existsSync(file))
      findings.push(
        `The maintenance flag ${file} is there already. Another maintenance is on, or was left behind: remove the file when it isn't.`,
      );
    else if (!isWritable(nearestFolder(file)))
      findings.push(
        `The maintenance flag ${file} can't be created: no right to write in its folder. Grant it to the worker's user.`,
      );
  }
  try {
    await probeMaintenance(plan, 'off', signal);
  } catch (error) {
    findings.push(`${sentence(error)} It must show the page as off before a run.`);
  }
  return findings;
}

function commandsOf(plan: Plan): { what: string; program: string; cwd: string | undefined }[] {
  const found: { what: string; run: readonly string[]; cwd: string | undefined }[] = [];
  const { maintenance, schema } = plan;
  if (maintenance.kind === 'command') {
    found.push({ what: 'maintenance.on', run: maintenance.on, cwd: maintenance.cwd });
    found.push({ what: 'maintenance.off', run: maintenance.off, cwd: maintenance.cwd });
  }
  if (schema.kind === 'command') found.push({ what: 'schema', run: schema.run, cwd: schema.cwd });
  for (const deploy of plan.deploy) {
    found.push({ what: `deploy "${deploy.name}"`, run: deploy.run, cwd: deploy.cwd });
    if (deploy.rollback)
      found.push({ what: `the rollback of deploy "${deploy.name}"`, run: deploy.rollback, cwd: deploy.cwd });
  }
  for (const check of [...plan.smoke, ...(plan.rollbackSmoke ?? [])]) {
    if (check.kind === 'command')
      found.push({ what: `check "${check.name}"`, run: check.run, cwd: check.cwd });
  }
  return found.map(({ what, run, cwd }) => ({ what, program: run[0] ?? '', cwd }));
}

function findProgram(program: string, folder: string): boolean {
  const candidates = program.includes('/')
    ? [path.resolve(folder, program)]
    : (process.env.PATH ?? '').split(path.delimiter).map((dir) => path.join(dir, program));
  return candidates.some((file) => existsSync(file) && statSync(file).isFile() && isExecutable(file));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function nearestFolder(file: string): string {
  let folder = path.dirname(file);
  while (!existsSync(folder) && path.dirname(folder) !== folder) folder = path.dirname(folder);
  return folder;
}
