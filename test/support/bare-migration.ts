/** A run of a laid-out plan without Temporal: the product's own activities, called one by one, and `recover` as its way back. */
import { randomUUID } from 'node:crypto';
import os from 'node:os';
import type { Client } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createActivities, type Activities, type RunRef } from '../../activities';
import { FORWARD } from '../../src/contract';
import type { Phase } from '../../src/engine/parts';
import { findPlan, readSettings, type Plan } from '../../src/settings/read';
import { recover } from '../../src/way-back/recover';
import type { Migration } from './migration';

export type ForwardPhase = (typeof FORWARD)[number];

export class BareMigration {
  private readonly plan: Plan;
  private readonly activities: Activities;
  private readonly environment: MockActivityEnvironment;
  private readonly run: RunRef;
  /** The phase that it has come to; null before the claim. */
  phase: ForwardPhase | null = null;

  constructor({ settingsFile }: Pick<Migration, 'settingsFile'>) {
    const settings = readSettings(settingsFile);
    this.plan = findPlan(settings, 'tumiki');
    this.run = { plan: this.plan.name, planHash: this.plan.hash };
    this.activities = createActivities(settings);
    const runId = randomUUID();
    this.environment = new MockActivityEnvironment(
      { workflowNamespace: 'bare', workflowExecution: { workflowId: `bare-${runId}`, runId } },
      { client: knowingNoReset as Client },
    );
  }

  /** Preflight as a run does it. @returns findings; with any, its shadow is gone again */
  async check(): Promise<string[]> {
    const { run } = this;
    const findings = await this.act((activities) => activities.checkHost({ run }));
    const { catalogue, ...first } = await this.act((activities) => activities.checkDatabases({ run }));
    findings.push(...first.findings);
    if (first.shadowReady) {
      const deploy = await this.act((activities) => activities.deployToShadow({ run }));
      const deployed = deploy.length === 0;
      const mapping = await this.act((activities) => activities.checkMapping({ run, catalogue, deployed }));
      findings.push(...deploy, ...mapping.findings);
    }
    if (findings.length > 0) await this.act((activities) => activities.dropShadow({ run }));
    return findings;
  }

  /** Goes on to a phase, through all before it. @throws what stops it */
  async goTo(phase: ForwardPhase): Promise<void> {
    const from = this.phase === null ? 0 : FORWARD.indexOf(this.phase) + 1;
    for (const next of FORWARD.slice(from, FORWARD.indexOf(phase) + 1)) {
      await this.steps[next]();
      this.phase = next;
    }
  }

  /** The end of a run that is live: its backup and its ledger go. */
  async end(): Promise<void> {
    const { run } = this;
    await this.act((activities) => activities.removeBackup({ run }));
    await this.act((activities) => activities.finish({ run }));
  }

  /** The way back from wherever it is. @returns what it said */
  async goBack(): Promise<string[]> {
    const said: string[] = [];
    const { signal } = new AbortController();
    const operator = { say: (text: string) => said.push(text), confirm: () => Promise.resolve(true) };
    const order = { plan: this.plan, host: os.hostname(), acceptLoss: false, settleMs: 0, signal };
    if (!(await recover(order, operator))) throw new Error(`The way back has no end: ${said.join(' / ')}`);
    return said;
  }

  private readonly steps: Record<ForwardPhase, () => Promise<unknown>> = {
    claimed: () => this.act((activities) => activities.claim({ run: this.run })),
    closed: () => this.act((activities) => activities.pageOn({ run: this.run })),
    fenced: () => this.act((activities) => activities.fence({ run: this.run })),
    sealed: async () => {
      const { groups } = await this.act((activities) => activities.beginBackup({ run: this.run }));
      await this.copy({ name: 'backup', attempt: 1 }, groups);
      await this.act((activities) => activities.sealBackup({ run: this.run }));
      await this.act((activities) => activities.indexBackup({ run: this.run }));
    },
    approved: async () => {
      const { run } = this;
      const { fingerprint } = await this.act((activities) => activities.openApproval({ run }));
      const approvals = [{ by: 'alice', at: new Date().toISOString() }];
      await this.act((activities) => activities.approve({ run, fingerprint, approvals }));
    },
    reset: () => this.act((activities) => activities.reset({ run: this.run })),
    built: () => this.act((activities) => activities.deploySchema({ run: this.run })),
    migrated: async () => {
      const { groups } = await this.act((activities) => activities.beginMigrate({ run: this.run }));
      await this.copy({ name: 'migrate', attempt: 1 }, groups);
      await this.act((activities) => activities.finishMigrate({ run: this.run }));
    },
    verified: () => this.act((activities) => activities.verify({ run: this.run })),
    deployed: () => this.act((activities) => activities.endDeploys({ run: this.run })),
    checked: () => this.act((activities) => activities.endChecks({ run: this.run })),
    live: async () => {
      await this.act((activities) => activities.goLive({ run: this.run }));
      await this.act((activities) => activities.pageOff({ run: this.run }));
    },
  };

  private async copy(phase: Phase, groups: number): Promise<void> {
    for (let group = 0; group < groups; group++)
      await this.act((activities) => activities.copyGroup({ run: this.run, phase, group }));
  }

  private async act<T>(work: (activities: Activities) => Promise<T>): Promise<T> {
    const done: Promise<T> = this.environment.run(() => work(this.activities));
    return done;
  }
}

// What activities ask Temporal: which run was the first. It is this one.
const knowingNoReset: object = {
  withAbortSignal: (_signal: AbortSignal, work: () => Promise<unknown>) => work(),
  workflow: { getHandle: () => ({ describe: () => Promise.resolve({ raw: {} }) }) },
};
