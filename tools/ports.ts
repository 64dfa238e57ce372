/** Free TCP ports for the servers of tests and demo. */
import { createServer } from 'node:net';

/** A port on 127.0.0.1 that nothing listens on at this moment; another process may still take it. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
