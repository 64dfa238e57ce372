/** Resets of two runs to their workflow tasks: a seeded sample, or each of them (`npm run resets`). After each production is completely old or completely new. */
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { seededRandom } from '../lab/soak/random';
import { packageRoot } from '../tools/provide';
import {
  resetAfter,
  resetDuring,
  stories,
  tell,
  type Bench,
  type Reference,
  type ResetResult,
  type Story,
} from './support/resets';
import type { Task } from './support/workflow-tasks';
import { openNamespace } from './support/namespace';
import type { TestDatabase } from './support/environment';
import { makeTumikiTemplate } from './support/tumiki-template';

const isFull = process.env.KIRIKAE_RESETS === 'full';
const seed = Number(process.env.KIRIKAE_RESETS_SEED ?? Date.now() % 100_000);
const only = process.env.KIRIKAE_RESETS_ONLY ?? '';
jest.setTimeout(isFull ? 8 * 3_600_000 : 600_000);

/** A number of resets of one run's tasks. */
interface Case {
  story: Story;
  when: 'during' | 'after';
  tasks: Task[];
}

type Told = Awaited<ReturnType<typeof tell>>;

let template: TestDatabase;
let lanes: Bench[];

beforeAll(async () => {
  template = await makeTumikiTemplate(20);
  const servers = await Promise.all([openNamespace('resets-a'), openNamespace('resets-b')]);
  lanes = servers.map((server) => ({ server, template: template.name }));
});
afterAll(async () => {
  await Promise.all(lanes.map(({ server }) => server.close()));
  await template.drop();
});

test(`after a Temporal reset production is completely old or completely new (${isFull ? 'each task' : 'sample'}, seed ${seed})`, async () => {
  const told = await tellBoth();
  const { reference } = told.migrated;
  const results = await workOff(isFull ? each(told) : sample(told), reference);
  if (isFull) process.stdout.write(`${table(results)}\n`);
  else console.info(table(results));
  const met = results.filter(({ outcome }) => outcome !== 'not met' && !outcome.startsWith('not reset'));
  expect(met.length).toBeGreaterThan(0);
  expect(
    met.flatMap(({ problems, ...of }) => problems.map((problem) => `${titleOf(of)}: ${problem}`)),
  ).toEqual([]);
});

async function tellBoth(): Promise<Record<Story, Told>> {
  const [first, second] = lanes as [Bench, Bench];
  const [migrated, rolledBack] = await Promise.all([tell(first, 'migrated'), tell(second, 'rolled-back')]);
  return { migrated, 'rolled-back': rolledBack };
}

// One task of each part of a run, and three of runs that have ended.
function sample(told: Record<Story, Told>): Case[] {
  const random = seededRandom(seed);
  const choose = (story: Story, part: string | null): Task => {
    const { tasks, phases } = told[story];
    // Those that run beside others may be answered together with them.
    const alone = (task: Task) => !/copyGroup|indexBackup|watchPage|\(/.test(task.label);
    return random.pick(
      tasks.filter((task, index) => (part === null || phases[index] === part) && alone(task)),
    );
  };
  const during = (story: Story, part: string): Case => ({
    story,
    when: 'during',
    tasks: [choose(story, part)],
  });
  return [
    during('migrated', 'before claim'),
    during('rolled-back', 'before approval'),
    during('migrated', 'before reset'),
    during('migrated', 'before live'),
    during('rolled-back', 'way back'),
    during('migrated', 'monitoring'),
    ...stories.map((story): Case => ({ story, when: 'after', tasks: [choose(story, null)] })),
  ];
}

function each(told: Record<Story, Told>): Case[] {
  return stories.flatMap((story) => {
    const { tasks } = told[story];
    const batches: Case[] = [];
    for (let first = 0; first < tasks.length; first += 10)
      batches.push({ story, when: 'after', tasks: tasks.slice(first, first + 10) });
    return [...tasks.map((task): Case => ({ story, when: 'during', tasks: [task] })), ...batches];
  });
}

async function workOff(cases: Case[], reference: Reference): Promise<ResetResult[]> {
  const known = new Map(readKnown().map((result) => [titleOf(result), result]));
  const results: ResetResult[] = [];
  const wanted = cases
    .map((item) => {
      const title = (task: Task) => titleOf({ ...item, label: task.label });
      const asked = item.tasks.filter((task) => title(task).includes(only));
      results.push(...asked.flatMap((task) => known.get(title(task)) ?? []));
      return { ...item, tasks: asked.filter((task) => !known.has(title(task))) };
    })
    .filter(({ tasks }) => tasks.length > 0);
  const done = (result: ResetResult) => {
    results.push(result);
    keep(result);
  };
  await Promise.all(
    lanes.map(async (bench) => {
      for (let next = wanted.shift(); next; next = wanted.shift()) {
        const { story, when, tasks } = next;
        try {
          if (when === 'after') await resetAfter(bench, { story, tasks, reference }, done);
          else for (const task of tasks) done(await resetDuring(bench, { story, task, reference }));
        } catch (error) {
          throw new Error(`${when} ${story}, ${tasks.map(({ label }) => label).join(', ')}`, {
            cause: error,
          });
        }
      }
    }),
  );
  return results;
}

function titleOf({ story, when, label }: Pick<ResetResult, 'story' | 'when' | 'label'>): string {
  return `${story} ${when} ${label}`;
}

// What a full reading has come to is kept, so that one that was stopped goes on.
function file(): string {
  return path.join(packageRoot, '.tools', 'resets', `${seed}.jsonl`);
}

function readKnown(): ResetResult[] {
  if (!isFull || !existsSync(file())) return [];
  return readFileSync(file(), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as ResetResult);
}

function keep(result: ResetResult): void {
  if (!isFull) return;
  mkdirSync(path.dirname(file()), { recursive: true });
  appendFileSync(file(), `${JSON.stringify(result)}\n`);
}

/** The results as a table for docs/reliability.md. */
function table(results: readonly ResetResult[]): string {
  const cell = (text: string) => text.replaceAll('|', '/').replaceAll('\n', ' ').slice(0, 160);
  const lines = [...results]
    .sort(
      (a, b) =>
        titleOf({ ...a, label: '' }).localeCompare(titleOf({ ...b, label: '' })) || a.number - b.number,
    )
    .map(
      ({ story, when, number, label, phase, said, outcome, production, seconds, problems }) =>
        `| ${[`${story}, ${when}`, number, label, phase, cell(said), cell(outcome), production, seconds, cell(problems.join(' '))].join(' | ')} |`,
    );
  return [
    `seed ${seed}`,
    '| run | task | answers | phase then | what the status said | outcome | production | s | problems |',
    '|---|---|---|---|---|---|---|---|---|',
    ...lines,
  ].join('\n');
}
