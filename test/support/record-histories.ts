/** Real runs whose histories are kept as test/golden/*.json; also how those files are made again, see test/replay.test.ts. */
import { readdirSync, readFileSync, writeFileSync, mkdirSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils';
import { packageRoot } from '../../tools/provide';
import { openNamespace } from './namespace';
import { testPostgres } from './environment';
import { ending, layOutMigration, startRun, untilStatus, withWorker, type Migration } from './migration';
import { makeTumikiTemplate } from './tumiki-template';

export const goldenFolder = path.resolve(__dirname, '..', 'golden');

export const recordedRuns = ['migrated', 'rolled-back', 'rejected', 'reset'] as const;
export type RecordedRun = (typeof recordedRuns)[number];

/** A history doesn't hold it, and the monitoring's id is made from it. */
export function workflowIdOf(name: RecordedRun): string {
  return `golden-${name}`;
}

export function readGoldens(): { name: string; text: string }[] {
  return readdirSync(goldenFolder)
    .filter((file) => file.endsWith('.json'))
    .map((file) => ({
      name: file.replace('.json', ''),
      text: readFileSync(path.join(goldenFolder, file), 'utf8'),
    }));
}

/** Runs the migrations on real servers and writes their histories. */
export async function recordHistories(): Promise<void> {
  mkdirSync(goldenFolder, { recursive: true });
  const template = await makeTumikiTemplate(20);
  const server = await openNamespace('record');
  try {
    for (const name of recordedRuns) {
      const migration = await layOutMigration(template.name, (plan) => {
        if (name === 'reset') plan.monitor = { for: '1h', every: '1h' };
      });
      try {
        const handle = await withWorker(migration, server.namespace, () =>
          carryOut(name, server.client, migration),
        );
        const history: unknown = JSON.parse(historyToJSON(await handle.fetchHistory()));
        const text = scrub(JSON.stringify(history, null, 1), migration, server.namespace);
        writeFileSync(path.join(goldenFolder, `${name}.json`), `${text}\n`);
      } finally {
        await migration.drop();
      }
    }
  } finally {
    await server.close();
    await template.drop();
  }
}

// Approvals come as updates and as signals; the run that is reset was approved by signal.
async function carryOut(name: RecordedRun, client: Client, migration: Migration): Promise<WorkflowHandle> {
  let handle = await startRun(client, {}, workflowIdOf(name));
  const { backup } = await untilStatus(handle, (s) => s.step === 'approval' && s.waitingFor !== null);
  const said = { by: 'bob', fingerprint: backup?.fingerprint };
  switch (name) {
    case 'rolled-back':
      // The new version never answers, and the old one does again.
      migration.health.status = 500;
      await handle.executeUpdate('approve', { args: [said] });
      await untilStatus(handle, (status) => status.notes.length > 0 && status.steps.some(hasFailed));
      migration.health.status = 200;
      break;
    case 'rejected':
      await handle.executeUpdate('reject', { args: [said] });
      break;
    case 'migrated':
      await handle.executeUpdate('approve', { args: [said] });
      break;
    case 'reset':
      await handle.signal('approve', said);
      await untilStatus(handle, (status) => status.live);
      handle = await resetToLastTask(client, handle);
      await untilStatus(handle, (status) => status.parked);
      await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
  }
  const { outcome } = await ending(handle);
  if (outcome !== (name === 'reset' ? 'migrated' : name))
    throw new Error(`The run to record as ${name} ended as ${outcome}.`);
  return handle;
}

async function resetToLastTask(client: Client, handle: WorkflowHandle): Promise<WorkflowHandle> {
  const { namespace } = client.options;
  const { workflowId } = handle;
  const { events = [] } = await handle.fetchHistory();
  const task = events?.findLast((event) => event.workflowTaskCompletedEventAttributes);
  const { runId } = await client.workflowService.resetWorkflowExecution({
    namespace,
    workflowExecution: { workflowId },
    workflowTaskFinishEventId: task?.eventId,
    requestId: `reset-${workflowId}`,
    reason: 'recorded',
  });
  return client.workflow.getHandle(workflowId, runId);
}

function hasFailed(step: { state: string }): boolean {
  return step.state === 'failed';
}

// Names of this machine, folders, ports and random database names say nothing about the workflow.
function scrub(text: string, migration: Migration, namespace: string): string {
  const port = new URL(migration.pageUrl).port;
  const plain: [string, string][] = [
    [migration.folder, '/plan'],
    [packageRoot, '/kirikae'],
    [migration.production.name, 'shop'],
    [`${process.pid}@${os.hostname()}`, 'worker@host'],
    [os.hostname(), 'host'],
    [`127.0.0.1:${port}`, '127.0.0.1:8080'],
    [`127.0.0.1:${testPostgres().port}`, '127.0.0.1:5432'],
    [testPostgres().password, 'secret'],
    [namespace, 'default'],
  ];
  // Payloads are base64, so each is decoded, cleaned and encoded again.
  const clean = (part: string) => plain.reduce((result, [from, to]) => result.replaceAll(from, to), part);
  return clean(text).replace(/"data": "([A-Za-z0-9+/=]+)"/g, (_whole, data: string) => {
    const decoded = Buffer.from(data, 'base64').toString('utf8');
    return `"data": "${Buffer.from(clean(decoded)).toString('base64')}"`;
  });
}
