/** Writes what is generated: the editors' JSON schemas, the keys in docs/settings.md, the ways in docs/if-it-stops.md, the lists of files. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { mappingSchema } from '../src/mapping/file';
import { settingsSchema } from '../src/settings/schema';
import { byHandPage } from './by-hand-page';
import { productFolders, withFileList, workshopFolders } from './file-list';
import { settingsPage, type KeySchema } from './settings-page';
import { packageRoot } from './provide';

const folder = process.argv[2];
if (folder === undefined) {
  console.error('The folder to write to is missing. Run npm run generate, which names it.');
  process.exitCode = 1;
} else {
  const settings = z.toJSONSchema(settingsSchema, { io: 'input' });
  const mapping = z.toJSONSchema(mappingSchema, { io: 'input' });
  write('schema/kirikae.schema.json', json({ ...settings, title: 'Settings of Kirikae (kirikae.yaml)' }));
  write('schema/mapping.schema.json', json({ ...mapping, title: 'Mapping of a Kirikae plan' }));
  write('ARCHITECTURE.md', withFileList(pageOf('ARCHITECTURE.md'), packageRoot, productFolders));
  write('CONTRIBUTING.md', withFileList(pageOf('CONTRIBUTING.md'), packageRoot, workshopFolders));
  write('docs/if-it-stops.md', byHandPage(pageOf('docs/if-it-stops.md')));
  write('docs/settings.md', settingsPage(pageOf('docs/settings.md'), settings as KeySchema));
}

function pageOf(file: string): string {
  return readFileSync(path.join(packageRoot, file), 'utf8');
}

function json(schema: object): string {
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function write(file: string, text: string): void {
  const full = path.join(folder ?? '', file);
  mkdirSync(path.dirname(full), { recursive: true });
  writeFileSync(full, text);
}
