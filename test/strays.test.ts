/** A schema step's command that opens a session in production while it is given the shadow is ended, and named. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { query } from '../lab/stage';
import { changePlan } from './support/migration';
import { refusalOf } from './support/preflight';
import { sceneForEach } from './support/way-back';

const scene = sceneForEach('strays', 1);

// Both wait until they are ended: the one in production must not get as far as its table.
const stray = `
  const { Client } = require(${JSON.stringify(require.resolve('pg'))});
  const client = new Client(process.env.OTHER);
  client.connect().then(() => client.query('select pg_sleep(30); create table harm (id int)'));`;

test('it is ended before it has changed anything there', async () => {
  const migration = await scene.layOut();
  writeFileSync(path.join(migration.folder, 'stray.js'), stray);
  process.env.STRAY_ADDRESS = migration.production.url;
  changePlan(migration, (plan) => {
    plan.schema = {
      kind: 'command',
      run: ['sh', '-c', 'OTHER=$STRAY_ADDRESS node stray.js & wait'],
      cwd: migration.folder,
      urlEnv: ['DATABASE_URL'],
      env: ['STRAY_ADDRESS'],
      timeout: '60s',
    };
  });
  expect(await refusalOf(migration)).toMatch(
    /Its command opened a session in production .* while it was given the shadow, and was ended/,
  );
  const left = await query(migration.production.url, `select to_regclass('harm') as harm`);
  expect(left).toEqual([{ harm: null }]);
});
