/** Free TCP ports for the servers of tests and demo. */
import { createServer } from 'node:net';

// Below the ports that systems give to outgoing connections (32768 and up on Linux): one of those could take a server's
// port while it restarts.
const first = 12_000;
const last = 32_000;
const attempts = 50;

/**
 * A port on 127.0.0.1 that nothing listens on at this moment; another process may still take it.
 * @throws Error when none of 50 tried is free
 */
export async function freePort(): Promise<number> {
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const port = first + Math.floor(Math.random() * (last - first));
    if (await isFree(port)) return port;
  }
  throw new Error(`None of ${attempts} ports tried between ${first} and ${last} is free.`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
