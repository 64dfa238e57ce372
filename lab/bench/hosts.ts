/** One run by several hosts whose links are slow: what sharing the copying gains. `npm run bench -- --hosts 4`. */
import { mkdtempSync, rmSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Transform } from 'node:stream';
import { Client, Connection } from '@temporalio/client';
import { TASK_QUEUE, WORKFLOW_TYPE, type Status } from '../../src/contract';
import { startPostgres } from '../../tools/postgres';
import { startTemporal } from '../../tools/temporal';
import {
  build,
  fillTumiki,
  planUrls,
  query,
  startPage,
  startWorker,
  tumikiPlan,
  until,
  workerCommand,
  writeSettings,
} from '../stage';

/** Seconds from the first group of a phase to its last, and on how many hosts they were copied. */
export interface SharedRun {
  hosts: number;
  backup: number;
  migrate: number;
  workers: number;
}

const bytesPerSecond = 6_000_000;

/** Migrates the same rows with one host, then with `hosts`, each behind a link of its own of 6 MB/s each way. */
export async function measureHosts(hosts: number, users: number): Promise<SharedRun[]> {
  const stage = await build(async (later) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-bench-hosts-'));
    later(() => rmSync(folder, { recursive: true, force: true }));
    const postgres = await startPostgres({ settings: { max_wal_size: '4GB' } });
    later(() => postgres.stop());
    const temporal = await startTemporal();
    later(() => temporal.stop());
    await query(postgres.url('postgres'), 'create database hosts_template');
    await fillTumiki(postgres.url('hosts_template'), users);
    const flagFile = path.join(folder, 'page');
    const page = await startPage(flagFile);
    later(() => page.stop());
    const settingsFile = writeSettings(folder, { tumiki: tumikiPlan({ flagFile, pageUrl: page.url }) });
    const connection = await Connection.connect({ address: temporal.address });
    later(() => connection.close());
    const client = new Client({ connection, namespace: temporal.namespace });
    return { folder, postgres, temporal, settingsFile, client };
  });
  const { folder, postgres, temporal, settingsFile, client } = stage;
  try {
    const runs: SharedRun[] = [];
    for (const count of [1, hosts]) {
      const admin = postgres.url('postgres');
      for (const name of ['hosts', 'hosts_backup'])
        await query(admin, `drop database if exists ${name} with (force)`);
      await query(admin, 'create database hosts template hosts_template');
      const links = await Promise.all(Array.from({ length: count }, () => openLink(postgres.port)));
      const workers = await Promise.all(
        links.map(({ port }, index) => {
          const far = (database: string) =>
            Object.assign(new URL(postgres.url(database)), { port: String(port) }).toString();
          const env = {
            ...planUrls(far, 'hosts').env,
            TEMPORAL_ADDRESS: temporal.address,
            TEMPORAL_NAMESPACE: temporal.namespace,
            KIRIKAE_PG_BIN: postgres.bin,
          };
          return startWorker(workerCommand(settingsFile), env, path.join(folder, `${count}-${index}.log`));
        }),
      );
      runs.push(await runOnce(client, count));
      await Promise.all(workers.map((worker) => worker.stop()));
      for (const link of links) link.close();
    }
    return runs;
  } finally {
    await stage.tearDown();
  }
}

async function runOnce(client: Client, hosts: number): Promise<SharedRun> {
  const workflowId = `hosts-${hosts}`;
  const input = { plan: 'tumiki', requestedBy: 'bench' };
  const handle = await client.workflow.start(WORKFLOW_TYPE, {
    workflowId,
    taskQueue: TASK_QUEUE,
    args: [input],
  });
  let status = await handle.query<Status>('status');
  await until(async () => {
    status = await handle.query<Status>('status');
    return status.outcome !== null || (status.step === 'approval' && status.waitingFor !== null);
  });
  await handle.executeUpdate('approve', {
    args: [{ by: 'bench', fingerprint: status.backup?.fingerprint }],
  });
  await handle.result();
  return { hosts, ...(await timesOf(client, workflowId)) };
}

async function timesOf(client: Client, workflowId: string): Promise<Omit<SharedRun, 'hosts'>> {
  const { events = [] } = await client.workflow.getHandle(workflowId).fetchHistory();
  const seconds = (time: { seconds?: unknown; nanos?: number | null } | null | undefined) =>
    Number(time?.seconds ?? 0) + (time?.nanos ?? 0) / 1e9;
  const spans: Record<string, { from: number; to: number }> = {};
  const workers = new Set<string>();
  for (const event of events ?? []) {
    const completed = event.activityTaskCompletedEventAttributes;
    const scheduled = events?.find(({ eventId }) => eventId?.eq(completed?.scheduledEventId ?? 0));
    const task = scheduled?.activityTaskScheduledEventAttributes;
    if (!completed || task?.activityType?.name !== 'copyGroup') continue;
    const data = Buffer.from(task.input?.payloads?.[0]?.data ?? []).toString();
    const { phase } = JSON.parse(data) as { phase: { name: string } };
    const span = (spans[phase.name] ??= { from: Infinity, to: 0 });
    span.from = Math.min(span.from, seconds(scheduled?.eventTime));
    span.to = Math.max(span.to, seconds(event.eventTime));
    workers.add(completed.identity ?? '');
  }
  const length = (name: string) => (spans[name] ? spans[name].to - spans[name].from : NaN);
  return { backup: length('backup'), migrate: length('migrate'), workers: workers.size };
}

/** A host's link: all of its connections to the server together carry so many bytes a second, each way. */
async function openLink(serverPort: number): Promise<{ port: number; close: () => void }> {
  const sockets = new Set<net.Socket>();
  const [up, down] = [budget(), budget()];
  const proxy = net.createServer((client) => {
    const server = net.connect(serverPort, '127.0.0.1');
    for (const socket of [client, server]) {
      sockets.add(socket.setNoDelay(true));
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    }
    client.pipe(slow(up)).pipe(server);
    server.pipe(slow(down)).pipe(client);
    client.once('close', () => server.destroy());
    server.once('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return {
    port: (proxy.address() as AddressInfo).port,
    close: () => {
      proxy.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

// When the next byte may pass, shared by a link's connections.
function budget(): { nextMs: number } {
  return { nextMs: 0 };
}

function slow(link: { nextMs: number }): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const now = Date.now();
      link.nextMs = Math.max(link.nextMs, now) + (chunk.length / bytesPerSecond) * 1_000;
      if (link.nextMs - now < 5) return done(null, chunk);
      setTimeout(() => done(null, chunk), link.nextMs - now);
    },
  });
}
