/** The version of this package. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** The version that package.json states; it stands some folders up, in the sources as in the build. */
export function readVersion(): string {
  for (let folder = __dirname; folder !== path.dirname(folder); folder = path.dirname(folder)) {
    const file = path.join(folder, 'package.json');
    if (existsSync(file)) return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
  }
  return 'unknown';
}
