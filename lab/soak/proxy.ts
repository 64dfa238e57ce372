/** A TCP proxy before PostgreSQL that reads what clients send, message by message, and can cut a connection at a known one. */
import net, { type AddressInfo } from 'node:net';

/** What happens to a message: passed on, cut off before the server sees it, or cut off when the server has answered it. */
export type Verdict = 'pass' | 'cut before' | 'cut after';

/** @param type letter of PostgreSQL's protocol: `Q` a simple query, `P` a prepared one, `d` rows of a COPY */
export type Watch = (type: string, text: string) => Verdict;

export interface SoakProxy {
  port: number;
  /** The same URL, reached through the proxy. */
  through: (url: string) => string;
  /** Cuts every connection that is open; new ones are taken. */
  cut: () => void;
  close: () => Promise<void>;
}

const shownBytes = 300;

/** Listens on a free port of 127.0.0.1. `watch` is called for every message of every session. */
export async function startSoakProxy(serverPort: number, watch: Watch): Promise<SoakProxy> {
  const sockets = new Set<net.Socket>();
  const proxy = net.createServer((client) => {
    const server = net.connect(serverPort, '127.0.0.1');
    const cut = () => {
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', cut);
      socket.on('close', () => {
        sockets.delete(socket);
        cut();
      });
    }
    let cutsAtAnswer = false;
    const read = messageReader((type, text) => {
      const verdict = cutsAtAnswer ? 'pass' : watch(type, text);
      if (verdict === 'cut after') cutsAtAnswer = true;
      return verdict !== 'cut before';
    });
    client.on('data', (chunk) => {
      const { passed, goesOn } = read(chunk);
      if (!goesOn) return cut();
      // Back-pressure, so that a slow server slows its client down and not this process's memory up.
      if (passed.length > 0 && !server.write(passed)) {
        client.pause();
        server.once('drain', () => client.resume());
      }
    });
    server.on('data', (chunk) => {
      if (cutsAtAnswer) return cut();
      if (!client.write(chunk)) {
        server.pause();
        client.once('drain', () => server.resume());
      }
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { port } = proxy.address() as AddressInfo;
  const cutAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port,
    through: (url) => url.replace(`:${serverPort}/`, `:${port}/`),
    cut: cutAll,
    close: () =>
      new Promise((resolve) => {
        proxy.close(() => resolve());
        cutAll();
      }),
  };
}

const sslRequest = 80877103;
const gssRequest = 80877104;

/** Cuts a client's bytes into messages. `passed` is what may go on; `goesOn` is false when a message was refused. */
function messageReader(accept: (type: string, text: string) => boolean) {
  let rest: Buffer = Buffer.alloc(0);
  let isStartup = true;
  let bytesOfRows = 0;
  return (chunk: Buffer): { passed: Buffer; goesOn: boolean } => {
    const data = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    let at = 0;
    const stop = (goesOn: boolean) => {
      rest = data.subarray(at);
      return { passed: data.subarray(0, at), goesOn };
    };
    while (at < data.length) {
      if (bytesOfRows > 0) {
        const taken = Math.min(bytesOfRows, data.length - at);
        bytesOfRows -= taken;
        at += taken;
      } else if (isStartup) {
        // The first messages have no type: length, then a code.
        if (data.length - at < 8) return stop(true);
        const length = data.readInt32BE(at);
        if (data.length - at < length) return stop(true);
        const code = data.readInt32BE(at + 4);
        isStartup = code === sslRequest || code === gssRequest;
        at += length;
      } else {
        if (data.length - at < 5) return stop(true);
        const type = String.fromCharCode(data[at] ?? 0);
        const length = 1 + data.readInt32BE(at + 1);
        // Rows are not held back: only their beginning is a moment.
        if (type !== 'd' && data.length - at < length) return stop(true);
        const text = type === 'd' ? '' : data.toString('utf8', at + 5, at + Math.min(length, 5 + shownBytes));
        if (!accept(type, text.replaceAll('\0', ' ').trim())) return stop(false);
        const taken = Math.min(length, data.length - at);
        at += taken;
        bytesOfRows = length - taken;
      }
    }
    return stop(true);
  };
}
