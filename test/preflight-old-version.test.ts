/** Preflight tries every check of a way back on production as it is, so that no way back waits for one that can't pass. */
import { layOutMigration, type Migration, type PlanChange } from './support/migration';
import { checkHarmlessly } from './support/preflight';
import { makeTumikiTemplate } from './support/tumiki-template';
import type { TestDatabase } from './support/environment';

let template: TestDatabase;
let migration: Migration;
beforeAll(async () => {
  template = await makeTumikiTemplate(5);
});
afterAll(() => template.drop());
afterEach(() => migration.drop());

const sql = (name: string, text: string) => ({ name, kind: 'sql', sql: text });
const command = (name: string, ...run: string[]) => ({ name, kind: 'command', run });
const isNew =
  "select 1 where not exists (select from information_schema.columns where table_name = 'Organization' and column_name = 'isPersonal')";

async function findingsOf(change: PlanChange, health = 200): Promise<string[]> {
  migration = await layOutMigration(template.name, change);
  migration.health.status = health;
  return (await checkHarmlessly(migration)).findings;
}

test('takes http checks of smoke for those of the old version, and leaves SQL and commands of the new one alone', async () => {
  const ofNewVersion: PlanChange = (plan) =>
    (plan.smoke as unknown[]).push(sql('New', isNew), command('New too', 'false'));
  expect(await findingsOf(ofNewVersion)).toEqual([]);
});

test('names an http check of smoke that the old version fails, beside everything else', async () => {
  const findings = await findingsOf((plan) => {
    plan.deploy = [{ name: 'manager', run: ['no-such-program'] }];
  }, 500);
  expect(findings).toEqual([
    expect.stringContaining('no-such-program is not on the worker'),
    `Production as it is fails the check "API answers" of smoke, which stands for rollbackSmoke too: The check "API answers" fails at ${migration.pageUrl}health: expected status 200, got 500. After a way back it would have to pass before the page comes down. Name checks in rollbackSmoke that pass on the old version, or repair what this one finds.`,
  ]);
});

test('tries the checks of rollbackSmoke of every kind', async () => {
  const findings = await findingsOf((plan) => {
    plan.rollbackSmoke = [
      ...(plan.smoke as object[]),
      sql('Has users', 'select 1 where not exists (select from "User")'),
      sql('New columns', isNew),
      command('Client', 'node', '-e', 'process.exit(3)'),
      command('Other client', 'true'),
    ];
  });
  expect(findings).toEqual([
    expect.stringMatching(
      /^Production as it is fails the check "Client" of rollbackSmoke: .*exited with code 3/,
    ),
    expect.stringMatching(
      /^Production as it is fails the check "New columns" of rollbackSmoke: .* returned a row/,
    ),
  ]);
});
