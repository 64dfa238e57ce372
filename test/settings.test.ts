/** kirikae.yaml: what is accepted, and how everything wrong with it is said at once. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { z } from 'zod';
import { UsageError } from '../src/errors';
import { redactor } from '../src/host/secrets';
import {
  findPlan,
  missingVariables,
  readAnew,
  readSettings,
  rollbackChecks,
  settingsFile,
} from '../src/settings/read';
import { milliseconds, settingsSchema } from '../src/settings/schema';
import { tumikiFolder } from '../lab/stage';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'kirikae-settings-'));
  file = path.join(folder, 'kirikae.yaml');
  mkdirSync(path.join(folder, 'after'));
  writeFileSync(path.join(folder, 'after', '001.sql'), 'create table a (id int)');
  writeFileSync(path.join(folder, 'mapping.yaml'), '{}');
});
afterEach(() => rmSync(folder, { recursive: true }));

type Tree = Record<string, unknown>;

function aPlan(change: Tree = {}): Tree {
  return {
    databases: {
      production: { urlEnv: 'PRODUCTION_URL' },
      backup: { urlEnv: 'BACKUP_URL' },
      shadow: { urlEnv: 'SHADOW_URL' },
    },
    maintenance: { kind: 'nginx', flagFile: './flag', probe: { url: 'http://127.0.0.1:8080/' } },
    schema: { kind: 'sql', dir: './after' },
    mapping: './mapping.yaml',
    ...change,
  };
}

function read(text: string | Tree) {
  writeFileSync(file, typeof text === 'string' ? text : stringify(text));
  return readSettings(file);
}

function problemsOf(work: () => unknown): string[] {
  try {
    work();
  } catch (error) {
    if (error instanceof UsageError) return error.problems;
    throw error;
  }
  return [];
}

describe('what is accepted', () => {
  test('fills in the defaults of the design', () => {
    const plan = findPlan(read({ plans: { small: aPlan() } }), 'small');
    expect(plan).toMatchObject({
      name: 'small',
      folder,
      databases: { production: { schemas: ['public'] }, backup: { create: false } },
      maintenance: { probe: { on: 503, off: 200, within: '30s' } },
      approval: { minimum: 1, timeout: '2h', requesterMayApprove: true },
      monitor: { for: '24h', every: '5m' },
      retireBackup: { after: 'approval' },
      checklist: [],
      deploy: [],
      smoke: [],
    });
    expect(milliseconds(plan.monitor.for)).toBe(86_400_000);
  });

  test('accepts the settings of the example', () => {
    const settings = readSettings(path.join(tumikiFolder, 'kirikae.yaml'));
    const plan = findPlan(settings, 'tumiki');
    expect(plan.checklist).toContain('Rollback rehearsed');
    expect(plan.deploy.map(({ name }) => name)).toEqual(['manager', 'proxy']);
    expect(plan.approval).toEqual({ minimum: 1, timeout: '2h', requesterMayApprove: false });
  });

  test('accepts JSON, which is YAML too', () => {
    expect(Object.keys(read(JSON.stringify({ plans: { small: aPlan() } })).plans)).toEqual(['small']);
  });

  test('publishes the same schema for editors', () => {
    const published = JSON.parse(
      readFileSync(path.join(__dirname, '..', 'schema', 'kirikae.schema.json'), 'utf8'),
    ) as Tree;
    const current = JSON.parse(JSON.stringify(z.toJSONSchema(settingsSchema, { io: 'input' }))) as Tree;
    expect(published).toMatchObject(current);
  });

  test('looks for the file in --config, KIRIKAE_CONFIG and the current folder, in this order', () => {
    const env = { KIRIKAE_CONFIG: '/etc/kirikae.yaml' };
    expect(settingsFile('/etc/other.yaml', env)).toBe('/etc/other.yaml');
    expect(settingsFile(undefined, env)).toBe('/etc/kirikae.yaml');
    expect(settingsFile(undefined, {})).toBe(path.resolve('kirikae.yaml'));
  });

  test('takes the http checks for the way back unless others are named', () => {
    const manual = { name: 'Log in', kind: 'manual' };
    const sql = { name: 'Rows', kind: 'sql', sql: 'select 1 where false' };
    const http = { name: 'API', kind: 'http', url: 'http://127.0.0.1:1/health' };
    const other = { name: 'Old rows', kind: 'sql', sql: 'select 1 where false' };
    const settings = read({
      plans: {
        silent: aPlan({ smoke: [manual, sql, http] }),
        explicit: aPlan({ smoke: [manual, sql], rollbackSmoke: [other] }),
        none: aPlan({ smoke: [manual, sql], rollbackSmoke: [] }),
      },
    });
    const names = (plan: string) => rollbackChecks(findPlan(settings, plan)).map(({ name }) => name);
    expect([names('silent'), names('explicit'), names('none')]).toEqual([['API'], ['Old rows'], []]);
  });
});

describe('the hash of a plan', () => {
  const hash = () => findPlan(read({ plans: { small: aPlan() } }), 'small').hash;

  test.each([
    ['the mapping', 'mapping.yaml', '# another\n{}'],
    ['a schema file', 'after/001.sql', 'create table b (id int)'],
    ['one schema file more', 'after/002.sql', 'create table b (id int)'],
  ])('changes with %s', (_what, where, text) => {
    const before = hash();
    expect(hash()).toBe(before);
    writeFileSync(path.join(folder, where), text);
    expect(hash()).not.toBe(before);
  });

  test('does not change with another plan', () => {
    const before = hash();
    const beside = read({ plans: { small: aPlan(), other: aPlan({ checklist: ['One'] }) } });
    expect(findPlan(beside, 'small').hash).toBe(before);
  });

  const deploy = { name: 'manager', run: ['true'], timeout: '2m', rollback: ['false'] };
  const smoke = { name: 'API', kind: 'http', url: 'http://127.0.0.1:1/health', within: '5s' };
  const begun = { deploy: [deploy], smoke: [smoke], approval: { minimum: 2, timeout: '1h' } };
  const partsWith = (change: Tree) =>
    findPlan(read({ plans: { small: aPlan({ ...begun, ...change }) } }), 'small').parts;

  test.each<[string, Tree]>([
    ['time limits', { deploy: [{ ...deploy, timeout: '9m' }], approval: { minimum: 2, timeout: '3h' } }],
    ['within', { smoke: [{ ...smoke, within: '50s' }] }],
    ['a previous version', { deploy: [{ ...deploy, rollback: ['true'] }] }],
    ['the checks of the way back', { rollbackSmoke: [] }],
    ['who is told', { notify: [{ kind: 'webhook', urlEnv: 'WEBHOOK' }] }],
    ['patience, monitoring and report', { patience: '9m', monitor: { for: '1h' }, report: { dir: './r' } }],
  ])('is the same with another %s', (_what, change) => {
    expect(partsWith(change)).toEqual(partsWith({}));
  });

  test.each<[string, Tree, string[]]>([
    ['deploy', { deploy: [{ ...deploy, run: ['false'] }] }, ['the deploy "manager"']],
    ['number of approvals', { approval: { minimum: 1 } }, ['the number of approvals']],
    ['check', { smoke: [{ ...smoke, url: 'http://127.0.0.1:2/' }] }, ['the check "API"']],
    ['reset', { reset: { mode: 'keep' } }, ['reset.mode']],
  ])('has another hash for another %s, and for that part alone', (_what, change, names) => {
    const [before, after] = [partsWith({}), partsWith(change)];
    const changed = Object.keys({ ...before, ...after }).filter((part) => before[part] !== after[part]);
    expect(changed).toEqual(names);
  });
});

describe('a plan that is read anew', () => {
  const write = (plans: Tree) => writeFileSync(file, stringify({ plans }));
  const webhook = (urlEnv: string) => ({ notify: [{ kind: 'webhook', urlEnv }] });

  test('is read once for each retry, and the plans of other runs stay as they were', () => {
    const settings = read({ plans: { small: aPlan(), other: aPlan() } });
    const patiences = () => [settings.plans.small?.patience, settings.plans.other?.patience];
    write({ small: aPlan({ patience: '1m' }), other: aPlan({ patience: '1m' }) });
    readAnew(settings, 'small', 'first');
    expect(patiences()).toEqual(['1m', '5m']);
    write({ small: aPlan({ patience: '2m' }) });
    readAnew(settings, 'small', 'first');
    expect(patiences()).toEqual(['1m', '5m']);
    readAnew(settings, 'small', 'second');
    expect(patiences()).toEqual(['2m', '5m']);
  });

  test('stays as it was read while the file has a mistake, which is named', () => {
    const settings = read({ plans: { small: aPlan() } });
    write({ small: aPlan({ patience: 'long' }) });
    expect(problemsOf(() => readAnew(settings, 'small', 'first'))).toEqual([
      expect.stringContaining('patience: expected a duration'),
    ]);
    expect(settings.plans.small?.patience).toBe('5m');
    write({});
    expect(problemsOf(() => readAnew(settings, 'small', 'first'))).toEqual([
      expect.stringContaining('There is no plan "small"'),
    ]);
  });

  test('has the values of its new variables hidden, and of its old ones still', () => {
    const settings = read({ plans: { small: aPlan(webhook('OLD_HOOK')) } });
    const hide = redactor(settings, { OLD_HOOK: 'https://old.example/x', NEW_HOOK: 'https://new.example/y' });
    expect(hide('https://old.example/x https://new.example/y')).toBe('*** https://new.example/y');
    write({ small: aPlan(webhook('NEW_HOOK')) });
    readAnew(settings, 'small', 'first');
    expect(hide('https://old.example/x https://new.example/y')).toBe('*** ***');
  });
});

describe('what is refused', () => {
  test('names a file that does not exist, and what to do', () => {
    expect(problemsOf(() => readSettings(path.join(folder, 'none.yaml')))).toEqual([
      `Settings file ${folder}/none.yaml does not exist. Name one with --config or KIRIKAE_CONFIG, or create ./kirikae.yaml.`,
    ]);
  });

  test('says where YAML is broken', () => {
    const problems = problemsOf(() => read('plans:\n  small: { a: [1, 2 }\n'));
    expect(problems[0]).toMatch(
      /kirikae\.yaml is not valid YAML: .* at line 2, column \d+.* Correct it there\.$/,
    );
  });

  test('refuses a key that stands twice, in YAML as in a list of names', () => {
    expect(problemsOf(() => read('plans: {}\nplans: {}\n'))[0]).toContain('Map keys must be unique');
    const twice = [
      { name: 'manager', run: ['true'] },
      { name: 'manager', run: ['false'] },
    ];
    const check = { name: 'Rows', kind: 'sql', sql: 'select 1' };
    expect(
      problemsOf(() =>
        read({
          plans: { small: aPlan({ deploy: twice, smoke: [check, check], rollbackSmoke: [check, check] }) },
        }),
      ),
    ).toEqual([
      `${file}: plans.small.deploy: the name "manager" stands twice. Give each its own.`,
      `${file}: plans.small.smoke: the name "Rows" stands twice. Give each its own.`,
      `${file}: plans.small.rollbackSmoke: the name "Rows" stands twice. Give each its own.`,
    ]);
  });

  test('an empty file is refused with what it lacks', () => {
    expect(problemsOf(() => read(''))).toEqual([
      `${file}: the file: Invalid input: expected object, received null. Correct it there.`,
    ]);
  });

  test('lists every problem of a plan at once, each with its place', () => {
    const broken = aPlan({
      databases: {
        production: { urlEnv: 'postgres://u:secret@db/x' },
        backup: { urlEnv: 'BACKUP_URL', creat: true },
        shadow: { urlEnv: 'SHADOW_URL' },
      },
      maintenance: { kind: 'apache' },
      approval: { minimum: 0, timeout: 'soon' },
      monitor: { for: 24, every: '5 lightyears' },
      smoke: [{ name: 'API', kind: 'http', url: 'nowhere' }],
      deploy: [{ name: 'manager', run: 'pnpm deploy' }],
      colour: 'blue',
    });
    const problems = problemsOf(() => read({ plans: { small: broken } }));
    const expected = [
      'plans.small.databases.production.urlEnv: expected the name of an environment variable, never a URL or a secret.',
      'plans.small.databases.backup has the unknown key "creat".',
      "plans.small.maintenance.kind: Invalid discriminator value. Expected 'nginx' | 'command'.",
      'plans.small.approval.minimum: Too small: expected number to be >=1.',
      'plans.small.approval.timeout: expected a duration such as 30s, 15m or 24h.',
      'plans.small.monitor.for: Invalid input: expected string, received number.',
      'plans.small.monitor.every: expected a duration such as 30s, 15m or 24h.',
      'plans.small.smoke.0.url: Invalid URL.',
      'plans.small.deploy.0.run: Invalid input: expected array, received string.',
      'plans.small has the unknown key "colour".',
    ];
    for (const sentence of expected) {
      expect(problems).toContainEqual(expect.stringContaining(`${file}: ${sentence}`));
    }
    expect(problems).toHaveLength(expected.length);
    expect(problems.join()).not.toContain('secret@');
  });

  test('lists missing files beside the mistakes of another plan', () => {
    mkdirSync(path.join(folder, 'empty'));
    const problems = problemsOf(() =>
      read({
        plans: {
          lost: aPlan({ mapping: './none.yaml', schema: { kind: 'sql', dir: './nowhere' } }),
          hollow: aPlan({ schema: { kind: 'sql', dir: './empty' } }),
          folderAsFile: aPlan({ mapping: './after' }),
          wrong: aPlan({ approval: { timeout: '-5m' } }),
        },
      }),
    );
    expect(problems).toEqual([
      `${file}: plans.wrong.approval.timeout: expected a duration such as 30s, 15m or 24h. Correct it there.`,
      `${file}: plans.lost.mapping: there is no file ${folder}/none.yaml. Create it or correct the path.`,
      `${file}: plans.lost.schema.dir: there is no folder ${folder}/nowhere. Create it or correct the path.`,
      `${file}: plans.hollow.schema.dir: ${folder}/empty holds no *.sql file. Put the new schema there.`,
      `${file}: plans.folderAsFile.mapping: there is no file ${folder}/after. Create it or correct the path.`,
    ]);
  });

  test('names the plans there are when another is asked for', () => {
    const settings = read({ plans: { small: aPlan(), large: aPlan() } });
    for (const name of ['tiny', 'constructor', '__proto__']) {
      expect(problemsOf(() => findPlan(settings, name))).toEqual([
        `There is no plan "${name}" in ${file}. Plans there: small, large. Name one of them.`,
      ]);
    }
  });

  test('names every variable a plan lacks, those of its commands and messages included', () => {
    const plan = findPlan(
      read({
        plans: {
          small: aPlan({
            deploy: [{ name: 'manager', run: ['true'], env: ['DEPLOY_TOKEN'] }],
            notify: [{ kind: 'webhook', urlEnv: 'HOOK_URL' }],
            rollbackSmoke: [{ name: 'old', kind: 'command', run: ['true'], env: ['OLD_TOKEN'] }],
          }),
        },
      }),
      'small',
    );
    const problems = missingVariables(plan, { PRODUCTION_URL: 'postgres://db/x', SHADOW_URL: '' });
    expect(problems.map((problem) => /variable (\w+), which is not set/.exec(problem)?.[1])).toEqual([
      'BACKUP_URL',
      'SHADOW_URL',
      'HOOK_URL',
      'DEPLOY_TOKEN',
      'OLD_TOKEN',
    ]);
  });
});
