/** What an activity works with: its run's identity, the plan, sessions, how many lanes. */
import { createHash } from 'node:crypto';
import { Context } from '@temporalio/activity';
import { KirikaeError, UsageError } from '../src/errors';
import type { RunIdentity } from '../src/ledger/claim';
import { APPLICATION, connect, disconnect } from '../src/postgres/connect';
import {
  placesOf,
  type DatabaseRole,
  type Endpoint,
  type Pair,
  type Place,
  type Work,
} from '../src/postgres/endpoint';
import { lanesOfHost } from '../src/postgres/lanes';
import { mustEndSessions } from '../src/postgres/sessions';
import { databaseOf, otherDatabase } from '../src/postgres/url';
import { findPlan, missingVariables, type Plan, type Settings } from '../src/settings/read';

/** Sent with every activity: which plan, and for whom. */
export interface RunRef {
  plan: string;
  /** Hash of the plan when the run began; null where a changed plan must not hinder (ways back). */
  planHash: string | null;
  /** First run id of the workflow; stays the same after a Temporal reset. */
  chain: string;
}

/** An activity's view of its run. */
export class ActivityRun {
  readonly plan: Plan;

  constructor(
    settings: Settings,
    private readonly ref: RunRef,
  ) {
    this.plan = findPlan(settings, ref.plan);
    const missing = missingVariables(this.plan);
    if (missing.length > 0)
      throw ref.planHash === null
        ? new UsageError(missing)
        : new KirikaeError('NeedsOperator', missing.join(' '));
    if (ref.planHash !== null && ref.planHash !== this.plan.hash) {
      throw new KirikaeError(
        'NeedsOperator',
        `The settings, mapping or schema files of plan "${ref.plan}" have changed on the worker since this run began. Put back what they were, start the worker again, and send retry; or cancel the run.`,
      );
    }
  }

  get identity(): RunIdentity {
    const { workflowExecution, workflowNamespace } = Context.current().info;
    if (!workflowExecution)
      throw new KirikaeError('StepFailed', 'The activity was not started by a workflow.');
    const { workflowId, runId } = workflowExecution;
    return {
      namespace: workflowNamespace ?? 'default',
      workflowId,
      runId,
      chain: this.ref.chain,
      plan: this.plan.name,
    };
  }

  get schemas(): string[] {
    return this.plan.databases.production.schemas;
  }

  url(role: DatabaseRole): string {
    return this.place(role).url;
  }

  /** Where the present database is copied to before a roll back after `live`. */
  get abandonedUrl(): string {
    return otherDatabase(this.url('backup'), `${databaseOf(this.url('production'))}_abandoned`);
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
    return { label: this.label, lanes: lanesOfHost(), signal: cancellation(), onProgress };
  }

  /** Marks this activity's sessions in pg_stat_activity: workflow, then activity; the same for every attempt. */
  get label(): string {
    return `${short(this.identity.chain)}-${short(this.commandKey)}`;
  }

  /** Pattern of application_name for every session of this workflow. */
  get workflowSessions(): string {
    return `${APPLICATION} ${short(this.identity.chain)}-%`;
  }

  /** Opens sessions of these databases for `work`, and ends them in every case. */
  async sessions<R extends DatabaseRole, T>(
    roles: readonly R[],
    work: (databases: Record<R, Endpoint>) => Promise<T>,
  ): Promise<T> {
    const opened = new Map<R, Endpoint>();
    try {
      for (const role of roles) opened.set(role, await this.open(role));
      return await work(Object.fromEntries(opened) as Record<R, Endpoint>);
    } finally {
      await Promise.all([...opened.values()].map(({ client }) => disconnect(client)));
    }
  }

  // A frozen worker may wake up: the sessions of an earlier attempt end before this one does anything.
  private async open(role: DatabaseRole): Promise<Endpoint> {
    const place = this.place(role);
    const client = await connect(place.url, `${this.label} ${role} ${Context.current().info.attempt}`);
    if (Context.current().info.attempt === 1) return { ...place, client };
    try {
      await mustEndSessions(client, {
        where: `datname = current_database() and application_name like $1 and application_name <> current_setting('application_name')`,
        values: [`${APPLICATION} ${this.label} %`],
      });
      return { ...place, client };
    } catch (error) {
      await disconnect(client);
      throw error;
    }
  }

  /** The same for every attempt of this activity: commands use it to find what an earlier attempt left running. */
  get commandKey(): string {
    const { workflowExecution, activityId } = Context.current().info;
    return `${workflowExecution?.workflowId} ${workflowExecution?.runId} ${activityId}`;
  }
}

/** Aborts when this activity is cancelled or has lost its place to another attempt. */
export function cancellation(): AbortSignal {
  return Context.current().cancellationSignal;
}

function short(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 10);
}
