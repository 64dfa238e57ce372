/** The turns of a way back that the ledger alone makes: back, forward again, home. */
import { FORWARD, type Phase } from '../contract';
import { KirikaeError } from '../errors';
import { unsetFence, endFencedSessions } from '../reset/fence';
import type { HeldRun, Moved } from '../ledger/held-run';
import { hasReached, needsRestore, wayBack, type Intent } from '../ledger/phases';
import { noteEvent } from '../ledger/claim';
import { inTransaction } from '../postgres/connect';
import { endOthersOf } from './stock';

const under = ['returning', 'aside', 'emptied', 'restored'] as const satisfies readonly Phase[];

/**
 * Writes `returning`, after this run's other sessions have ended. Harmless on a way back that is under way.
 * @param intent `rollBack` where persons have accepted the loss of what users wrote
 * @throws KirikaeError Overtaken where production is live and nobody has
 */
export async function turnBack(
  run: HeldRun,
  { intent, by }: { intent: Intent; by: string[] },
): Promise<Moved> {
  return run.hold(
    { roles: [], phases: [...FORWARD, ...under, 'home'] },
    async ({ production: { client } }, claim) => {
      if (!(FORWARD as readonly Phase[]).includes(claim.phase)) return run.mirrored(client);
      const way = wayBack(claim, intent);
      if (way.kind !== 'back') {
        throw new KirikaeError(
          'Overtaken',
          'Production is live: users may have written since, so nothing goes back without rollBack with acceptLoss.',
        );
      }
      await endOthersOf(run, client);
      return run.move(client, 'returning', async (production) => {
        for (const who of by) await noteEvent(production, { kind: 'loss accepted', who, text: 'rollBack' });
      });
    },
  );
}

/** Takes a way back back: the run is again at the phase that it came from. The caller puts page and fence as they were there. */
export async function standDown(run: HeldRun, by: string): Promise<Moved> {
  return run.hold(
    { roles: [], phases: ['returning', 'aside', ...FORWARD] },
    async ({ production: { client } }, claim) => {
      if ((FORWARD as readonly Phase[]).includes(claim.phase)) return run.mirrored(client);
      const way = wayBack(claim, 'standDown');
      if (way.kind !== 'forward')
        throw new KirikaeError(
          'NeedsOperator',
          way.kind === 'refused' ? way.why : 'Nothing can be taken back.',
        );
      const isOpen = hasReached(way.to, 'verified');
      const moved = await run.move(client, way.to, async (production) => {
        await noteEvent(production, { kind: 'stand down', who: by, text: `to ${way.to}` });
        if (isOpen) await unsetFence(production, claim);
      });
      if (isOpen) await endFencedSessions(client);
      return moved;
    },
  );
}

/** Before the reset: lifts the fence of a way back that restores nothing. */
export async function liftFence(run: HeldRun): Promise<void> {
  await run.hold({ roles: [], phases: ['returning'] }, async ({ production: { client } }, claim) => {
    if (claim.from !== null && needsRestore(claim.from))
      throw new KirikaeError(
        'Overtaken',
        'The fence of a way back that restores is lifted when production is restored.',
      );
    await inTransaction(client, async () => {
      await unsetFence(client, claim);
      await run.stillMay(['returning'])(client);
    });
    await endFencedSessions(client);
  });
}

/** Writes `home`, before the page is touched: production is what it was, and nothing restores any more. */
export async function comeHome(run: HeldRun): Promise<Moved> {
  return run.hold({ roles: [], phases: ['returning', 'restored', 'home'] }, ({ production: { client } }) =>
    run.move(client, 'home'),
  );
}
