/** The activities of a stubbed run: each looks at holder and phase as the real one does, and changes the stubbed world alone. */
import { Context } from '@temporalio/activity';
import type { Activities } from '../../activities';
import { FORWARD, type Phase, type Report } from '../../src/contract';
import { hasReached, needsRestore, wayBack, type Standing } from '../../src/ledger/phases';
import { judge } from '../../src/ledger/witnesses';
import type { Stubs } from './stubbed-run';
import { failure, mayHoldNewRows, overtaken } from './stub-world';

const closed = [
  ...['closed', 'fenced', 'sealed', 'approved', 'reset', 'built'],
  ...['migrated', 'verified', 'deployed', 'checked'],
] as Phase[];
const back: Phase[] = ['returning', 'aside', 'emptied', 'restored'];
const none = { groups: 0, parts: 0, bytes: 0, inFlight: 1 };

/** Does a call: notes it, fails if it is to fail, then looks at the ledger and acts. */
export type Did = <T>(call: string, act: () => T | Promise<T>) => Promise<T>;

/**
 * @param did called with the name that a call is noted by
 * @param me the Temporal run that an activity acts for
 */
export function stubbedActivities(stubs: Stubs, did: Did, me: () => string = runOfContext): Activities {
  const { world } = stubs;
  const groups = { groups: stubs.lanes, parts: 1, bytes: 100, inFlight: stubs.lanes };
  const own = (...phases: Phase[]) => world.own(me(), phases.length > 0 ? phases : undefined);
  const move = (to: Phase) => world.move(me(), to);
  const here = (...phases: Phase[]) => world.mirrored(own(...phases));
  /** Goes on to `to`, or stays where it is when it was done before. */
  const reach = (to: Phase, ...phases: Phase[]) => {
    const claim = own(...phases, to);
    return claim.standing.phase === to ? world.mirrored(claim) : move(to);
  };
  const mustKeep = (standing: Standing) =>
    mayHoldNewRows(standing) && (world.lateRows > 0 || standing.from === 'live' || !world.isCounted);
  const activities: Activities = {
    outlinePlan: () => did('outlinePlan', () => stubs.plan),
    checkHost: () => did('checkHost', () => []),
    checkDatabases: () =>
      did('checkDatabases', () => {
        if (world.claim) throw overtaken('Production is claimed by this workflow already.');
        const found = { findings: [], notes: [], shadowReady: true, catalogue: 'c', rows: 4 };
        return { ...found, rowsAreEstimate: true, bytes: 100, tables: 1 };
      }),
    deployToShadow: () => did('deployToShadow', () => []),
    checkMapping: () => did('checkMapping', () => ({ findings: [], notes: [], dropped: [], tables: [] })),
    claim: () =>
      did('claim', () => {
        if (!world.claim) world.makeClaim(me());
        return here('claimed');
      }),
    pageOn: () =>
      did('pageOn', () => {
        const { standing } = own('claimed', ...closed, ...back);
        world.page = 'on';
        return standing.phase === 'claimed' ? move('closed') : here();
      }),
    watchPage: () => did('watchPage', () => stubs.watchPage()),
    probePage: () =>
      did('probePage', () => {
        if (world.page === 'off') throw failure('The maintenance page does not show.');
      }),
    fence: () =>
      did('fence', () => {
        const { standing } = own('closed', 'fenced', ...back);
        world.fenceOn = true;
        return standing.phase === 'closed' ? move('fenced') : here();
      }),
    beginBackup: () =>
      did('beginBackup', () => {
        own('fenced').intent = 'creating';
        if (world.backup === 'none') world.backup = 'unsealed';
        return groups;
      }),
    copyGroup: ({ phase }) =>
      did(`copyGroup ${phase.name}`, () => {
        const allowed = {
          backup: ['fenced'],
          migrate: ['built'],
          restore: ['emptied'],
          aside: ['returning', 'aside'],
        };
        own(...(allowed[phase.name] as Phase[]));
        if (phase.name === 'migrate' || phase.name === 'restore') world.rows = 'partly';
        return { rows: 5, bytes: 100 };
      }),
    sealBackup: () =>
      did('sealBackup', () => {
        const claim = own('fenced', 'sealed');
        if (world.backup === 'none') throw failure('The backup is gone.');
        if (world.backup === 'unsealed') world.backup = 'sealed';
        claim.isSealed = true;
        const moved = reach('sealed', 'fenced');
        return { moved, database: 'shop_backup', tables: 1, rows: 5, bytes: 100, dropped: [] };
      }),
    indexBackup: () => did('indexBackup', () => (own('sealed', 'approved'), { newRows: 6 })),
    openApproval: () =>
      did('openApproval', () => {
        const claim = own('sealed', 'approved');
        claim.fingerprint = `print-${me()}`;
        return { fingerprint: claim.fingerprint };
      }),
    approve: ({ fingerprint, approvals }) =>
      did('approve', () => {
        const claim = own('sealed', 'approved');
        if (claim.standing.phase === 'approved') return here();
        if (claim.fingerprint !== fingerprint) throw failure('The approvals are for another run.');
        const persons = new Set([
          ...(claim.approvals.get(fingerprint) ?? []),
          ...approvals.map(({ by }) => by),
        ]);
        claim.approvals.set(fingerprint, persons);
        if (persons.size < world.minimum) throw failure(`The ledger holds ${persons.size} approvals.`);
        return move('approved');
      }),
    reset: () =>
      did('reset', () => {
        const claim = own('approved', 'reset');
        if (claim.standing.phase === 'reset') return here();
        if ((claim.approvals.get(claim.fingerprint ?? '')?.size ?? 0) < world.minimum)
          throw failure('The ledger holds too few approvals.');
        if (world.backup !== 'sealed') throw failure(`The backup is ${world.backup}.`);
        const moved = move('reset');
        world.rows = 'none';
        return moved;
      }),
    deploySchema: () => did('deploySchema', () => reach('built', 'reset')),
    beginMigrate: () => did('beginMigrate', () => (own('built', 'migrated'), groups)),
    finishMigrate: () => did('finishMigrate', () => reach('migrated', 'built')),
    verify: () =>
      did('verify', () => {
        const claim = own('migrated', 'verified');
        if (claim.standing.phase === 'migrated') Object.assign(world, { rows: 'new', isCounted: true });
        const moved = reach('verified', 'migrated');
        world.fenceOn = false;
        return { moved, tables: [], dropped: [], rows: 5, assertions: ['none lost'] };
      }),
    deploy: ({ name }) => {
      // Its row is written before its command starts.
      const { claim } = world;
      const row = claim?.deploys.find((deploy) => deploy.name === name) ?? {
        name,
        ended: false,
        undone: false,
      };
      const mayBegin = claim?.holder === me() && claim.standing.phase === 'verified';
      if (mayBegin && !claim.deploys.includes(row)) claim.deploys.push(row);
      return did(`deploy ${name}`, () => {
        own('verified');
        Object.assign(row, { ended: true, undone: false });
        return 'done';
      });
    },
    endDeploys: () =>
      did('endDeploys', () => {
        const ended = own('verified', 'deployed').deploys.filter((row) => row.ended);
        if (stubs.plan.deploys.some(({ name }) => !ended.some((row) => row.name === name)))
          throw failure('The ledger has no end of a deploy.');
        return reach('deployed', 'verified');
      }),
    smoke: ({ name }) =>
      did(`smoke ${name}`, () => {
        own('deployed').passed.add(name);
        return 'answers 200';
      }),
    rollbackSmoke: ({ name }) => did(`smoke ${name} (old)`, () => (own('restored'), 'answers 200')),
    watchCheck: ({ name }) => did(`watch ${name}`, () => 'answers 200'),
    confirmCheck: ({ name }) => did('confirmCheck', () => void own('deployed').passed.add(name)),
    endChecks: () =>
      did('endChecks', () => {
        const { passed } = own('deployed', 'checked');
        if (stubs.plan.smoke.some(({ name }) => !passed.has(name)))
          throw failure('The ledger does not know that these checks passed.');
        return reach('checked', 'deployed');
      }),
    goLive: () => did('goLive', () => reach('live', 'checked')),
    pageOff: () => did('pageOff', () => world.turnPageOff(own('live', 'home'))),
    confirmLive: () => did('confirmLive', () => void own('live')),
    undoDeploy: ({ name }) =>
      did(`previous ${name}`, () => {
        const row = own('restored', 'returning').deploys.find((deploy) => deploy.name === name);
        if (row) row.undone = true;
        return null;
      }),

    lookBack: () =>
      did('lookBack', () => {
        if (world.firstRunId === me() || world.history.length === 0) return 'none';
        return world.ended.has(world.firstRunId ?? '') ? 'ended' : 'acted';
      }),
    takeStock: ({ history }) =>
      did('takeStock', () => {
        const { claim, mirror } = world;
        if (claim && claim.holder !== me()) {
          const problem = `The ledger in production is held by ${claim.holder} and is at phase ${claim.standing.phase}.`;
          return { kind: 'overtaken', standing: claim.standing, problem };
        }
        const isAfterReset = world.firstRunId !== me();
        const found = judge({ ledger: claim?.standing ?? null, mirror, history, hasMoved: false });
        switch (found.kind) {
          case 'agreed':
            return claim ? { kind: 'ready', standing: claim.standing } : { kind: 'nothing', isAfterReset };
          case 'finish':
            return { kind: 'ready', standing: move(found.to).standing };
          case 'behind':
            return { kind: 'behind', furthest: found.furthest, problem: `It doesn't agree: ${found.text}.` };
          case 'lost':
            return { kind: 'lost', problem: `Production's ledger is gone: ${found.text}.` };
          case 'ended':
            return {
              ...found,
              problem: !claim && world.page === 'on' ? 'The page shows: take it down.' : null,
            };
          case 'nothing':
            return { kind: 'nothing', isAfterReset };
        }
      }),
    takeOver: () => did('takeOver', () => void (world.claim && (world.claim.holder = me()))),
    adopt: ({ furthest }) => did('adopt', () => world.adopt(me(), furthest)),
    turnBack: ({ intent }) =>
      did('turnBack', () => {
        const claim = own(...FORWARD, ...back, 'home');
        if (!(FORWARD as readonly Phase[]).includes(claim.standing.phase)) return world.mirrored(claim);
        if (wayBack(claim.standing, intent).kind !== 'back')
          throw overtaken('Production is live, so nothing goes back without rollBack with acceptLoss.');
        if (claim.standing.phase === 'live') stubs.rollBacks += 1;
        return move('returning');
      }),
    standDown: () =>
      did('standDown', () => {
        const claim = own('returning', 'aside', ...FORWARD);
        if ((FORWARD as readonly Phase[]).includes(claim.standing.phase)) return world.mirrored(claim);
        const way = wayBack(claim.standing, 'standDown');
        if (way.kind !== 'forward') throw failure('It is too late.', 'NeedsOperator');
        const moved = move(way.to);
        if (hasReached(way.to, 'verified')) world.fenceOn = false;
        return moved;
      }),
    proveBackup: () =>
      did('proveBackup', () => {
        own('returning', 'aside');
        mustBeSealed(stubs);
      }),
    holdBackup: () => did('holdBackup', () => void own('aside', 'emptied')),
    beginAside: () =>
      did('beginAside', () => {
        const { standing } = own('returning', 'aside');
        return mustKeep(standing) ? { ...groups, database: 'shop_abandoned' } : { ...none, database: null };
      }),
    sealAside: () =>
      did('sealAside', () => {
        const { standing } = own('returning', 'aside');
        const isKept = mustKeep(standing);
        world.rowsAside = world.lateRows;
        if (isKept) Object.assign(world, { hasAside: true, isCounted: true });
        const moved = reach('aside', 'returning');
        return { rows: isKept ? 5 : 0, database: isKept ? 'shop_abandoned' : null, moved };
      }),
    proveKept: () => did('proveKept', () => ({ isReady: false, moved: here('aside', 'emptied') })),
    beginRestore: () =>
      did('beginRestore', () => {
        const claim = own('aside', 'emptied');
        mustBeSealed(stubs);
        if (claim.standing.phase === 'aside' && world.lateRows > world.rowsAside)
          throw failure('Production was written to after it was copied aside.', 'NeedsOperator');
        // What was copied aside is read, and held against the copy.
        if (
          claim.standing.phase === 'aside' &&
          mayHoldNewRows(claim.standing) &&
          !world.isCounted &&
          !world.hasAside
        )
          throw failure("Whether production was written to can't be told.", 'Uncounted');
        const moved = reach('emptied', 'aside');
        world.rows = 'none';
        return { ...groups, attempt: 1, moved };
      }),
    finishRestore: () =>
      did('finishRestore', () => {
        own('emptied');
        mustBeSealed(stubs);
      }),
    compareRestored: () =>
      did('compareRestored', () => {
        own('emptied');
        mustBeSealed(stubs);
        if (world.rows !== 'partly') throw failure('The rows are not there.', 'DataDiffer');
        world.rows = 'old';
        return [];
      }),
    markRestored: () =>
      did('markRestored', () => {
        const moved = reach('restored', 'emptied');
        world.fenceOn = false;
        return moved;
      }),
    liftFence: () =>
      did('liftFence', () => {
        const { from } = own('returning').standing;
        if (from !== null && needsRestore(from)) throw overtaken('The fence is lifted with restored.');
        world.fenceOn = false;
      }),
    deploysToUndo: () =>
      did('deploysToUndo', () =>
        own('restored')
          .deploys.filter((row) => !row.undone)
          .reverse()
          .map(({ name }) => ({ name, hasRollback: true })),
      ),
    comeHome: () => did('comeHome', () => reach('home', 'returning', 'restored')),
    describeProduction: () => did('describeProduction', () => `The maintenance page is ${world.page}.`),
    removeBackup: () =>
      did('removeBackup', () => {
        own('live', 'home').intent = 'dropping';
        world.backup = 'none';
        world.mirror = null;
        return true;
      }),
    dropShadow: () => did('dropShadow', () => undefined),
    finish: () =>
      did('finish', () => {
        if (!world.claim) return { notes: [] };
        if (world.fenceOn) throw overtaken('The fence stands yet, so the ledger is not removed.');
        const moved = move('over');
        world.removeLedger();
        return moved;
      }),
    notify: () => did('notify', () => []),
    writeReport: ({ report }: { report: Report }) =>
      did('writeReport', () => {
        if (report.status.outcome !== null) world.ended.add(me());
        return { file: `${report.status.plan}.html` };
      }),
    handOver: () => did('handOver', () => ['To lift the fence: psql …']),
  };
  return activities;
}

function runOfContext(): string {
  return Context.current().info.workflowExecution?.runId ?? '';
}

function mustBeSealed({ world }: Stubs): void {
  if (world.backup === 'none') throw failure('The backup is gone.', 'NeedsOperator');
  if (world.backup !== 'sealed') throw failure('The backup is not what was sealed.', 'DataDiffer');
}
