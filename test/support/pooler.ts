/** A stand-in for a connection pooler: passes bytes through, but treats the start of a session as poolers do. */
import net, { type AddressInfo } from 'node:net';
import { testPostgres } from './environment';

export type PoolerKind = 'makes up process ids' | 'refuses options' | 'drops options';

export interface Pooler {
  /** The same URL, reached through the pooler. */
  through: (url: string) => string;
  close: () => Promise<void>;
}

export async function openPooler(kind: PoolerKind): Promise<Pooler> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((client) => {
    const upstream = net.connect(testPostgres().port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
    client.once('data', (first) => {
      const startup = parametersOf(first);
      if (kind === 'refuses options' && 'options' in startup) {
        client.end(errorMessage('unsupported startup parameter: options'));
        return;
      }
      if (kind === 'drops options') delete startup.options;
      upstream.write(startupMessage(startup));
      client.pipe(upstream);
    });
    upstream.on('data', (chunk) => {
      client.write(kind === 'makes up process ids' ? withOtherProcessId(chunk) : chunk);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    through: (url) => {
      const parsed = new URL(url);
      parsed.port = String(port);
      return parsed.toString();
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

// StartupMessage: length, protocol version, then names and values, each ended by a zero byte.
function parametersOf(message: Buffer): Record<string, string> {
  const words = message.subarray(8).toString().split('\0');
  const found: Record<string, string> = {};
  for (let index = 0; words[index]; index += 2) found[words[index] ?? ''] = words[index + 1] ?? '';
  return found;
}

function startupMessage(parameters: Record<string, string>): Buffer {
  const text = Object.entries(parameters)
    .map(([name, value]) => `${name}\0${value}\0`)
    .join('');
  const head = Buffer.alloc(8);
  head.writeInt32BE(8 + Buffer.byteLength(text) + 1, 0);
  head.writeInt32BE(196_608, 4);
  return Buffer.concat([head, Buffer.from(`${text}\0`)]);
}

// BackendKeyData is "K", the length 12, process id and key; it comes once, in the answer to the password.
function withOtherProcessId(chunk: Buffer): Buffer {
  const at = chunk.indexOf(Buffer.from([0x4b, 0, 0, 0, 12]));
  if (at < 0) return chunk;
  const changed = Buffer.from(chunk);
  changed.writeInt32BE(chunk.readInt32BE(at + 5) + 100_000, at + 5);
  return changed;
}

function errorMessage(text: string): Buffer {
  const fields = Buffer.from(`SFATAL\0C08P01\0M${text}\0\0`);
  const head = Buffer.alloc(5);
  head.write('E');
  head.writeInt32BE(4 + fields.length, 1);
  return Buffer.concat([head, fields]);
}
