/** A run at work: its sessions of databases that are proved to be its own, its looks at the ledger, its transitions. */
import { createHash } from 'node:crypto';
import type { Client } from 'pg';
import type { Phase } from '../contract';
import { failureType, KirikaeError, sentence } from '../errors';
import { APPLICATION, connect, destroy, disconnect, inTransaction, withClient } from '../postgres/connect';
import {
  placesOf,
  type DatabaseRole,
  type Endpoint,
  type Pair,
  type Place,
  type Work,
} from '../postgres/endpoint';
import { lanesOfHost } from '../postgres/lanes';
import { mustEndSessions } from '../postgres/sessions';
import { databaseOf } from '../postgres/url';
import type { Plan } from '../settings/read';
import { advance, ownClaim, standingAt, standingOf, stillMay, type Claim, type RunIdentity } from './claim';
import { proveMarker } from './marker';
import { writeMirror } from './mirror';
import { mayGo, type Standing } from './phases';
import { readIntent } from './records';

/** A transition that was made, and what the operator should know of it. */
export interface Moved {
  standing: Standing;
  notes: string[];
}

const mirrorPatienceMs = 30_000;

/** Who works, and under which name. */
export interface Worker {
  identity: RunIdentity;
  /** The same for every attempt at one piece of work: marks its sessions and commands. */
  key: string;
  /** Counted from 1: a later attempt ends what an earlier one left. */
  attempt: number;
  signal: AbortSignal;
}

/** What the keys of a workflow's commands begin with. */
export function workflowOf({ namespace, workflowId }: Pick<RunIdentity, 'namespace' | 'workflowId'>): string {
  return `${namespace} ${workflowId}`;
}

/** A run as a piece of its work sees it. */
export class HeldRun {
  constructor(
    readonly plan: Plan,
    private readonly worker: Worker,
  ) {}

  get identity(): RunIdentity {
    return this.worker.identity;
  }

  get signal(): AbortSignal {
    return this.worker.signal;
  }

  /** The same for every attempt: commands use it to find what an earlier one left running. */
  get commandKey(): string {
    return this.worker.key;
  }

  /** The same run for a piece of work that ends when a signal says so. */
  until(signal: AbortSignal): HeldRun {
    return new HeldRun(this.plan, { ...this.worker, signal: AbortSignal.any([this.signal, signal]) });
  }

  get schemas(): string[] {
    return this.plan.databases.production.schemas;
  }

  url(role: DatabaseRole): string {
    return this.place(role).url;
  }

  place(role: DatabaseRole): Place {
    return placesOf(this.plan)[role];
  }

  /** Production and the backup while no session of this run is in either. */
  get places(): Pair<Place> {
    return placesOf(this.plan);
  }

  /** How this activity works. @param onProgress called with rows and bytes as they come */
  work(onProgress?: Work['onProgress']): Work {
    return { label: this.label, lanes: lanesOfHost(), signal: this.signal, onProgress };
  }

  /** Marks this activity's sessions in pg_stat_activity: workflow, then activity; the same for every attempt. */
  get label(): string {
    return `${short(this.identity.firstRunId)}-${short(this.commandKey)}`;
  }

  /** Pattern of application_name for the sessions of this piece of work. */
  get ownSessions(): string {
    return `${APPLICATION} ${this.label} %`;
  }

  /** Label of the session that keeps the backup unchanged; the same for every piece of this workflow's work. */
  get holdLabel(): string {
    return `${short(this.identity.firstRunId)}-hold`;
  }

  /** Pattern of application_name for every session of this workflow. */
  get workflowSessions(): string {
    return `${APPLICATION} ${short(this.identity.firstRunId)}-%`;
  }

  /**
   * Opens production and other databases of this run for `work`, and ends the sessions in every case. Whoever holds the claim,
   * its phase, and the marker of each database are looked at before anything else is read or written.
   * @param phases those in which the work may be done
   * @throws KirikaeError Overtaken or NeedsOperator when it may not
   */
  async hold<R extends DatabaseRole, T>(
    { roles, phases }: { roles: readonly R[]; phases: readonly Phase[] },
    work: (databases: Record<R | 'production', Endpoint>, claim: Claim) => Promise<T>,
  ): Promise<T> {
    return this.sessions(['production', ...roles], async (databases) => {
      const claim = await ownClaim(databases.production.client, this.identity, phases);
      for (const role of roles) if (role !== 'production') await proveMarker(databases[role], claim.id, role);
      return work(databases, claim);
    });
  }

  /** Opens sessions of these databases, whoever's they are, and ends them in every case. */
  async sessions<R extends DatabaseRole, T>(
    roles: readonly R[],
    work: (databases: Record<R, Endpoint>) => Promise<T>,
  ): Promise<T> {
    const opened = new Map<R, Endpoint>();
    try {
      for (const role of new Set(roles)) opened.set(role, await this.open(role));
      return await work(Object.fromEntries(opened) as Record<R, Endpoint>);
    } finally {
      await Promise.all([...opened.values()].map(({ client }) => disconnect(client)));
    }
  }

  /** The claim, looked at by a session of its own. @throws KirikaeError Overtaken when this run isn't its holder at these phases */
  async claimAt(phases: readonly Phase[]): Promise<Claim> {
    const { url } = this.place('production');
    return withClient(url, `${this.label} look`, (client) => ownClaim(client, this.identity, phases));
  }

  /** A look at the ledger, for whatever isn't in production. @throws KirikaeError Overtaken */
  async lookAgain(phases: readonly Phase[]): Promise<void> {
    await this.claimAt(phases);
  }

  /** For work that commits in production: its last statement before COMMIT. */
  stillMay(phases: readonly Phase[]): (client: Client) => Promise<void> {
    return (client) => stillMay(client, this.identity, phases);
  }

  /** For work that writes a phase in its own transaction, as the last statement before COMMIT. */
  advancing(to: Phase): (client: Client) => Promise<void> {
    return async (client) => void (await advance(client, this.identity, to));
  }

  /**
   * Makes a transition, in the ledger and in its mirror: `live` and `home` in the mirror first, all else in production first.
   * @param before done in the same transaction
   */
  async move(production: Client, to: Phase, before?: (client: Client) => Promise<void>): Promise<Moved> {
    let notes: string[] | null = null;
    if (to === 'live' || to === 'home') {
      const claim = await ownClaim(production, this.identity);
      if (mayGo(claim, to)) notes = await this.mirror(production, { ...claim, ...standingAt(claim, to) });
    }
    const claim = await inTransaction(production, async () => {
      await before?.(production);
      return advance(production, this.identity, to);
    });
    return { standing: standingOf(claim), notes: notes ?? (await this.mirror(production, claim)) };
  }

  /** Brings the mirror to where production's ledger stands. */
  async mirrored(production: Client): Promise<Moved> {
    const claim = await ownClaim(production, this.identity);
    return { standing: standingOf(claim), notes: await this.mirror(production, claim) };
  }

  // A backup that doesn't answer holds nothing up. Before it is sealed nothing depends on it, and one that goes takes its mirror along.
  private async mirror(production: Client, claim: Claim): Promise<string[]> {
    if (claim.manifestHash === null) return [];
    const place = this.place('backup');
    if ((await readIntent(production, databaseOf(place.url)))?.kind === 'dropping') return [];
    let client: Client | undefined;
    const limit = setTimeout(() => client && destroy(client), mirrorPatienceMs);
    try {
      client = await connect(place.url, `${this.label} mirror`);
      await proveMarker({ ...place, client }, claim.id, 'backup');
      await writeMirror(client, claim);
      return [];
    } catch (error) {
      if (
        error instanceof KirikaeError &&
        error.type === 'NeedsOperator' &&
        claim.phase !== 'live' &&
        claim.phase !== 'home'
      )
        throw error;
      if (failureType(error) === 'Overtaken') throw error;
      return [`The backup could not note that the run is at ${claim.phase}: ${sentence(error)}.`];
    } finally {
      clearTimeout(limit);
      if (client) await disconnect(client);
    }
  }

  // A frozen worker may wake up: the sessions of an earlier attempt end before this one does anything.
  private async open(role: DatabaseRole): Promise<Endpoint> {
    const place = this.place(role);
    const client = await connect(place.url, `${this.label} ${role} ${this.worker.attempt}`);
    if (this.worker.attempt === 1) return { ...place, client };
    try {
      await mustEndSessions(client, {
        where: `datname = current_database() and application_name like $1 and application_name <> current_setting('application_name')`,
        values: [this.ownSessions],
      });
      return { ...place, client };
    } catch (error) {
      await disconnect(client);
      throw error;
    }
  }
}

function short(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 10);
}
