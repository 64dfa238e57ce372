/**
 * The workflow sandbox without a server: activations in, commands out. It uses internals of Temporal's SDK, whose version
 * package.json pins, and only tests may.
 */
import { readFileSync } from 'node:fs';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { msToTs } from '@temporalio/common/lib/time';
import { parseWorkflowCode } from '@temporalio/worker/lib/worker';
import { globalHandlers } from '@temporalio/worker/lib/workflow/vm-shared';
import type { Workflow } from '@temporalio/worker/lib/workflow/interface';
import { ReusableVMWorkflowCreator } from '@temporalio/worker/lib/workflow/reusable-vm';
import { COMMANDS } from '../../../src/contract';
import { workflowBundlePath } from '../environment';

type Activation = Parameters<Workflow['activate']>[0];
export type Job = NonNullable<Activation['jobs']>[number];
type Completion = NonNullable<Awaited<ReturnType<Workflow['activate']>>['successful']>;
export type Command = NonNullable<Completion['commands']>[number];

/** Which execution a sandbox runs. */
export interface Execution {
  workflowId: string;
  runId: string;
  firstRunId: string;
  workflowType: string;
  taskQueue: string;
}

globalHandlers.install = () => undefined;

let creator: Promise<ReusableVMWorkflowCreator> | undefined;

function creatorOfBundle(): Promise<ReusableVMWorkflowCreator> {
  const file = workflowBundlePath();
  creator ??= ReusableVMWorkflowCreator.create(
    parseWorkflowCode(readFileSync(file, 'utf8'), file),
    undefined as never,
    new Set(),
  );
  return creator;
}

/** One execution's memory in a worker: thrown away when the worker goes. */
export class Sandbox {
  private readonly flags = new Set<number>();

  private constructor(
    private readonly workflow: Workflow,
    private readonly runId: string,
  ) {}

  static async open(execution: Execution, atMs: number): Promise<Sandbox> {
    const { workflowId, runId, firstRunId, workflowType, taskQueue } = execution;
    const at = new Date(atMs);
    const info = {
      ...{ workflowId, runId, workflowType, taskQueue, namespace: 'default' },
      ...{ firstExecutionRunId: firstRunId, attempt: 1, startTime: at, runStartTime: at },
      ...{ searchAttributes: {}, typedSearchAttributes: undefined, historyLength: 3, historySize: 300 },
      ...{ continueAsNewSuggested: false, taskTimeoutMs: 10_000 },
      unsafe: { now: () => atMs, isReplaying: false, isReplayingHistoryEvents: false },
    };
    const workflow = await (
      await creatorOfBundle()
    ).createWorkflow({
      info: info as never,
      // The first run's, as the server hands it on to those that a reset makes.
      randomnessSeed: seedOf(firstRunId),
      now: atMs,
      showStackTraceSources: false,
    });
    return new Sandbox(workflow, runId);
  }

  /** Gives jobs to the workflow, as one workflow task. @returns its commands @throws Error when the task fails */
  async activate(
    jobs: readonly Job[],
    { atMs, isReplaying = false }: { atMs: number; isReplaying?: boolean },
  ): Promise<Command[]> {
    const { successful, failed } = await this.workflow.activate({
      ...{ runId: this.runId, timestamp: msToTs(atMs), jobs: [...jobs], isReplaying },
      historyLength: 10,
      availableInternalFlags: isReplaying ? [...this.flags] : [],
    });
    if (!successful) throw new Error(`A workflow task failed: ${JSON.stringify(failed?.failure?.message)}`);
    for (const flag of successful.usedInternalFlags ?? []) this.flags.add(flag);
    return successful.commands ?? [];
  }

  async query<T>(name: string): Promise<T> {
    const queryWorkflow = { queryId: 'q', queryType: name, arguments: [], headers: {} };
    const { successful, failed } = await this.workflow.activate({
      ...{ runId: this.runId, jobs: [{ queryWorkflow, variant: 'queryWorkflow' }], isReplaying: true },
    });
    const answer = successful?.commands?.[0]?.respondToQuery;
    const response = answer?.succeeded?.response;
    if (!response)
      throw new Error(
        `The query ${name} was not answered: ${answer?.failed?.message ?? failed?.failure?.message}`,
      );
    return fromPayload<T>(response);
  }

  /** What a replay has to know beside the jobs. */
  takeFlagsOf(other: Sandbox): void {
    for (const flag of other.flags) this.flags.add(flag);
  }

  close(): Promise<void> {
    return this.workflow.dispose();
  }
}

export function toPayload(value: unknown): Payload {
  return defaultPayloadConverter.toPayload(value);
}

export function fromPayload<T>(payload: unknown): T {
  return defaultPayloadConverter.fromPayload<T>(payload as Payload);
}

export function seedOf(text: string): number[] {
  return [...Buffer.from(text.padEnd(8, COMMANDS[0]))].slice(0, 8);
}
