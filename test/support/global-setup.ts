/** Before all suites: one PostgreSQL cluster, one Temporal server, one workflow bundle; handed on by environment variables. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { startPostgres, type PostgresServer } from '../../tools/postgres';
import { packageRoot } from '../../tools/provide';
import { findTimeSkippingServer, startTemporal, type TemporalServer } from '../../tools/temporal';

export interface TestServers {
  postgres: PostgresServer;
  temporal: TemporalServer;
  folder: string;
}

declare global {
  var kirikaeTestServers: TestServers | undefined;
}

export default async function setUp(): Promise<void> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-test-'));
  const settings = { max_connections: 200, shared_buffers: '256MB', max_wal_size: '4GB' };
  const timeSkippingServer = await findTimeSkippingServer();
  const temporal = await startTemporal();
  const postgres = await startPostgres({ settings });
  const bundle = await bundleWorkflows(folder);
  globalThis.kirikaeTestServers = { postgres, temporal, folder };
  Object.assign(process.env, {
    KIRIKAE_TEST_POSTGRES_PORT: String(postgres.port),
    KIRIKAE_TEST_POSTGRES_PASSWORD: postgres.password,
    KIRIKAE_TEST_POSTGRES_BIN: postgres.bin,
    // Debian's /usr/bin/pg_dump is a Perl script that looks for this one, at each of some thousand calls.
    KIRIKAE_PG_BIN: process.env.KIRIKAE_PG_BIN ?? postgres.bin,
    KIRIKAE_TEST_TEMPORAL_ADDRESS: temporal.address,
    KIRIKAE_TEST_TEMPORAL_CLI: temporal.cli,
    KIRIKAE_TEST_TIME_SKIPPING_SERVER: timeSkippingServer,
    KIRIKAE_TEST_WORKFLOW_BUNDLE: bundle,
    KIRIKAE_TEST_LOGS: mkdtempSync(path.join(os.tmpdir(), 'kirikae-test-logs-')),
  });
}

async function bundleWorkflows(folder: string): Promise<string> {
  const workflowsPath = path.join(packageRoot, 'workflows', 'index.ts');
  const payloadConverterPath = path.join(packageRoot, 'workflows', 'payloads.ts');
  const logger = new DefaultLogger('WARN');
  const { code } = await bundleWorkflowCode({ workflowsPath, payloadConverterPath, logger });
  const file = path.join(folder, 'workflow-bundle.js');
  writeFileSync(file, code);
  return file;
}
