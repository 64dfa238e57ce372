/** The way back: what the ledger's phase calls for, in the order that keeps the page on until the old database is proved. */
import type { Stock } from '../activities';
import type { StepName, WayBackStepName } from '../src/contract';
import {
  hasReached,
  needsRestore,
  wayBack,
  wouldRestore,
  type Intent,
  type Standing,
} from '../src/ledger/phases';
import { letGoOfBackup, unwatched, watchPage } from './background';
import { database, early, hostOf } from './calls';
import { grantRollBack, insist, park } from './do-step';
import { problemOf, Settled } from './failures';
import { takePresentPlan } from './present-plan';
import type { Run } from './run';
import { goWayBackStep } from './way-back-steps';

/** How a way back ended. `forward`: people took it back, and the run is again where it was. */
export type WayBack = 'restored' | 'untouched' | 'live' | 'forward' | 'nothing' | 'unknown';

/**
 * Undoes what the ledger says that this run did; to be called uncancellable. Parked at the first thing that fails: an answer looks
 * at the ledger again and goes on from there.
 * @param intent `rollBack` where people have accepted the loss of what users wrote
 * @throws Settled when an operator ends the parked run
 */
export async function goBack(run: Run, intent: Intent): Promise<WayBack> {
  run.isGoingBack = true;
  run.overtaken = null;
  run.indexing?.cancel();
  await run.indexing?.done;
  run.wait(null, 'Nothing: the way back runs by itself.');
  run.predictedEndMs = null;
  let asked = intent;
  let by = 'the run itself';
  let uncounted = 0;
  for (;;) {
    try {
      const found = await agree(run);
      if ('end' in found) return found.end;
      // What people asked of the run that held the ledger before isn't asked again by nobody.
      if (found.intent !== null) intent = asked = found.intent;
      if (asked === 'rollBack' && run.lossAcceptedBy.length === 0) intent = asked = 'goBack';
      return await follow(run, found.standing, { intent: asked, by });
    } catch (error) {
      if (error instanceof Settled) throw error;
      // Taken back already: what led to that way back is over.
      if (asked === 'standDown' && run.phase !== 'returning' && run.phase !== 'aside') intent = 'goBack';
      const { type, message } = problemOf(error);
      // From `aside` again, which copies what can't be counted. A server that goes down each time is a person's.
      if (type === 'Uncounted' && ++uncounted < 4) continue;
      // Users are still in, and what would be brought back is not what was sealed.
      if (type === 'DataDiffer' && run.standing?.phase === 'returning' && run.standing.from === 'live') {
        run.note(`${message} Production stays live: nothing was changed.`);
        asked = 'standDown';
        by = 'the run itself';
        continue;
      }
      const answer = await park(run, {
        problem: `${message} ${await whatStands(run)}`,
        next: 'repair it and send retry, or settle to leave everything as it is',
      });
      asked = answer === 'standDown' ? 'standDown' : intent;
      if (answer === 'standDown') by = run.decisions.at(-1)?.by ?? by;
    }
  }
}

/** Looks until ledger, mirror and history agree, or people have decided. @returns where the run stands, or how it had ended */
async function agree(run: Run): Promise<{ standing: Standing; intent: Intent | null } | { end: WayBack }> {
  let intent: Intent | null = null;
  for (;;) {
    const stock: Stock = await database.takeStock({ run: run.refBack(), history: run.standing });
    switch (stock.kind) {
      case 'ready':
        run.moved({ standing: stock.standing, notes: [] });
        return { standing: stock.standing, intent };
      case 'ended':
        // Of a preflight that was begun anew.
        await database.dropShadow({ run: run.refBack() });
        if (stock.problem === null) return { end: endedBefore(run, stock.as) };
        await park(run, { problem: stock.problem, next: 'take the page down and send retry' });
        break;
      case 'nothing':
        await database.dropShadow({ run: run.refBack() });
        return { end: stock.isAfterReset ? 'unknown' : 'nothing' };
      case 'overtaken':
        await park(run, { problem: stock.problem, next: lookFirst });
        await database.takeOver({ run: run.refBack() });
        // The history of a run that a Temporal reset made may know less than the ledger did.
        run.standing = stock.standing;
        run.pageProblem = null;
        run.lossAcceptedBy = [];
        intent = 'goBack';
        break;
      case 'lost':
        await park(run, { problem: stock.problem, next: 'repair it and send retry to look again' });
        break;
      case 'behind': {
        const { furthest, problem } = stock;
        const answer = await park(run, { problem, next: lookFirst, asksRollBack: true });
        if (answer === 'rollBack' || !wouldRestore(furthest)) {
          const standing = await database.adopt({ run: run.refBack(), furthest });
          run.moved({ standing, notes: [] });
          if (answer === 'rollBack') {
            grantRollBack(run);
            intent = 'rollBack';
          }
          return { standing, intent };
        }
        run.note(
          'retry goes on only where nothing has to be restored; to restore all the same, send rollBack with acceptLoss.',
        );
        break;
      }
    }
  }
}

const lookFirst = 'look at production, then send retry to go the way that the ledger calls for, or settle';

async function follow(
  run: Run,
  standing: Standing,
  { intent, by }: { intent: Intent; by: string },
): Promise<WayBack> {
  const ref = run.refBack();
  await takePresentPlan(run);
  const way = wayBack(standing, intent);
  switch (way.kind) {
    case 'refused':
      throw new Error(way.why);
    case 'forward':
      await letGoOfBackup(run);
      await unwatched(run, async () => run.moved(await database.standDown({ run: ref, by })));
      if (way.to === 'live') {
        await insist(run, 'Taking the maintenance page down', () =>
          hostOf(run.plan.hostQueue).pageOff({ run: ref }),
        );
        run.pageOffAt ??= Date.now();
      } else watchPage(run);
      run.wayBack = [];
      run.isGoingBack = false;
      run.note(`The way back was taken back: the run is at ${way.to} again.`);
      return 'forward';
    case 'close':
      await go(run, way.steps);
      await finish(run);
      if (standing.phase === 'over' && standing.from !== null) return endedBefore(run, 'home');
      run.live = true;
      run.note('Production was live already, so nothing was restored. The backup is kept.');
      return 'live';
    case 'back': {
      const accepted = intent === 'rollBack' ? run.lossAcceptedBy : [];
      run.moved(await database.turnBack({ run: ref, intent, by: accepted }));
      const from = run.standing?.from ?? 'claimed';
      await go(run, way.steps);
      await finish(run);
      if (!needsRestore(from)) {
        markUndone(run, []);
        return 'untouched';
      }
      run.note(
        `The backup ${run.plan.backupDatabase} is kept; a further run is refused until it is removed.`,
      );
      markUndone(run, ['backup']);
      return 'restored';
    }
  }
}

async function go(run: Run, steps: readonly WayBackStepName[]): Promise<void> {
  const before = new Map(run.wayBack.map((step) => [step.name, step]));
  const kept = run.wayBack.filter(({ name, state }) => state === 'done' && !steps.includes(name));
  run.wayBack = [
    ...kept,
    ...steps.map((name) => ({ ...nothingYet, name, attempt: before.get(name)?.attempt ?? 0 })),
  ];
  for (const name of steps) await goWayBackStep(run, name);
}

const nothingYet = {
  state: 'pending',
  startedAt: null,
  finishedAt: null,
  rows: null,
  rowsTotal: null,
  bytes: null,
  error: null,
} as const;

/** The end of a run in production: `over`, then shadow, kept objects and ledger go. */
export async function finish(run: Run): Promise<void> {
  const { notes, standing } = await database.finish({ run: run.refBack() });
  for (const note of notes) run.note(note);
  if (standing) run.standing = standing;
}

// The ledger was removed, so nothing is left to undo; what its mirror or the history says is how the run ended.
function endedBefore(run: Run, ended: 'live' | 'home'): WayBack {
  if (ended === 'live') {
    run.live = true;
    run.note('Production was live already, so nothing was restored.');
    return 'live';
  }
  run.note('Production was brought back already and is open to its users, so nothing was restored again.');
  markUndone(run, ['backup']);
  return 'restored';
}

// Looked at, not believed.
async function whatStands(run: Run): Promise<string> {
  if (!run.standing) return '';
  const { phase, from } = run.standing;
  const isWhole = from !== null && hasReached(from, 'verified');
  const emptied = phase === 'emptied' ? ' Its old rows are being brought back.' : '';
  const fresh =
    phase === 'returning' || phase === 'aside'
      ? ` Nothing was emptied: the new database is ${isWhole ? 'whole and verified' : 'not finished'}.`
      : emptied;
  try {
    return `${await early.describeProduction({ run: run.refBack() })}${needsRestore(from ?? phase) ? fresh : ''}`;
  } catch (error) {
    return `How production is can't be seen: ${problemOf(error).message}`;
  }
}

// The backup is undone only when it is gone.
function markUndone(run: Run, kept: StepName[]): void {
  const lasting: StepName[] = ['preflight', 'announce', 'approval', ...kept];
  for (const step of run.steps) {
    if (step.state === 'done' && !lasting.includes(step.name)) step.state = 'undone';
  }
}
