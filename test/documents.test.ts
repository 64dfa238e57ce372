/** The documents keep to the code: their examples are read by the product, and what the code has is named in them. */
import { spawnSync } from 'node:child_process';
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
import { z } from 'zod';
import { COMMANDS, OUTCOMES, QUERIES, STEPS } from '../src/contract';
import { mappingSchema, parseMapping } from '../src/mapping/file';
import { readSettings } from '../src/settings/read';
import { settingsSchema } from '../src/settings/schema';
import { packageRoot } from '../tools/provide';
import { productFolders, withFileList, workshopFolders } from '../tools/file-list';
import { settingsPage, type KeySchema } from '../tools/settings-page';
import { runCommand } from './support/cli-terminal';

const read = (file: string) => readFileSync(path.join(packageRoot, file), 'utf8');
const pages = ['README.md', ...readdirSync(path.join(packageRoot, 'docs')).map((file) => `docs/${file}`)];
const commandsPage = read('docs/commands.md');

test('the settings and the mapping that the documents show can be read', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-documents-'));
  try {
    const mapping = firstYaml('docs/mapping.md');
    mkdirSync(path.join(folder, 'schema', 'after'), { recursive: true });
    writeFileSync(path.join(folder, 'schema', 'after', '1.sql'), 'select 1');
    writeFileSync(path.join(folder, 'mapping.yaml'), mapping);
    writeFileSync(path.join(folder, 'kirikae.yaml'), firstYaml('docs/settings.md'));
    expect(Object.keys(readSettings(path.join(folder, 'kirikae.yaml')).plans)).toEqual(['tumiki']);
    const parsed = parseMapping(mapping, 'mapping.yaml');
    expect(Object.keys(parsed.tables)).toEqual(['Organization', 'Log']);
    expect(parsed.assertions).toHaveLength(1);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the page of the settings is what the schema says, and names every key', () => {
  const schema = z.toJSONSchema(settingsSchema, { io: 'input' });
  const page = read('docs/settings.md');
  expect(settingsPage(page, schema as KeySchema)).toBe(page);
  expect(keysMissing(schema, page)).toEqual([]);
});

test('every key of the settings says what it means', () => {
  const silent: string[] = [];
  const look = (schema: KeySchema, where: string) => {
    if (schema.description === undefined && schema.items === undefined && where !== '') silent.push(where);
    for (const [key, value] of Object.entries(schema.properties ?? {})) look(value, `${where}.${key}`);
    for (const variant of schema.oneOf ?? [])
      look({ ...variant, description: '' }, `${where}(${variant.properties?.kind?.const})`);
    if (schema.items?.properties || schema.items?.oneOf)
      look({ ...schema.items, description: '' }, `${where}[]`);
    if (schema.additionalProperties) look({ ...schema.additionalProperties, description: '' }, `${where}.*`);
  };
  look(z.toJSONSchema(settingsSchema, { io: 'input' }) as KeySchema, '');
  expect(silent).toEqual([]);
});

test('the page of the mapping names every key', () => {
  expect(keysMissing(z.toJSONSchema(mappingSchema, { io: 'input' }), read('docs/mapping.md'))).toEqual([]);
});

test('the documents name every step, outcome and message of a run', () => {
  const steps = read('docs/if-it-stops.md');
  expect(STEPS.filter((step) => !steps.includes(`\n### \`${step}\`\n`))).toEqual([]);
  const rows = commandsPage.split('\n').filter((line) => line.startsWith('|'));
  const first = new Set(rows.map((row) => (row.split('|')[1] ?? '').trim()));
  // Nothing in this version ends as rehearsed.
  const names = [
    ...COMMANDS,
    ...Object.values(QUERIES),
    ...OUTCOMES.filter((outcome) => outcome !== 'rehearsed'),
  ];
  expect(names.filter((name) => !first.has(`\`${name}\``))).toEqual([]);
});

test('every kirikae command that the documents show exists, with the options it shows', async () => {
  const shown = pages.flatMap((page) => [...read(page).matchAll(/(?:^|`)kirikae ([a-z-]+)([^`\n]*)/gm)]);
  const unknown: string[] = [];
  for (const [text, word = '', rest = ''] of shown) {
    if (word === 'recover') continue;
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

test('every command of kirikae has its part in docs/commands.md, with each of its options', async () => {
  const { stdout } = await runCommand(['help'], {});
  const [list = ''] = stdout.slice(stdout.indexOf('Commands:')).split('\n\n');
  const commands = [...list.matchAll(/^ {2}([a-z][a-z-]+) /gm)].map((match) => match[1] ?? '');
  expect(commands).toEqual(expect.arrayContaining(['check', 'start', 'retire-backup', 'report']));
  const [, common = ''] = /\n## kirikae\n([^]*?)\n### /.exec(commandsPage) ?? [];
  const missing: string[] = [];
  for (const command of commands.filter((name) => name !== 'help')) {
    const part = new RegExp(`\n### \`kirikae ${command}\\b([^]*?)\n##`).exec(commandsPage)?.[1];
    const options = (await runCommand(['help', command], {})).stdout.match(/^ +(-h, )?--[a-z-]+/gm) ?? [];
    if (part === undefined) missing.push(command);
    for (const option of options.map((text) => text.trim().replace('-h, ', '')))
      if (option !== '--help' && !`${part}${common}`.includes(option)) missing.push(`${command} ${option}`);
  }
  expect(missing).toEqual([]);
});

test('docs/production.md names every variable of ours', () => {
  const used = new Set<string>();
  for (const folder of ['src', 'cli', 'activities', 'tools', 'bin'].filter((name) =>
    existsSync(path.join(packageRoot, name)),
  ))
    for (const file of readdirSync(path.join(packageRoot, folder), { recursive: true, encoding: 'utf8' }))
      if (/\.(ts|mjs|js)$/.test(file))
        for (const [name] of read(`${folder}/${file}`).matchAll(/KIRIKAE_[A-Z_]+/g)) used.add(name);
  const page = read('docs/production.md');
  expect(used.size).toBeGreaterThan(3);
  expect([...used].filter((name) => !page.includes(`\`${name}`))).toEqual([]);
});

test('the check of Markdown names long lines, cells and pages, and links that lead nowhere', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-documents-'));
  const long = 'word '.repeat(40).trim();
  const page = [
    '# A page, with `code` of its own',
    long,
    `[a link](https://localhost/${'x'.repeat(160)})`,
    '```sh',
    long,
    '```',
    `| a | ${'b'.repeat(91)} |`,
    `| ${Array.from({ length: 4 }, () => 'c'.repeat(60)).join(' | ')} |`,
    '[here](#a-page-with-code-of-its-own), [there](other.md#part), [gone](gone.md), [no part](other.md#gone)',
  ];
  try {
    writeFileSync(path.join(folder, 'page.md'), page.join('\n'));
    writeFileSync(path.join(folder, 'other.md'), '## Part\n');
    writeFileSync(path.join(folder, 'README.md'), 'line\n'.repeat(251));
    spawnSync('git', ['init', '--quiet'], { cwd: folder });
    const check = path.join(packageRoot, 'tools', 'documents.mjs');
    const { status, stderr } = spawnSync(process.execPath, [check, folder], { encoding: 'utf8' });
    expect({ status, problems: stderr.trim().split('\n') }).toEqual({
      status: 1,
      problems: [
        'README.md has 251 lines. Move some of it to docs/: at most 250 belong here.',
        'page.md:2: The line has 199 characters. Break it before 160.',
        'page.md:7: A cell has 91 characters. Use a list where more than 90 are needed.',
        'page.md:8: The row has 253 characters. Use a list where more than 220 are needed.',
        'page.md:9: The link gone.md leads to no file.',
        'page.md:9: The link other.md#gone leads to no heading.',
      ],
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the lists of files have a line for every file, made of its first line', () => {
  const pages = { 'ARCHITECTURE.md': productFolders, 'CONTRIBUTING.md': workshopFolders };
  for (const [page, folders] of Object.entries(pages))
    expect(read(page)).toBe(withFileList(read(page), packageRoot, folders));
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

function firstYaml(file: string): string {
  const found = /^```yaml\n([^]*?)^```/m.exec(read(file));
  if (!found) throw new Error(`${file} has no example.`);
  return found[1] ?? '';
}

function keysMissing(schema: unknown, page: string): string[] {
  const keys = new Set<string>();
  collectKeys(schema, keys);
  return [...keys].filter((key) => !new RegExp(`\\b${key}\\b`).test(page));
}

function collectKeys(schema: unknown, keys: Set<string>): void {
  if (schema === null || typeof schema !== 'object') return;
  for (const [name, value] of Object.entries(schema)) {
    if (name === 'properties') for (const key of Object.keys(value as object)) keys.add(key);
    collectKeys(value, keys);
  }
}
