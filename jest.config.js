/** Jest: TypeScript through swc, one PostgreSQL and one Temporal server for all suites. */
module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
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
