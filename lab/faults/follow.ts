/** Watching a run from outside: when its ledger comes to a phase, and how it ends when each question is answered as its status says. */
import { setTimeout as wait } from 'node:timers/promises';
import {
  ApplicationFailure,
  CancelledFailure,
  TerminatedFailure,
  WorkflowFailedError,
  type WorkflowHandle,
} from '@temporalio/client';
import { Client } from 'pg';
import { PHASES, type Phase, type Status } from '../../src/contract';
import { hasReached } from '../../src/ledger/phases';
import { sentence } from '../../src/errors';

export interface Followed {
  /** The outcome; `terminated`; or a sentence when there is none. */
  outcome: string;
  why: string;
  parks: string[];
}

const limitMs = 240_000;
const maxRetries = 3;

/** Approves when asked, answers `retry` when parked and told to, three times at most, then `settle`; until the run is closed. */
export async function follow(handle: WorkflowHandle): Promise<Followed> {
  const deadlineMs = Date.now() + limitMs;
  const parks: string[] = [];
  let isApproved = false;
  let last: Status | null = null;
  while (Date.now() < deadlineMs) {
    if (await isClosed(handle)) return { ...(await endOf(handle)), parks };
    // A query needs a worker, and that may just have been killed.
    const status = await handle.query<Status>('status').catch(() => null);
    last = status ?? last;
    if (status?.parked && status.outcome === null) {
      parks.push(`${status.waitingFor} → ${status.nextAction}`);
      const name =
        parks.length <= maxRetries && status.nextAction.includes('kirikae retry') ? 'retry' : 'settle';
      await handle.executeUpdate(name, { args: [{ by: 'bob' }] }).catch((error: unknown) => {
        parks.push(`${name} was refused: ${sentence(error)}`);
      });
      await wait(300);
    } else if (status?.step === 'approval' && status.waitingFor !== null && !isApproved) {
      await handle.signal('approve', { by: 'bob', fingerprint: status.backup?.fingerprint });
      isApproved = true;
    }
    await wait(150);
  }
  await handle.terminate().catch(() => undefined);
  const error =
    last?.wayBack.find(({ error }) => error)?.error ?? last?.steps.find(({ error }) => error)?.error;
  return {
    outcome: `no outcome within ${limitMs / 1000} s`,
    why: `last in step ${last?.step ?? 'unknown'}, phase ${last?.phase ?? 'none'}: ${error ?? 'no error shown'}`,
    parks,
  };
}

async function isClosed(handle: WorkflowHandle): Promise<boolean> {
  return (await handle.describe()).status.name !== 'RUNNING';
}

async function endOf(handle: WorkflowHandle): Promise<{ outcome: string; why: string }> {
  try {
    const { outcome } = (await handle.result()) as Status;
    return { outcome: outcome ?? 'none', why: '' };
  } catch (error) {
    const cause = error instanceof WorkflowFailedError ? error.cause : error;
    if (cause instanceof ApplicationFailure) return { outcome: cause.type ?? 'failed', why: cause.message };
    if (cause instanceof CancelledFailure) return { outcome: 'cancelled', why: cause.message };
    if (cause instanceof TerminatedFailure) return { outcome: 'terminated', why: '' };
    return { outcome: 'failed', why: sentence(cause) };
  }
}

export interface Approach {
  phase: Phase;
  /** Called once, when the new database is verified. */
  onVerified: () => Promise<void>;
  /** Ends the waiting: the run has ended. */
  signal: AbortSignal;
}

// Like the run's own, so that the fence spares it.
const session = 'kirikae watch of faults';

/** Waits until the ledger is at a phase or past it. @returns the phase that was seen, null when the run ended before */
export async function approach(url: string, { phase, onVerified, signal }: Approach): Promise<Phase | null> {
  const client = new Client({ connectionString: url, application_name: session });
  client.on('error', () => undefined);
  await client.connect();
  let isVerified = false;
  try {
    while (!signal.aborted) {
      const seen = await client
        .query<{ phase: Phase }>('select phase from kirikae.claim')
        .then(({ rows }) => rows[0]?.phase ?? null)
        // No ledger yet, or no more.
        .catch(() => null);
      if (seen !== null && PHASES.indexOf(seen) >= PHASES.indexOf(phase)) return seen;
      if (!isVerified && hasReached(seen, 'verified')) {
        isVerified = true;
        await onVerified();
      }
      await wait(10);
    }
    return null;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Writes as an application would that has got in behind the page. */
export async function writeBehindThePage(url: string): Promise<void> {
  const client = new Client({ connectionString: url, application_name: session });
  await client.connect();
  try {
    await client.query(
      `set default_transaction_read_only = off; set synchronous_commit = on;
       update public."User" set name = concat(name, ' (behind the page)') where id = (select max(id) from public."User")`,
    );
  } finally {
    await client.end();
  }
}
