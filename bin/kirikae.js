#!/usr/bin/env -S MALLOC_ARENA_MAX=2 node --max-semi-space-size=2 --max-old-space-size=384
/**
 * The command `kirikae`: starts the compiled command line.
 * The limits above keep a worker small: V8 would otherwise let garbage grow with the memory of the machine.
 */
const { existsSync } = require('node:fs');
const path = require('node:path');

const main = path.join(__dirname, '..', 'dist', 'cli', 'main.js');
if (existsSync(main)) {
  const { runCli } = require(main);
  runCli(process.argv.slice(2)).then((exitCode) => {
    process.exitCode = exitCode;
  });
} else {
  console.error(
    'Kirikae has not been built yet: dist/cli/main.js is missing. Run npm run build, then repeat.',
  );
  process.exitCode = 1;
}
