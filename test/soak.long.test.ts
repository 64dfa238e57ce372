/** Migrations under kills: a short soak, and what a crash right after a finished piece of work may not take back. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { soak } from '../lab/soak/soak';
import { startSoakProxy } from '../lab/soak/proxy';
import { buildStage } from '../lab/soak/stage';
import { plainCopy } from '../src/backup/build';
import { copyGroup } from '../src/engine/copy';
import { planParts, type Phase } from '../src/engine/parts';
import { readStoredTables } from '../src/engine/tables';
import { withClient } from '../src/postgres/connect';
import { dumpSchema } from '../src/postgres/dump';
import { startPostgres } from '../tools/postgres';
import { openNamespace } from './support/namespace';
import { workerLogFile } from './support/test-log';
import { sourceWorkerCommand } from './support/worker-process';
import { createDatabase, testPostgres, testTemporal } from './support/environment';

jest.setTimeout(400_000);

test('twenty kills of workers, sessions, connections and servers cost no row, and every run ends by itself', async () => {
  const server = await openNamespace('soak');
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-soak-test-'));
  const said: string[] = [];
  const stage = await buildStage({
    folder,
    users: 20,
    temporal: { address: testTemporal().address, namespace: server.namespace },
    workerCommand: sourceWorkerCommand,
    workerLog: workerLogFile(),
  });
  try {
    const result = await soak(stage, server.client, { kills: 20, seed: 58, say: (line) => said.push(line) });
    expect(result.problems).toEqual([]);
    expect(result.kills).toBe(20);
    expect(result.rowsJudged).toBeGreaterThan(3_000);
    expect(said).toHaveLength(result.runs);
  } finally {
    await stage.tearDown();
    await server.close();
    rmSync(folder, { recursive: true });
  }
});

test('a server killed right after a group was reported as copied takes none of its rows or checkpoints back', async () => {
  // Left to itself the server would write asynchronous commits out ten seconds later.
  const postgres = await startPostgres({ settings: { wal_writer_delay: '10s' } });
  const phase: Phase = { name: 'backup', attempt: 1 };
  const [sourceUrl, targetUrl] = [postgres.url('source'), postgres.url('target')];
  try {
    await withClient(postgres.url('postgres'), 'test', async (client) => {
      await client.query('create database source');
      await client.query('create database target');
    });
    for (const url of [sourceUrl, targetUrl])
      await withClient(url, 'test', (client) => client.query('create table public.t (id int, filler text)'));
    for (let round = 1; round <= 3; round++) {
      await withClient(sourceUrl, 'test', (client) =>
        client.query(`insert into public.t select n, 'filler' from generate_series(1, 100) n`),
      );
      await withClient(targetUrl, 'test', (target) => target.query('truncate public.t'));
      await withClient(sourceUrl, 'test', (source) =>
        withClient(targetUrl, 'test', async (target) =>
          planParts(
            target,
            { ...phase, attempt: round },
            { jobs: (await readStoredTables(source, ['public'])).map(plainCopy), sameMajor: true },
          ),
        ),
      );
      const copied = await copyGroup({
        sourceUrl,
        targetUrl,
        phase: { ...phase, attempt: round },
        group: 0,
        searchPath: [],
        targetPath: [],
        label: 'test',
        mayWrite: () => Promise.resolve(),
        onProgress: () => undefined,
        signal: new AbortController().signal,
      });
      await postgres.kill();
      await postgres.start();
      const found = await withClient(targetUrl, 'test', async (client) => {
        const { rows } = await client.query<{ rows: number; undone: number }>(
          `select (select count(*)::int from public.t) as rows,
                  (select count(*)::int from kirikae.part where done_at is null) as undone`,
        );
        return rows[0];
      });
      expect(copied.rows).toBe(round * 100);
      expect(found).toEqual({ rows: copied.rows, undone: 0 });
    }
  } finally {
    await postgres.stop();
  }
});

test.each([/FROM pg_namespace/, /pg_language/])(
  'a connection that pg_dump loses in the middle (%s) is an outage, not a failure',
  async (moment) => {
    const database = await createDatabase('dump');
    const proxy = await startSoakProxy(testPostgres().port, (_type, text) =>
      moment.test(text) ? 'cut before' : 'pass',
    );
    try {
      const url = proxy.through(database.url);
      await expect(dumpSchema(url, ['public'], { owners: true })).rejects.toMatchObject({ type: 'Outage' });
    } finally {
      await proxy.close();
      await database.drop();
    }
  },
);
