/** Before anything is changed: the host, the databases, the shadow, the mapping. */
import { checkHost } from '../src/preflight/host';
import {
  checkDatabases,
  checkMapping,
  deployToShadow,
  type DatabaseFindings,
} from '../src/preflight/preflight';
import type { PreflightResult } from '../src/preflight/result';
import type { Settings } from '../src/settings/read';
import { cancellation, openRun, type RunRef } from './context';

export function prepareActivities(settings: Settings) {
  const open = (ref: RunRef) => openRun(settings, ref);

  return {
    /** Programs, folders, the page and the commands of `rollbackSmoke` on the host that holds them. @returns findings */
    async checkHost({ run: ref }: { run: RunRef }): Promise<string[]> {
      const run = await open(ref);
      return checkHost(run.plan, { key: run.commandKey, signal: cancellation() });
    },

    async checkDatabases({ run: ref }: { run: RunRef }): Promise<DatabaseFindings> {
      const run = await open(ref);
      return checkDatabases(run.plan, run.identity);
    },

    async deployToShadow({ run: ref }: { run: RunRef }): Promise<string[]> {
      const run = await open(ref);
      return deployToShadow(run.plan, run.commandKey, cancellation());
    },

    async checkMapping({
      run: ref,
      catalogue,
      deployed,
    }: {
      run: RunRef;
      catalogue: string;
      deployed: boolean;
    }): Promise<Pick<PreflightResult, 'findings' | 'notes' | 'dropped' | 'tables'>> {
      return checkMapping((await open(ref)).plan, { catalogue, deployed, signal: cancellation() });
    },
  };
}
