/**
 * Answers in nginx's place where nginx isn't installed, so that README's walk is tested everywhere: its two servers, with ports,
 * folders and flag file taken from its nginx.conf. It proves nothing about nginx; test/nginx.test.ts does, where there is one.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import path from 'node:path';
import { parseArgs } from 'node:util';

const { p: folder = '', c: file = '' } = parseArgs({
  options: Object.fromEntries(
    ['p', 'c', 'e', 'g'].map((short) => [short, { type: 'string', short }] as const),
  ),
}).values as Record<string, string>;
const configuration = readFileSync(path.resolve(folder, file), 'utf8');
const find = (pattern: RegExp) => [...configuration.matchAll(pattern)].map((match) => match[1] ?? '');
const [gatePort, applicationPort] = find(/listen 127\.0\.0\.1:(\d+)/g);
const [page = '', application = ''] = find(/root (\w+)/g).map((root) => path.resolve(folder, root));
const flagFile = path.join(page, ...find(/-f \$document_root\/([\w.]+)/g));
const [retryAfter = ''] = find(/Retry-After (\d+)/g);

const answerAsApplication: RequestListener = (_request, response) =>
  void response.end(readFileSync(path.join(application, 'index.html')));

const answerAtTheGate: RequestListener = (request, response) => {
  request.resume();
  if (!existsSync(flagFile)) return answerAsApplication(request, response);
  response.writeHead(503, { 'content-type': 'text/html', 'retry-after': retryAfter });
  response.end(readFileSync(path.join(page, 'maintenance.html')));
};

createServer(answerAtTheGate).listen(Number(gatePort), '127.0.0.1');
createServer(answerAsApplication).listen(Number(applicationPort), '127.0.0.1');
process.once('SIGTERM', () => process.exit(0));
