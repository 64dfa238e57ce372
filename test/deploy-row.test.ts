/** A deploy's row in the ledger: the process of its command, by which a later process ends it and nothing else. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { query, until, withDatabase } from '../lab/stage';
import { startOf } from '../src/host/pid-file';
import { readSettings } from '../src/settings/read';
import { recover } from '../src/way-back/recover';
import { approve, startRun, untilStatus, withWorker, type Migration } from './support/migration';
import { runToEnd, sceneForEach } from './support/way-back';

const scene = sceneForEach('deploy-row', 20);
let migration: Migration;
const started: ChildProcess[] = [];

afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

/** The first deploy's command writes its process id into a file of the plan's folder, and then does this. */
async function layOut(then: string): Promise<void> {
  migration = await scene.layOut((plan) => {
    const [manager] = plan.deploy as { run: string[] }[];
    if (manager) manager.run = ['sh', '-c', `echo $$ > leader.new; mv leader.new leader; ${then}`];
    plan.rollbackSmoke = [];
  });
}

async function leader(): Promise<number> {
  const file = path.join(migration.folder, 'leader');
  await until(() => Promise.resolve(existsSync(file)));
  return Number(readFileSync(file, 'utf8'));
}

async function row(): Promise<unknown> {
  const [manager] = await query(
    migration.urls.production,
    `select host, pid, pid_started as started, ended_at is not null as ended from kirikae.deploy where name = 'manager'`,
  );
  return manager;
}

test('holds host, process and its start while the command runs; recover ends what runs on, and no stranger', async () => {
  await layOut('sleep 977');
  await withWorker(migration, scene.namespace, async () => {
    const handle = await startRun(scene.client);
    await approve(handle);
    const pid = await leader();
    await until(async () => ((await row()) as { pid: number | null } | undefined)?.pid !== null);
    expect(await row()).toEqual({ host: os.hostname(), pid, started: startOf(pid), ended: false });
    await handle.terminate();
    await until(() => Promise.resolve(!isAlive(pid)));
  });
  // What a dead worker left, and another process that was given the id of a command that has ended.
  const [left, stranger] = [sleeping(), sleeping()];
  await query(
    migration.urls.production,
    `update kirikae.deploy set host = 'here', failed_at = null, pid = ${left}, pid_started = '${startOf(left)}';
     insert into kirikae.deploy (name, position, host, pid, pid_started) values
       ('proxy', 1, 'here', ${stranger}, 'Thu Jan  1 00:00:00 2026'), ('far', 2, 'there', ${stranger}, '${startOf(stranger)}')`,
  );
  const said: string[] = [];
  const plan = readSettings(migration.settingsFile).plans.tumiki;
  if (!plan) throw new Error('no plan');
  const signal = new AbortController().signal;
  const answering = (isOver: boolean) =>
    recover(
      { plan, host: 'here', acceptLoss: false, settleMs: 0, signal },
      {
        say: (sentence) => said.push(sentence),
        confirm: (question) => Promise.resolve(isOver || !question.includes('on there any more?')),
      },
    );
  // Whoever doesn't know what runs on another host changes nothing but the ledger's holder.
  expect(await answering(false)).toBe(false);
  expect(said.at(-1)).toMatch(/^Nothing was restored and the page was left as it is\./);
  expect(existsSync(migration.flagFile)).toBe(true);
  await until(() => Promise.resolve(!isAlive(left)));
  const ofFirst = said.splice(0);
  expect(await answering(true)).toBe(true);
  const ofDeploys = (sentences: string[]) =>
    sentences.filter((sentence) => sentence.startsWith('The deploy "'));
  const elsewhere = `The deploy "far" began on host there (process group ${stranger}) and its end isn't known.`;
  expect(ofDeploys(ofFirst)).toEqual([
    `The deploy "manager" began on host here; its command was still running and was ended (process group ${left}).`,
    `The deploy "proxy" began on host here; its command doesn't run any more (process group ${stranger}).`,
    elsewhere,
  ]);
  expect(ofDeploys(said)).toEqual([
    `The deploy "manager" began on host here; its command doesn't run any more (process group ${left}).`,
    `The deploy "proxy" began on host here; its command doesn't run any more (process group ${stranger}).`,
    elsewhere,
    'The deploy "far" has no rollback command: bring back its previous version by hand.',
  ]);
  expect(isAlive(stranger)).toBe(true);
});

test('a command whose process the ledger does not take is ended, and the deploy has failed', async () => {
  await layOut('sleep 977');
  const ending = await runToEnd(scene, migration, async (handle) => {
    await untilStatus(handle, ({ step, waitingFor }) => step === 'approval' && waitingFor !== null);
    // Late enough that the command has begun.
    await withDatabase(migration.urls.production, async (client) => {
      await client.query('set default_transaction_read_only = off');
      await client.query(`
        create function kirikae.refuse() returns trigger language plpgsql as $$ begin perform pg_sleep(2); raise 'no process'; end $$;
        create trigger refuse before update of pid on kirikae.deploy for each row execute function kirikae.refuse()`);
    });
    await approve(handle);
  });
  expect(ending.status.outcome).toBe('rolled-back');
  expect(ending.sentence).toContain('no process');
  expect(isAlive(await leader())).toBe(false);
});

function sleeping(): number {
  const child = spawn('sleep', ['977'], { detached: true, stdio: 'ignore' });
  started.push(child);
  return child.pid ?? 0;
}

function isAlive(pid: number): boolean {
  if (!existsSync(`/proc/${pid}`)) return false;
  return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}
