/** Before anything is changed: the host, the databases, the shadow, the mapping. */
import { checkHost } from '../src/preflight/host';
import { checkMapping, deployToShadow } from '../src/preflight/new-schema';
import { checkDatabases, type DatabaseFindings } from '../src/preflight/preflight';
import type { PreflightResult } from '../src/preflight/result';
import type { Settings } from '../src/settings/read';
import { droppedInShort, fold, LIMITS, oneLine } from '../src/text';
import { cancellation, openRun, type RunRef } from './context';

// What an activity returns goes through Temporal, which carries 2 MB: preflight may find more in a large database.
export const room = {
  sentences: { count: 400, bytes: 200_000 },
  dropped: { count: 4_000, bytes: 300_000 },
  tables: { count: 6_000, bytes: 500_000 },
};

/** What preflight found, short enough for Temporal. */
function bounded<T extends Pick<DatabaseFindings, 'findings' | 'notes'>>(result: T & Partial<Lists>): T {
  const { dropped, tables } = result;
  return {
    ...result,
    findings: someOf(result.findings, 'findings'),
    notes: someOf(result.notes, 'notes'),
    ...(dropped ? { dropped: droppedInShort(dropped, room.dropped) } : {}),
    ...(Array.isArray(tables) ? { tables: ends(tables, room.tables) } : {}),
  };
}

type Lists = Pick<PreflightResult, 'dropped'> & { tables: PreflightResult['tables'] | number };

function someOf(sentences: readonly string[], what: string): string[] {
  const { first, leftOut, last } = fold(
    sentences.map((text) => oneLine(text, LIMITS.sentence)),
    room.sentences,
  );
  return leftOut === 0
    ? first
    : [...first, `${leftOut} more ${what} are left out here; kirikae check prints them all.`, ...last];
}

function ends<T>(items: readonly T[], size: { count: number; bytes: number }): T[] {
  const { first, last } = fold(items, size);
  return [...first, ...last];
}

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
      return bounded(await checkDatabases(run.plan, run.identity));
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
      const { plan } = await open(ref);
      return bounded(await checkMapping(plan, { catalogue, deployed, signal: cancellation() }));
    },
  };
}
