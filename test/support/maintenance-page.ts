/** Asks for a page with every method, as visitors and their programs do. */
import { request } from 'node:http';

/** What each answer is while the maintenance page is on. */
export const thePage = '503, Retry-After 30, the page';

// Not TRACE and CONNECT: nginx itself refuses these, whatever its configuration says.
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'];

/** One sentence an answer: status, header and whether the page is the body (HEAD has none); the last is a POST of 2 MB. */
export async function askWithEveryMethod(url: string): Promise<string[]> {
  const answers: string[] = [];
  for (const method of methods) answers.push(await ask(url, method, ''));
  answers.push(await ask(url, 'POST', 'x'.repeat(2_000_000)));
  return answers;
}

function ask(url: string, method: string, sent: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = sent === '' ? {} : { 'content-length': sent.length };
    const asking = request(url, { method, headers, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => {
        const page = method === 'HEAD' || body.includes('http-equiv="refresh"') ? 'the page' : body;
        resolve(`${response.statusCode}, Retry-After ${response.headers['retry-after']}, ${page}`);
      });
      response.on('error', reject);
    });
    asking.on('error', reject);
    asking.end(sent);
  });
}
