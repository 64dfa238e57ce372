/** The demo's front door: the maintenance page while a flag file exists, otherwise the application a deploy has named. */
import { existsSync, readFileSync } from 'node:fs';
import { createServer, request as openRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { codeOf } from '../../src/errors';
import { close, listen } from './app';
import { failurePage, maintenancePage } from './pages';

export interface DemoProxy {
  port: number;
  stop(): Promise<void>;
}

interface Options {
  /** 0 picks a free one. */
  port: number;
  flagFile: string;
  /** Holds the application's port as text; read for every request, so that a deploy can switch. */
  targetPortFile: string;
}

/** Starts the proxy on 127.0.0.1. @throws when the port is taken */
export async function startProxy({ port, flagFile, targetPortFile }: Options): Promise<DemoProxy> {
  const server = createServer((request, response) => {
    if (existsSync(flagFile)) showMaintenance(response);
    else pass(request, response, targetPortFile);
  });
  await listen(server, port);
  return { port: (server.address() as AddressInfo).port, stop: () => close(server) };
}

function showMaintenance(response: ServerResponse): void {
  response
    .writeHead(503, {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'retry-after': '30',
    })
    .end(maintenancePage());
}

function pass(request: IncomingMessage, response: ServerResponse, targetPortFile: string): void {
  const port = readPort(targetPortFile);
  if (port === undefined) {
    refuse(response, 'No application has been deployed yet.');
    return;
  }
  const { method, url, headers } = request;
  const onward = openRequest(
    { host: '127.0.0.1', port, method, path: url, headers, agent: false },
    (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
      answer.on('error', () => response.destroy());
    },
  );
  onward.on('error', (error) => {
    if (response.headersSent) response.destroy();
    else refuse(response, `The application does not answer (${codeOf(error) ?? error.message}).`);
  });
  response.on('close', () => onward.destroy());
  request.pipe(onward);
}

function readPort(file: string): number | undefined {
  if (!existsSync(file)) return undefined;
  const port = Number(readFileSync(file, 'utf8').trim());
  return Number.isInteger(port) && port > 0 ? port : undefined;
}

function refuse(response: ServerResponse, sentence: string): void {
  response
    .writeHead(502, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' })
    .end(failurePage(sentence));
}
