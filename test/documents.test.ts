/** The documents keep to the code: their examples are read by the product, and what the code has is named in them. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { COMMANDS, OUTCOMES, STEPS } from '../src/contract';
import { parseMapping } from '../src/mapping/file';
import { readSettings } from '../src/settings/read';
import { packageRoot } from '../tools/provide';
import { runCommand } from './support/cli-terminal';

const read = (file: string) => readFileSync(path.join(packageRoot, file), 'utf8');
const readme = read('README.md');
const blocks = (language: string) =>
  [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'gm'))].map(
    (match) => match[1] ?? '',
  );

test('the settings and the mapping that README shows can be read', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-documents-'));
  try {
    const [settings = '', mapping = ''] = blocks('yaml');
    mkdirSync(path.join(folder, 'schema', 'after'), { recursive: true });
    writeFileSync(path.join(folder, 'schema', 'after', '1.sql'), 'select 1');
    writeFileSync(path.join(folder, 'mapping.yaml'), mapping);
    writeFileSync(path.join(folder, 'kirikae.yaml'), settings);
    expect(Object.keys(readSettings(path.join(folder, 'kirikae.yaml')).plans)).toEqual(['tumiki']);
    const parsed = parseMapping(mapping, 'mapping.yaml');
    expect(Object.keys(parsed.tables)).toEqual(['Organization', 'Log']);
    expect(parsed.assertions).toHaveLength(1);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('README names every key of the settings', () => {
  const keys = new Set<string>();
  collectKeys(JSON.parse(read('schema/kirikae.schema.json')), keys);
  expect([...keys].filter((key) => !new RegExp(`\\b${key}\\b`).test(readme))).toEqual([]);
});

test('README names every step, outcome and message of a run', () => {
  const rows = readme.split('\n').filter((line) => line.startsWith('|'));
  const first = new Set(rows.map((row) => (row.split('|')[1] ?? '').trim()));
  // Nothing in this version ends as rehearsed.
  const names = [...STEPS, ...COMMANDS, ...OUTCOMES.filter((outcome) => outcome !== 'rehearsed')];
  expect(names.filter((name) => !first.has(`\`${name}\``))).toEqual([]);
});

test('every kirikae command that README shows exists, with the options it shows', async () => {
  const shown = readme.matchAll(/(?:^|`)kirikae ([a-z-]+)([^`\n]*)/gm);
  const unknown: string[] = [];
  for (const [text, word = '', rest = ''] of shown) {
    if (['recover', 'restore'].includes(word)) continue;
    const { stdout, exitCode } = await runCommand(['help', word], {});
    const options = rest.match(/--[a-z-]+/g) ?? [];
    if (
      exitCode !== 0 ||
      !stdout.includes(`kirikae ${word} `) ||
      options.some((option) => !stdout.includes(option))
    )
      unknown.push(text);
  }
  expect(unknown).toEqual([]);
});

test('ARCHITECTURE has a line for every source file', () => {
  const architecture = read('ARCHITECTURE.md');
  const files = ['src', 'workflows', 'activities', 'tools', 'demo'].flatMap((folder) =>
    readdirSync(path.join(packageRoot, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(ts|mjs)$/.test(file))
      .map((file) => ({
        file: `${folder}/${file}`,
        named: /^(tools|demo)$/.test(folder) ? `${folder}/${file}` : file,
      })),
  );
  expect(files.filter(({ named }) => !architecture.includes(`\`${named}\``)).map(({ file }) => file)).toEqual(
    [],
  );
  const mentioned = [
    ...architecture.matchAll(/`((?:engine|mapping|preflight|postgres|cli|tools|demo)\/[\w-]+\.\w+)`/g),
  ];
  const gone = mentioned
    .map((match) => match[1] ?? '')
    .filter((file) => !existsSync(path.join(packageRoot, /^(tools|demo)/.test(file) ? file : `src/${file}`)));
  expect(gone).toEqual([]);
});

test('CONTRIBUTING justifies every dependency', () => {
  const contributing = read('CONTRIBUTING.md');
  const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<
    string,
    Record<string, string>
  >;
  const names = Object.keys({ ...dependencies, ...devDependencies });
  const isNamed = (name: string) =>
    contributing.includes(`\`${name}\``) ||
    (name.startsWith('@temporalio/') && contributing.includes(`\`${name.slice(12)}\``));
  expect(names.filter((name) => !isNamed(name))).toEqual([]);
});

function collectKeys(schema: unknown, keys: Set<string>): void {
  if (schema === null || typeof schema !== 'object') return;
  for (const [name, value] of Object.entries(schema)) {
    if (name === 'properties') for (const key of Object.keys(value as object)) keys.add(key);
    collectKeys(value, keys);
  }
}
