/** A way back gone in this process: its steps, with the page watched and the backup held beside them. */
import type { WayBackStepName } from '../contract';
import type { Phase as CopyPhase } from '../engine/parts';
import type { HeldRun } from '../ledger/held-run';
import { needsRestore, type Standing } from '../ledger/phases';
import { inLanes } from '../postgres/lanes';
import { rollbackChecks } from '../settings/read';
import { beginAside, sealAside } from './aside';
import { copyOwnGroup } from './copy-group';
import { removeOwnBackup } from './end';
import {
  deploysToUndo,
  keepPageOn,
  raiseFence,
  runNamedCheck,
  takePageDown,
  turnPageOn,
  undoDeploy,
} from './outside';
import {
  compare,
  empty,
  finish,
  holdOwnBackup,
  markRestored,
  proveKept,
  proveOwnBackup,
  type RestorePlan,
} from './restore';
import { comeHome, liftFence } from './turn';

/** How a person is told and asked. */
export interface Operator {
  say: (sentence: string) => void;
  /** Has the name of the database typed. @returns false when it wasn't: nothing is done then */
  confirm: (question: string, database: string) => Promise<boolean>;
}

/** One way back. Each step is the workflow's own, and may be repeated. */
export class Journey {
  /** Null also where old objects were kept, and nothing is copied. */
  private plan: RestorePlan | null = null;
  private readonly watching = new AbortController();
  private readonly holding = new AbortController();

  constructor(
    private readonly run: HeldRun,
    private readonly operator: Operator,
    private readonly from: Standing,
  ) {}

  end(): void {
    this.watching.abort();
    this.holding.abort();
  }

  readonly steps: Record<WayBackStepName, () => Promise<void>> = {
    pageOn: async () => {
      await turnPageOn(this.run);
      this.watch();
    },
    fence: async () => void (await raiseFence(this.run)),
    proveBackup: () => proveOwnBackup(this.run),
    aside: async () => {
      const { groups, database } = await beginAside(this.run);
      if (database !== null) await this.copy({ name: 'aside', attempt: 1 }, groups);
      const sealed = await sealAside(this.run);
      if (sealed.database !== null)
        this.operator.say(`The database as it was is kept as ${sealed.database} (${sealed.rows} rows).`);
    },
    empty: async () => {
      this.plan = null;
      const { isReady, moved } = await proveKept(this.run);
      for (const note of moved.notes) this.operator.say(note);
      if (isReady) return;
      // Whatever stops the holding stops the emptying, which looks whether it is held.
      holdOwnBackup(this.run.until(this.holding.signal)).catch(() => undefined);
      this.plan = await empty(this.run);
    },
    restore: async () => {
      if (!this.plan) return;
      const { attempt, groups } = this.plan;
      await this.copy({ name: 'restore', attempt }, groups);
      await finish(this.run, attempt);
    },
    compare: async () => {
      if (!this.plan) return;
      for (const note of await compare(this.run, this.plan.attempt)) this.operator.say(note);
    },
    liftFence: async () => {
      const from = this.from.from ?? this.from.phase;
      if (needsRestore(from))
        for (const note of (await markRestored(this.run)).notes) this.operator.say(note);
      else await liftFence(this.run);
      this.holding.abort();
    },
    undoDeploys: async () => {
      for (const { name, hasRollback } of await deploysToUndo(this.run)) {
        if (!hasRollback)
          this.operator.say(
            `The deploy "${name}" has no rollback command: bring back its previous version by hand.`,
          );
        await undoDeploy(this.run, name);
      }
    },
    rollbackSmoke: async () => {
      const checks = rollbackChecks(this.run.plan);
      for (const { name } of checks) await runNamedCheck(this.run, checks, name);
    },
    pageOff: async () => {
      this.watching.abort();
      if (this.from.phase !== 'live') await comeHome(this.run);
      await takePageDown(this.run);
    },
    removeBackup: async () => void (await removeOwnBackup(this.run)),
  };

  // Whatever stops the watching: the page was on, and each later step looks at the ledger itself.
  private watch(): void {
    const signal = AbortSignal.any([this.run.signal, this.watching.signal]);
    keepPageOn(this.run, {
      signal,
      onSeen: ({ kind }) => this.operator.say(`The maintenance page is ${kind.replace('found ', '')}.`),
    }).catch(() => undefined);
  }

  private async copy(phase: CopyPhase, groups: number): Promise<void> {
    const all = Array.from({ length: groups }, (_, group) => group);
    await inLanes(all, this.run.work(), (eachItem) =>
      eachItem(
        async (group) => void (await copyOwnGroup(this.run, { phase, group, onProgress: () => undefined })),
      ),
    );
  }
}
