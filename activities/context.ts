/** What an activity works with: its run's identity, the plan, sessions, how many lanes. */
import { createHash } from 'node:crypto';
import os from 'node:os';
import { Context } from '@temporalio/activity';
import type { Client } from 'pg';
import type { Ends } from '../src/backup/manifest';
import { KirikaeError, UsageError } from '../src/errors';
import type { RunIdentity } from '../src/ledger/claim';
import { APPLICATION, connect, disconnect } from '../src/postgres/connect';
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

export type DatabaseRole = 'production' | 'backup' | 'shadow';

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
    return process.env[this.plan.databases[role].urlEnv] ?? '';
  }

  /** Where the present database is copied to before a roll back after `live`. */
  get abandonedUrl(): string {
    return otherDatabase(this.url('backup'), `${databaseOf(this.url('production'))}_abandoned`);
  }

  /** Production and the backup, as what copies between them wants them. */
  ends(production: Client, backup: Client): Ends {
    return {
      production,
      productionUrl: this.url('production'),
      backup,
      backupUrl: this.url('backup'),
      schemas: this.schemas,
    };
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
  async sessions<T>(roles: readonly DatabaseRole[], work: (...clients: Client[]) => Promise<T>): Promise<T> {
    const clients: Client[] = [];
    try {
      for (const role of roles) clients.push(await this.open(this.url(role), role));
      return await work(...clients);
    } finally {
      await Promise.all(clients.map(disconnect));
    }
  }

  // A frozen worker may wake up: the sessions of an earlier attempt end before this one does anything.
  private async open(url: string, role: DatabaseRole): Promise<Client> {
    const client = await connect(url, `${this.label} ${role} ${Context.current().info.attempt}`);
    if (Context.current().info.attempt === 1) return client;
    try {
      await mustEndSessions(client, {
        where: `datname = current_database() and application_name like $1 and application_name <> current_setting('application_name')`,
        values: [`${APPLICATION} ${this.label} %`],
      });
      return client;
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

/** One connection more than cores copies fastest; never more than eight. */
export function lanes(): number {
  return Math.min(8, os.availableParallelism() + 1);
}

/** How a long piece of work is done that shows no progress of its own. */
export function quietly() {
  return { lanes: lanes(), signal: cancellation(), onTable: () => undefined };
}

function short(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 10);
}
