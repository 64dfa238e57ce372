/** nginx for the tests: the machine's own, else a stand-in for the configuration that README shows. */
import { chmodSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { findOnPath, isProgram } from '../../tools/provide';

/** The machine's nginx, or undefined. Debian's isn't on the PATH of a user without rights. */
export function findNginx(): string | undefined {
  return findOnPath('nginx') ?? ['/usr/sbin/nginx', '/usr/local/sbin/nginx'].find(isProgram);
}

/** Writes a program `nginx` into `folder` that starts the stand-in. @returns its path */
export function writeStandIn(folder: string): string {
  const file = path.join(folder, 'nginx');
  const [register, main] = ['swc-register.js', 'nginx-stand-in.ts'].map((name) => path.join(__dirname, name));
  writeFileSync(file, `#!/bin/sh\nexec '${process.execPath}' --require '${register}' '${main}' "$@"\n`);
  chmodSync(file, 0o755);
  return file;
}
