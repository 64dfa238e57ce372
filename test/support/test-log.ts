/** Logs of a test file and of the worker processes it starts; test/support/reporter.js shows them when a test of the file fails. */
import path from 'node:path';

let workers = 0;

/** What is logged in the test's own process. */
export function testLogFile(): string {
  return `${logName()}.log`;
}

/** For the next worker process. */
export function workerLogFile(): string {
  workers += 1;
  return `${logName()}.worker-${workers}.log`;
}

function logName(): string {
  const file = path.basename(expect.getState().testPath ?? 'unknown', '.ts');
  return path.join(process.env.KIRIKAE_TEST_LOGS ?? '', file);
}
