/** The maintenance page: turned on and off, and believed only when a probe from outside shows it. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { namedVariables } from '../settings/environment';
import type { Plan } from '../settings/read';
import { milliseconds } from '../settings/schema';
import { runCommand } from './command';
import { probeMaintenance } from './probe';

/** Turns the page on or off and waits until the probe shows it. @throws KirikaeError when it doesn't within `probe.within` */
export async function turnMaintenance(
  plan: Plan,
  page: 'on' | 'off',
  { key, signal }: { key: string; signal?: AbortSignal },
): Promise<void> {
  const { maintenance } = plan;
  if (maintenance.kind === 'nginx') {
    const file = path.resolve(plan.folder, maintenance.flagFile);
    if (page === 'off') rmSync(file, { force: true });
    else if (!existsSync(file)) {
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, 'maintenance by kirikae\n');
    }
  } else {
    await runCommand({
      run: maintenance[page],
      cwd: path.resolve(plan.folder, maintenance.cwd ?? '.'),
      env: namedVariables(maintenance.env),
      timeoutMs: milliseconds(maintenance.timeout),
      key: `${key} maintenance ${page}`,
      ...(signal ? { signal } : {}),
    });
  }
  await probeMaintenance(plan, page, signal);
}
