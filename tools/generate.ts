/** Writes the JSON schema of kirikae.yaml, made from the zod schema that the product reads it with. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { settingsSchema } from '../src/settings/schema';

const file = process.argv[2];
if (file === undefined) {
  console.error('The file to write is missing. Run npm run generate, which names it.');
  process.exitCode = 1;
} else {
  const schema = z.toJSONSchema(settingsSchema, { io: 'input' });
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(
    file,
    `${JSON.stringify({ ...schema, title: 'Settings of Kirikae (kirikae.yaml)' }, null, 2)}\n`,
  );
}
