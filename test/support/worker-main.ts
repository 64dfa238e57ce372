/** Entry of a worker process for tests: the product's own worker, with the suite's settings and workflow bundle. */
import { readSettings } from '../../src/settings/read';
import { runWorker } from '../../cli/temporal-worker';
import { workflowBundlePath } from './environment';

runWorker({
  settings: readSettings(process.argv[2] ?? ''),
  workflowBundle: workflowBundlePath(),
  // A cancelled activity is said at this level only.
  logLevel: 'DEBUG',
}).catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
