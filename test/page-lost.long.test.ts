/** A page that somebody takes down in mid-run: it is on again by itself, and people decide about what users wrote meanwhile. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { stateOf } from '../lab/database-state';
import { query, until, withDatabase } from '../lab/stage';
import { testPostgres } from './support/environment';
import { approve, startRun, untilStatus, withWorker, type Migration } from './support/migration';
import { endOf, expectAsBefore, sceneForEach } from './support/way-back';

const scene = sceneForEach('page-lost');
let migration: Migration;
let go: string;

// A deploy that clears its folders, the flag among them, and goes on until it is told to end.
beforeEach(async () => {
  migration = await scene.layOut((plan) => {
    const program = `
      const fs = require('node:fs');
      fs.rmSync('run/maintenance.on', { force: true });
      const timer = setInterval(() => fs.existsSync('go') && clearInterval(timer), 50);`;
    const [manager, ...others] = plan.deploy as object[];
    plan.deploy = [{ ...manager, run: ['node', '-e', program] }, ...others];
  });
  go = path.join(migration.folder, 'go');
});

const pageShows = async (status: number) => (await fetch(migration.pageUrl)).status === status;

test.each([
  ['rollBack', 'rolled-back'],
  ['retry', 'migrated'],
] as const)(
  'a deploy takes the page down and a user writes: the page is on again, and after %s the run ends as %s without losing the row',
  async (answer, outcome) => {
    const before = await stateOf(migration.production.url);
    const { status } = await withWorker(migration, scene.namespace, async () => {
      const handle = await startRun(scene.client);
      await approve(handle);
      await until(() => migration.log().length === 0 && untilOff());
      await withDatabase(migration.production.url, (client) =>
        client.query(`update "User" set name = 'user at work' where id = (select min(id) from "User")`),
      );
      await until(() => pageShows(503));
      writeFileSync(go, '');
      const parked = await untilStatus(handle, (s) => s.parked);
      expect(parked.live).toBe(false);
      expect(parked.waitingFor).toMatch(/page was found off.* rows/s);
      expect(await pageShows(503)).toBe(true);
      const said = answer === 'rollBack' ? { by: 'bob', acceptLoss: true } : { by: 'bob' };
      await handle.executeUpdate(answer, { args: [said] });
      if (answer === 'retry') {
        await untilStatus(handle, ({ step }) => step === 'monitor' || step === 'report');
        await handle.cancel();
      }
      return endOf(handle);
    });
    expect(status.outcome).toBe(outcome);
    const written = `select count(*)::int as n from "User" where name = 'user at work'`;
    const kept = /kept as (\S+) \(\d+ rows\)/.exec(status.notes.join(' '))?.[1];
    const place = answer === 'retry' ? migration.production.url : testPostgres().url(kept ?? '');
    expect(await query(place, written)).toEqual([{ n: 1 }]);
    if (answer === 'rollBack') await expectAsBefore(migration, before);
    expect(await pageShows(200)).toBe(true);
  },
);

// The page is on first: off before it was on is none of the deploy's doing.
async function untilOff(): Promise<boolean> {
  const [claim] = await query<{ phase: string }>(
    migration.production.url,
    'select phase from kirikae.claim',
  ).catch(() => []);
  return claim?.phase === 'verified' && (await pageShows(200));
}
