/**
 * What `npm test` prints: a line for each finished test file, failures in full with the end of the file's logs, the slowest
 * files, and as the very last line `N passed, N failed`. A file that could not run counts as a failure.
 */
const { existsSync, readFileSync, readdirSync, rmSync, writeSync } = require('node:fs');
const path = require('node:path');

const shownLogLines = 60;
const slowest = 10;

module.exports = class Reporter {
  constructor(globalConfig) {
    this.root = globalConfig.rootDir;
    this.times = [];
  }

  onTestResult(test, result, { numTotalTestSuites }) {
    const { perfStats, numPassingTests, numFailingTests, testExecError, failureMessage } = result;
    const file = path.relative(this.root, test.path);
    const seconds = (perfStats.end - perfStats.start) / 1_000;
    this.times.push({ file, seconds });
    const counts = [`${numPassingTests} passed`];
    if (numFailingTests > 0) counts.push(`${numFailingTests} FAILED`);
    if (testExecError) counts.push('COULD NOT RUN');
    say(`${this.times.length}/${numTotalTestSuites} ${file} ${seconds.toFixed(1)} s, ${counts.join(', ')}`);
    if (numFailingTests === 0 && !testExecError) return;
    say(`\n${(failureMessage ?? testExecError?.message ?? '').trimEnd()}\n`);
    for (const { message } of result.console ?? []) say(message);
    for (const log of logsOf(file)) say(`The end of ${log}:\n${endOf(log)}\n`);
  }

  onRunComplete(_contexts, results) {
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const logs = process.env.KIRIKAE_TEST_LOGS;
    if (failed === 0 && logs) rmSync(logs, { recursive: true, force: true });
    if (this.times.length > 1) {
      const times = this.times.toSorted((a, b) => b.seconds - a.seconds).slice(0, slowest);
      say(`The slowest: ${times.map(({ file, seconds }) => `${file} ${seconds.toFixed(1)} s`).join(', ')}`);
    }
    const seconds = Math.round((Date.now() - results.startTime) / 1_000);
    say(`Test files: ${this.times.length}, in ${Math.floor(seconds / 60)} min ${seconds % 60} s.`);
    // At exit, because Jest itself writes after its reporters.
    process.once('exit', () => writeSync(1, `${results.numPassedTests} passed, ${failed} failed\n`));
  }
};

/** The log of a test file and those of its worker processes. */
function logsOf(file) {
  const folder = process.env.KIRIKAE_TEST_LOGS ?? '';
  if (!existsSync(folder)) return [];
  const stem = `${path.basename(file, '.ts')}.`;
  return readdirSync(folder)
    .filter((entry) => entry.startsWith(stem))
    .map((entry) => path.join(folder, entry));
}

function endOf(log) {
  return readFileSync(log, 'utf8').trimEnd().split('\n').slice(-shownLogLines).join('\n');
}

function say(text) {
  process.stdout.write(`${text}\n`);
}
