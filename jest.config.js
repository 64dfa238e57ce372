/** Jest: TypeScript through swc, one PostgreSQL and one Temporal server for all suites. */
const { readdirSync } = require('node:fs');
const path = require('node:path');

// `*.long.test.ts` are whole runs of kinds that faults, resets, model and stubbed runs meet too: `npm run test:long` runs them all,
// `npm test` one of them, another one each day, and a file that is named is run.
const long = readdirSync(path.join(__dirname, 'test')).filter((file) => file.endsWith('.long.test.ts'));
const day = Number(process.env.KIRIKAE_LONG_SEED ?? Math.floor(Date.now() / 86_400_000));
const ofToday = long.sort()[day % long.length];
const isNamed = process.argv.some((word) => word.includes('.long.test'));

module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  testPathIgnorePatterns: isNamed
    ? []
    : long.filter((file) => file !== ofToday).map((file) => `/${file.replaceAll('.', '\\.')}$`),
  testTimeout: 120_000,
  maxWorkers: 2,
  // What many workers of Temporal's leave behind in a process slows the files after them.
  workerIdleMemoryLimit: '500MB',
  // What tests write is kept for the reporter, also when a single file is run.
  verbose: false,
  globalSetup: '<rootDir>/test/support/global-setup.ts',
  globalTeardown: '<rootDir>/test/support/global-teardown.ts',
  reporters: ['<rootDir>/test/support/reporter.js'],
  moduleNameMapper: { '^@temporalio/worker$': '<rootDir>/test/support/temporal-worker.ts' },
  transform: {
    '\\.ts$': [
      '@swc/jest',
      {
        jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
        module: { type: 'commonjs' },
        sourceMaps: 'inline',
      },
    ],
  },
};
