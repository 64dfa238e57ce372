/** Server versions, which decide what COPY and pg_dump may say. */
import type { Client } from 'pg';

/** Major version of a session's server, e.g. 15. */
export async function majorVersion(client: Client): Promise<number> {
  const { rows } = await client.query<{ server_version_num: string }>('show server_version_num');
  return Math.floor(Number(rows[0]?.server_version_num) / 10_000);
}

export async function sameMajor(a: Client, b: Client): Promise<boolean> {
  return (await majorVersion(a)) === (await majorVersion(b));
}
