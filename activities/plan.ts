/** What a workflow may know of a plan: names, counts and times, no secret. */
import { Context } from '@temporalio/activity';
import { databaseOf } from '../src/postgres/url';
import { rollbackChecks, type Plan, type Settings } from '../src/settings/read';
import { milliseconds } from '../src/settings/schema';
import { planUnderWay, presentPlan, type RunRef } from './context';

export interface PlanOutline {
  name: string;
  /** sha256 of all that people approve of it, and of each part by its name. */
  hash: string;
  parts: Record<string, string>;
  hostQueue: string | null;
  checklist: string[];
  approval: { minimum: number; timeoutMs: number; requesterMayApprove: boolean };
  productionDatabase: string;
  backupDatabase: string;
  deploys: { name: string; timeoutMs: number; hasRollback: boolean }[];
  smoke: { name: string; kind: 'http' | 'sql' | 'command' | 'manual' }[];
  rollbackSmoke: { name: string; kind: 'http' | 'sql' | 'command' }[];
  monitor: { forMs: number; everyMs: number };
  retireAfterApproval: boolean;
  /** How long an outage, or a backup that can't be removed, is borne. */
  patienceMs: number;
}

export function planActivities(settings: Settings) {
  return {
    /**
     * The plan's outline.
     * @throws UsageError for an unknown plan or missing variables: the run is refused. After a `retry` KirikaeError NeedsOperator
     */
    async outlinePlan({ run }: { run: RunRef }): Promise<PlanOutline> {
      const plan = run.retry ? planUnderWay(settings, run) : presentPlan(settings, run);
      Context.current().log.info('plan read', { plan: plan.name });
      return Promise.resolve(outline(plan));
    },
  };
}

function outline(plan: Plan): PlanOutline {
  const { backup, production } = plan.databases;
  return {
    name: plan.name,
    hash: plan.hash,
    parts: plan.parts,
    hostQueue: plan.hostQueue ?? null,
    checklist: plan.checklist,
    approval: {
      minimum: plan.approval.minimum,
      timeoutMs: milliseconds(plan.approval.timeout),
      requesterMayApprove: plan.approval.requesterMayApprove,
    },
    productionDatabase: databaseOf(process.env[production.urlEnv] ?? ''),
    backupDatabase: databaseOf(process.env[backup.urlEnv] ?? ''),
    deploys: plan.deploy.map(({ name, timeout, rollback }) => ({
      name,
      timeoutMs: milliseconds(timeout),
      hasRollback: rollback !== undefined,
    })),
    smoke: plan.smoke.map(({ name, kind }) => ({ name, kind })),
    rollbackSmoke: rollbackChecks(plan).map(({ name, kind }) => ({ name, kind })),
    monitor: {
      forMs: milliseconds(plan.monitor.for),
      everyMs: Math.max(1_000, milliseconds(plan.monitor.every)),
    },
    retireAfterApproval: plan.retireBackup.after === 'approval',
    patienceMs: milliseconds(plan.patience),
  };
}
