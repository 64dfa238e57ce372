/** The nginx configurations that are handed out: while the flag file exists every method is answered with the page. */
import { spawn, type ChildProcess } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { endChild, hasEnded } from '../tools/child';
import { freePort } from '../tools/ports';
import { packageRoot } from '../tools/provide';
import { askWithEveryMethod, thePage } from './support/maintenance-page';
import { findNginx, writeStandIn } from './support/nginx';
import { until } from '../lab/stage';

const read = (file: string) => readFileSync(path.join(packageRoot, file), 'utf8');
const shipped = read('deploy/nginx.conf');
const ofReadme = /^cat > nginx\.conf <<'END'\n([^]*?)^END$/m.exec(read('README.md'))?.[1] ?? '';

let folder: string;
let server: ChildProcess | undefined;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-nginx-'));
  for (const name of ['page', 'app']) mkdirSync(path.join(folder, name));
  for (const name of ['index.html', 'maintenance.html'])
    cpSync(path.join(packageRoot, 'deploy', 'maintenance.html'), path.join(folder, 'page', name));
  writeFileSync(path.join(folder, 'app', 'index.html'), 'the application');
});
afterEach(async () => {
  if (server !== undefined) await endChild(server, 'SIGTERM');
  rmSync(folder, { recursive: true, force: true });
});

// This holds without nginx too: to a file in a named location, nginx would go on with POST, and answer 405.
test.each([
  ['deploy/nginx.conf', shipped],
  ["README's", ofReadme],
])('%s sends every method to the page by a path of its own', (_name, text) => {
  const page = /^ *error_page 503 (\/\S+);$/m.exec(text)?.[1];
  expect(page).toBeDefined();
  const location = text.slice(text.indexOf(`location = ${page} {`));
  expect(location).toMatch(/^location = \S+ \{\s+internal;[^}]* add_header Retry-After \d+ always;/);
  expect(text).toMatch(/^ *client_max_body_size 0;$/m);
});

const nginx = findNginx();
const withNginx = nginx === undefined ? test.skip : test;

withNginx('the shipped nginx.conf answers every method with 503, the page and Retry-After', async () => {
  const [port, applicationPort] = [await freePort(), await freePort()];
  const here = shipped
    .replace('listen 8080', `listen 127.0.0.1:${port}`)
    .replace('(-f /flags', `(-f ${path.join(folder, 'page')}`)
    .replace('/usr/share/nginx/maintenance', path.join(folder, 'page'))
    .replace('application:3000', `127.0.0.1:${applicationPort}`);
  // As the image of docker-compose.yml includes it; the application is another server of the same nginx.
  const around = ofReadme.replace(/^ {2}server \{[^]*/m, '');
  const application = `server { listen 127.0.0.1:${applicationPort}; client_max_body_size 0; return 200 'the application'; }`;
  await expectPageByFlag(nginx ?? '', `${around}${here}${application}}`, port);
});

const programs = ['a stand-in for nginx', ...(nginx === undefined ? [] : ['nginx'])];
test.each(programs)("README's nginx.conf does so by %s", async (program) => {
  const port = await freePort();
  const here = ofReadme.replace('8080', String(port)).replaceAll('3000', String(await freePort()));
  await expectPageByFlag(program === 'nginx' ? (nginx ?? '') : writeStandIn(folder), here, port);
});

async function expectPageByFlag(program: string, text: string, port: number): Promise<void> {
  writeFileSync(path.join(folder, 'nginx.conf'), text);
  const asUser = `user ${os.userInfo().username};`;
  const child = spawn(program, ['-e', 'stderr', '-p', folder, '-c', 'nginx.conf', '-g', asUser], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  server = child;
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (line: string) => (log += line));
  const url = `http://127.0.0.1:${port}/`;
  await until(async () => {
    if (hasEnded(child)) throw new Error(`${program} ended: ${log}`);
    return fetch(url).then(
      () => true,
      () => false,
    );
  });
  const flagFile = path.join(folder, 'page', 'maintenance.on');
  expect(await application(url)).toBe('200 the application');
  writeFileSync(flagFile, '');
  expect(new Set(await askWithEveryMethod(url))).toEqual(new Set([thePage]));
  expect(new Set(await askWithEveryMethod(`${url}api/orders?page=2`))).toEqual(new Set([thePage]));
  rmSync(flagFile);
  expect(await application(url)).toBe('200 the application');
}

async function application(url: string): Promise<string> {
  const answer = await fetch(url);
  return `${answer.status} ${await answer.text()}`;
}
