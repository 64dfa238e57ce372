/** After all suites: ends the servers that global-setup.ts started. */
import { rmSync } from 'node:fs';

export default async function tearDown(): Promise<void> {
  const servers = globalThis.kirikaeTestServers;
  if (!servers) return;
  await Promise.all([servers.postgres.stop(), servers.temporal.stop()]);
  rmSync(servers.folder, { recursive: true, force: true });
}
