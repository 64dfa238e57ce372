/** A way back that can't finish parks with the page on; a person repairs and retries, or settles. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import type { WorkflowHandle } from '@temporalio/client';
import type { Status } from '../src/contract';
import { leftovers, stateOf } from '../lab/database-state';
import { query, withDatabase } from '../lab/stage';
import { onServer, testPostgres } from './support/environment';
import { approve, startRun, untilStatus, withWorker, type Migration, backupOf } from './support/migration';
import { endOf, expectAsBefore, refusalOf, sceneForEach } from './support/way-back';

const scene = sceneForEach('back-parked');
let migration: Migration;

const parked = (handle: WorkflowHandle) => untilStatus(handle, (status) => status.parked);
const manualSmoke = (plan: Record<string, unknown>) => {
  plan.smoke = [{ name: 'Looks right', kind: 'manual' }];
};

// Fails after the reset, when only the backup holds the old rows.
async function failInSmoke(handle: WorkflowHandle): Promise<void> {
  await approve(handle);
  await untilStatus(handle, ({ step, waitingFor }) => step === 'smoke' && waitingFor !== null);
  await renameInBackup('changed by hand');
  await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: false }] });
}

const pageStatus = async () => (await fetch(migration.pageUrl)).status;

// The backup is what a restore is proved against: a changed row in it makes every restore fail.
async function renameInBackup(name: string): Promise<void> {
  await withDatabase(migration.urls.backup, (client) =>
    client.query(
      `update public."User" set name = $1 where id = (select id from public."User" order by id limit 1)`,
      [name],
    ),
  );
}

async function firstName(): Promise<string> {
  return withDatabase(migration.urls.production, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      'select name from public."User" order by id limit 1',
    );
    return rows[0]?.name ?? '';
  });
}

test('keeps the page on when the old version fails its checks, and finishes after retry', async () => {
  migration = await scene.layOut();
  const before = await stateOf(migration.production.url);
  const ending = await withWorker(migration, scene.namespace, async () => {
    const handle = await startRun(scene.client);
    await untilStatus(handle, ({ step }) => step === 'approval');
    migration.health.status = 500;
    await approve(handle);
    const status: Status = await parked(handle);
    expect(status).toMatchObject({ outcome: null, live: false });
    expect(status.waitingFor).toMatch(
      /The check "API answers" fails at .* The maintenance page is on, the fence does not stand, the ledger is at restored/,
    );
    expect(status.nextAction).toContain(`kirikae retry ${handle.workflowId} --by NAME`);
    expect(await pageStatus()).toBe(503);
    migration.health.status = 200;
    await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
    return endOf(handle);
  });
  expect(ending).toMatchObject({ type: 'rolled-back', status: { outcome: 'rolled-back', parked: false } });
  expect(migration.log()).toEqual(['manager new', 'proxy new', 'proxy old', 'manager old']);
  await expectAsBefore(migration, before);
});

test('empties nothing when the backup is not what was sealed, keeps page and fence, and restores after retry', async () => {
  migration = await scene.layOut(manualSmoke);
  const before = await stateOf(migration.production.url);
  const name = await firstName();
  const ending = await withWorker(migration, scene.namespace, async () => {
    const handle = await startRun(scene.client);
    await failInSmoke(handle);
    const status = await parked(handle);
    expect(status.waitingFor).toMatch(
      /The backup is not what was sealed: .*"User" has \d+ rows on both sides, but their content differs.* The maintenance page is on, the fence stands, .* the new database is whole and verified/,
    );
    expect(await pageStatus()).toBe(503);
    await withDatabase(migration.production.url, (client) =>
      expect(client.query('create table public.intruder ()')).rejects.toThrow(/read-only/),
    );
    await renameInBackup(name);
    await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
    return endOf(handle);
  });
  expect(ending).toMatchObject({ type: 'rolled-back', status: { outcome: 'rolled-back', parked: false } });
  await expectAsBefore(migration, before);
});

test('writes home before the page goes down: a page that shows neither parks, and what users write from then on stays', async () => {
  migration = await scene.layOut(manualSmoke);
  const ending = await withWorker(migration, scene.namespace, async () => {
    const handle = await startRun(scene.client);
    await approve(handle);
    await untilStatus(handle, ({ step, waitingFor }) => step === 'smoke' && waitingFor !== null);
    migration.shown.off = 302;
    await handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed: false }] });
    const { phase, waitingFor } = await parked(handle);
    expect(phase).toBe('home');
    expect(waitingFor).toMatch(/should show 200 \(page off\) but shows 302/);
    await query(migration.production.url, `update "User" set name = 'user at work'`);
    migration.shown.off = 200;
    await handle.executeUpdate('retry', { args: [{ by: 'bob' }] });
    return endOf(handle);
  });
  expect(ending).toMatchObject({ type: 'rolled-back', status: { outcome: 'rolled-back', parked: false } });
  const names = await query(migration.production.url, 'select distinct name from "User"');
  expect(names).toEqual([{ name: 'user at work' }]);
  expect(await leftovers(migration)).toEqual([]);
});

test('says what a backup that is gone means and what can be done, and goes forward again when people say so', async () => {
  migration = await scene.layOut(manualSmoke);
  const backup = backupOf(migration);
  const ending = await withWorker(migration, scene.namespace, async () => {
    const handle = await startRun(scene.client);
    await approve(handle);
    const waits = ({ step, waitingFor }: Status) => step === 'smoke' && waitingFor !== null;
    await untilStatus(handle, waits);
    await onServer(`alter database "${backup}" rename to "${migration.production.name}_lost"`);
    const confirm = (passed: boolean) =>
      handle.executeUpdate('confirm', { args: [{ by: 'bob', check: 'Looks right', passed }] });
    await confirm(false);
    const { waitingFor, nextAction } = await parked(handle);
    for (const words of [
      `The old rows are not to be had from the backup ${backup}: database "${backup}" does not exist.`,
      'If it was renamed, moved or changed, put it back as it was and send retry.',
      'Else stand-down goes forward again with the new database; or settle',
      'kirikae restore brings another copy of the backup into any database.',
      'Nothing was emptied: the new database is whole and verified.',
    ])
      expect(waitingFor).toContain(words);
    expect(nextAction).toContain(`kirikae stand-down ${handle.workflowId} --by NAME`);
    await handle.executeUpdate('standDown', { args: [{ by: 'bob' }] });
    await untilStatus(handle, (status) => waits(status) && !status.parked);
    await confirm(true);
    return endOf(handle);
  });
  expect(ending.status).toMatchObject({ outcome: 'migrated', live: true });
});

test('settles as needs-operator with page and fence as they are, and prints commands that lift them', async () => {
  migration = await scene.layOut(manualSmoke);
  const ending = await withWorker(migration, scene.namespace, async () => {
    const handle = await startRun(scene.client);
    await untilStatus(handle, ({ step, waitingFor }) => step === 'approval' && waitingFor !== null);
    expect(await refusalOf(handle, 'settle', { by: 'bob' })).toMatch(/Only a parked run can be settled/);
    expect(await refusalOf(handle, 'retry', { by: 'bob' })).toMatch(/Nothing waits for retry/);
    await failInSmoke(handle);
    await parked(handle);
    await handle.executeUpdate('settle', { args: [{ by: 'bob' }] });
    return endOf(handle);
  });
  expect(ending).toMatchObject({
    closed: 'FAILED',
    type: 'needs-operator',
    status: { outcome: 'needs-operator', parked: false },
  });
  expect(await pageStatus()).toBe(503);
  expect(existsSync(migration.flagFile)).toBe(true);
  const left = await leftovers(migration);
  expect(left).toEqual(
    expect.arrayContaining(['the database setting default_transaction_read_only=on', 'the schema kirikae']),
  );
  const { notes } = ending.status;
  expect(notes.find((note) => note.startsWith('Production '))).toMatch(
    /The maintenance page is on, the fence stands, the ledger is at returning/,
  );
  const commands = notes.flatMap((note) => /^(?:To lift|To take)[^:]*: (.*)$/s.exec(note)?.[1] ?? []);
  expect(commands).toHaveLength(2);
  for (const command of commands) {
    await promisify(execFile)('sh', ['-c', command], {
      env: { ...process.env, PATH: `${testPostgres().bin}:${process.env.PATH}` },
    });
  }
  expect(await leftovers(migration)).toEqual(['the schema kirikae']);
});
