/** A run without Temporal: its claim of production, and the phases of its ledger, for whoever calls the steps one by one. */
import type { Client } from 'pg';
import type { BackupOwner } from '../src/backup/manifest';
import { FORWARD, type Phase } from '../src/contract';
import { advance, claimProduction, ownClaim, type NewClaim, type RunIdentity } from '../src/ledger/claim';
import { inTransaction } from '../src/postgres/connect';
import type { MayWrite, Note } from '../src/postgres/endpoint';

export class BareRun {
  readonly identity: RunIdentity;

  /** @param name claim, workflow, run and plan are all called so */
  constructor(private readonly name: string) {
    this.identity = { namespace: 'lab', workflowId: name, firstRunId: name, runId: name, plan: name };
  }

  /** Whose the backup becomes. */
  owner(created: boolean): BackupOwner {
    return { claim: this.name, role: 'backup', run: this.identity, created };
  }

  /** Claims production. */
  async claim(production: Client, fresh: Omit<NewClaim, 'id'>): Promise<void> {
    await claimProduction(production, this.identity, { id: this.name, ...fresh });
  }

  /** Takes the ledger forward to a phase, through all before it; harmless when it is there. */
  async reach(production: Client, phase: (typeof FORWARD)[number]): Promise<void> {
    await inTransaction(production, async () => {
      const from = (FORWARD as readonly Phase[]).indexOf((await ownClaim(production, this.identity)).phase);
      for (const next of FORWARD.slice(from + 1, FORWARD.indexOf(phase) + 1))
        await advance(production, this.identity, next);
    });
  }

  /** Takes the ledger to `aside`, from where a restore may empty; harmless when it is there or further. */
  async goBack(production: Client): Promise<void> {
    await inTransaction(production, async () => {
      const { phase } = await ownClaim(production, this.identity);
      if (phase === 'emptied') return;
      for (const next of ['returning', 'aside'] as const) await advance(production, this.identity, next);
    });
  }

  /** True once the ledger has come to a phase. */
  isAt(phase: Phase): (production: Client) => Promise<boolean> {
    return async (production) => (await ownClaim(production, this.identity)).phase === phase;
  }

  /** Writes a phase in the transaction of what it is about. */
  advancing(to: Phase): Note {
    return async (production) => void (await advance(production, this.identity, to));
  }

  /** Whoever writes to production still holds the claim. */
  readonly mayWrite: MayWrite = async (production) => void (await ownClaim(production, this.identity));
}
